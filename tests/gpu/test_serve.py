"""Serving on a card: a replica that holds it answers as bulk prediction does on a CPU."""

import statistics
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent.parent / "serving"))

from endpoint import Client, commit_model, free_port, pixels, png

from medray.jobs.run import run
from medray.serving.tokens import add_token
from medray.storage.catalog.datasets import open_dataset
from medray.storage.store.objects import Objects
from tests import parts
from tests.gpu.claims import ROWS

pytestmark = [
    pytest.mark.filterwarnings("default"),
    pytest.mark.timeout(300),
]


@pytest.mark.gpu
@pytest.mark.needs("gpu")
def test_answers_on_a_card_are_those_of_bulk_prediction_on_a_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a CPU's replicas, tests/cluster/test_serve.py tells."""
    parts.library("ray")
    from medray.jobs.serve import serving

    objects = Objects(str(tmp_path / "store"))
    commit_model(objects, "chest")
    (tmp_path / "raw").mkdir()
    for number in range(12):
        (tmp_path / f"raw/{number}.png").write_bytes(png(pixels(number)))
    ingest = {"kind": "ingest", "format": {"name": "image"}, "output": "pictures"}
    plain = {"kind": "predict", "model": "chest", "data": "pictures", "output": "plain"}
    with monkeypatch.context() as patched:
        patched.setattr(torch.cuda, "is_available", lambda: False)
        run([{**ingest, "source": str(tmp_path / "raw")}, plain], storage=objects, cluster="inline")
    rows = open_dataset(objects, "plain").samples.to_pylist()
    token, port = add_token(tmp_path / "tokens"), free_port()
    args: dict[str, Any] = {
        "models": ("chest",),
        "storage": objects.url,
        "token_file": str(tmp_path / "tokens"),
        "gpus": 1,
    }
    took = []
    with serving(args, port=port, num_cpus=4):
        client = Client(port, token)
        for row in rows * 3:
            started = time.perf_counter()
            reply = client.predict("chest", png(pixels(int(row["sample_id"]))), "image/png")
            took.append(time.perf_counter() - started)
            assert (reply.status, reply.json["predicted"]) == (200, row["predicted"])
    ROWS.append(("served on the card: answers equal to a CPU's", str(len(took)), "all"))
    ROWS.append(("served on the card: median ms", f"{1000 * statistics.median(took):.1f}", ""))
