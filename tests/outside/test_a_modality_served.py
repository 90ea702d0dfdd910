"""The toys behind a real Ray Serve: over HTTP they are answered as in bulk, by their own schema."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "serving"))

from endpoint import Client, free_port
from spots_job import MEDIA, job

from medray.jobs.run import run
from medray.jobs.serve import serving
from medray.modalities.media import JSON
from medray.serving.tokens import add_token
from medray.storage.catalog.datasets import open_dataset
from medray.storage.store.objects import Objects


@pytest.mark.drill
@pytest.mark.timeout(400)
@pytest.mark.usefixtures("plugged")
# Ray 2.60 uses what it has deprecated itself, and leaves sockets to the collector.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_answers_over_http_are_those_of_bulk(files: Path, tmp_path: Path) -> None:
    root = Objects(str(tmp_path / "store"))
    run(job(files, tmp_path / "out")[:4], storage=root, cluster="inline")
    made, near = open_dataset(root, "weighed"), open_dataset(root, "near")
    wanted = made.samples.select(["sample_id", "weighed"]).to_pydict()
    rows = {row["sample_id"]: at for at, row in enumerate(near.samples.to_pylist())}
    asked = [
        {"sample_id": name, "points": near.array(rows[name], "points")[...].tolist()}
        for name in wanted["sample_id"]
    ]
    token, port = add_token(tmp_path / "tokens"), free_port()
    args = {"models": ("weigher",), "storage": root.url, "token_file": str(tmp_path / "tokens")}
    with serving({**args, "bulk": False, "batch": 5}, port=port, num_cpus=1):
        client = Client(port, token)
        many = client.predict("weigher", json.dumps(asked).encode(), MEDIA)
        single = [client.predict("weigher", body_of(one), MEDIA).json["weighed"] for one in asked]
        known = client.ask("GET", "/openapi.json").json["paths"]["/v1/models/weigher:predict"]
        other = client.predict("weigher", body_of(asked[0]), JSON)
        wrong = client.predict("weigher", b'{"points": "many"}', MEDIA)
    answers = many.json["answers"]
    assert [one["sample_id"] for one in answers] == wanted["sample_id"]
    for told in ([one["weighed"] for one in answers], single):
        np.testing.assert_allclose(told, wanted["weighed"], atol=1e-6)
    assert np.ptp(wanted["weighed"]) > 0.01
    schemas = known["post"]["requestBody"]["content"]
    one, several = schemas[MEDIA]["schema"]["oneOf"]
    assert list(schemas) == [MEDIA]
    assert one["properties"]["points"]["items"]["minItems"] == 2
    assert several == {"type": "array", "items": one}
    assert (other.status, other.json["error"]["code"]) == (415, "unsupported-media")
    assert (wrong.status, wrong.json["error"]["code"]) == (422, "bad-json")


def body_of(one: dict[str, Any]) -> bytes:
    return json.dumps({"points": one["points"]}).encode()
