"""Both networks of a cascade answer one request, as they do one after the other in bulk."""

import asyncio
import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from medray.errors import SpecError
from medray.jobs.run import run
from medray.jobs.serve import described
from medray.modalities import media
from medray.modalities.loaded import load_model
from medray.serving.answer import answerer_of
from medray.serving.guides import pinned
from medray.serving.replies import Reply
from medray.spec.serving import Serving
from medray.storage.catalog.datasets import Dataset, open_dataset
from medray.storage.shards.samples import Sample
from medray.storage.store.objects import Objects
from tests.serving.endpoint import CNN, commit_model
from tests.steps.test_cascade import COARSE, FINE, MASKS, cascade, made

Make = Callable[[str, list[Sample]], Dataset]
SERVING = {"models": ("fine",), "guides": {"fine": "coarse"}}


@pytest.fixture
def trained(objects: Objects, make_dataset: Make) -> Objects:
    made(make_dataset)
    run([COARSE, MASKS, cascade("balls", "masks"), FINE], storage=objects, cluster="inline")
    return objects


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    path = tmp_path / "scans" / "scan.nii.gz"
    path.parent.mkdir()
    values = np.random.default_rng(7).normal(0, 2, (19, 14, 12)).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(values, np.diag([1.5, 1, 2, 1])), path)
    return path


def in_bulk(objects: Objects, folder: Path, **options: Any) -> Dataset:
    """A new scan through the whole cascade."""
    steps = [
        {"kind": "ingest", "format": {"name": "nifti"}, "source": str(folder), "output": "scans"},
        {"kind": "predict", "model": "coarse", "data": "scans", "output": "scan-masks", "batch": 8},
        cascade("scans", "scan-masks", "guided-scans"),
        {
            "kind": "predict", "model": "fine", "data": "guided-scans", "output": "answers",
            "batch": 8, "options": options,
        },
    ]  # fmt: skip
    run(steps, storage=objects, cluster="inline")
    return open_dataset(objects, "answers")


def ask(objects: Objects, body: bytes, outputs: str = "", kind: str = media.NPY) -> Reply:
    serving = pinned(objects, Serving.model_validate(SERVING))
    coarse = load_model(objects, serving.guides["fine"])
    answerer = answerer_of(load_model(objects, "fine"), serving, coarse)
    assert not answerer.short
    question = answerer.read(body, media.NIFTI, kind, outputs)
    return answerer.write(question, answerer.compute(question.samples, question.outputs))


@pytest.mark.parametrize("outputs", ["labels", "probabilities"])
def test_a_request_is_answered_as_in_bulk_byte_by_byte(
    trained: Objects, scan: Path, outputs: str
) -> None:
    bulk = in_bulk(trained, scan.parent, outputs=outputs)
    wanted = bulk.array(0, "label" if outputs == "labels" else "probability")[...]
    reply = ask(trained, scan.read_bytes(), outputs)
    found = media.read_npy(reply.body)
    assert found.dtype == wanted.dtype
    assert found.tobytes() == wanted.tobytes()
    drawn = open_dataset(trained, "guided-scans").array(0, "guide")[...]
    assert len(np.unique(drawn)) > 1  # the guide says something


def test_an_answer_says_what_the_fine_model_has_added(trained: Objects, scan: Path) -> None:
    reply = ask(trained, scan.read_bytes(), kind=media.NIFTI)
    found = nibabel.Nifti1Image.from_bytes(gzip.decompress(reply.body))
    assert found.shape == (19, 14, 12)
    assert reply.headers["medray-model"].startswith("fine@")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_replica_loads_both(trained: Objects, scan: Path) -> None:
    from medray.cluster.replica import Replica  # loads Ray Serve, which warns

    serving = pinned(trained, Serving.model_validate(SERVING))
    replica = Replica(serving, trained, "fine")
    asked = {"media": media.NIFTI, "accept": media.NPY, "outputs": ""}
    reply = asyncio.run(replica.predict(scan.read_bytes(), asked))
    assert reply.status == 200
    assert reply.body == ask(trained, scan.read_bytes()).body


def refusal(objects: Objects, **changed: Any) -> str:
    serving = Serving.model_validate(SERVING | changed)
    with pytest.raises(SpecError) as caught:
        described(objects, pinned(objects, serving))
    return caught.value.code


def test_a_guide_must_be_named_and_fit(trained: Objects) -> None:
    commit_model(trained, "chest", CNN)
    (told,) = described(trained, pinned(trained, Serving.model_validate(SERVING)))
    assert told["outputs"] == ["labels", "probabilities"]
    options = {"coarse": {"tta": True}}
    described(trained, Serving.model_validate(SERVING | {"options": options}))
    assert refusal(trained, guides={}) == "needs-guide"
    assert refusal(trained, guides={"fine": "chest"}) == "other-guide"
    assert refusal(trained, guides={"fine": "fine"}) == "needs-guide"
    assert refusal(trained, guides={"fine": "gone"}) == "no-such-model"
    assert refusal(trained, guides={"other": "coarse"}) == "bad-field"
    assert refusal(trained, models=("coarse",), guides={"coarse": "coarse"}) == "no-guide"


def test_the_guides_version_is_pinned(trained: Objects) -> None:
    serving = pinned(trained, Serving.model_validate(SERVING))
    assert serving.guides["fine"].startswith("coarse@")
