"""One answer is what bulk predict commits for the same sample."""

import gzip
import io
import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from endpoint import CNN, MASKS, UNET, commit_model, npy, pixels, png

from medray.errors import RetryableError
from medray.jobs.run import run
from medray.modalities.image.predictor import ImagePredictor
from medray.modalities.loaded import load_trained
from medray.serving import decode as media
from medray.serving.answer import Answerer, Reply, failure
from medray.serving.decode import Upload
from medray.storage.catalog.datasets import open_dataset
from medray.storage.store.objects import Objects

OPTIONS = {"overlap": 0.5, "tta": False, "precision": "fp32", "batch": 4, "outputs": "labels"}


def ask(objects: Objects, model: str, body: bytes, kind: str, **asked: str) -> Reply:
    answerer = Answerer(ImagePredictor(load_trained(objects, model), OPTIONS))
    try:
        question = answerer.read(Upload(body, kind, 2**28), **asked)
        return answerer.write(question, answerer.compute(question.samples, question.outputs))
    except Exception as error:  # noqa: BLE001
        return failure(error)


def in_bulk(objects: Objects, model: str, source: Path, format_: str, **options: Any) -> Any:
    ingest = {"kind": "ingest", "format": {"name": format_}, "source": str(source), "output": "raw"}
    predict = {"kind": "predict", "model": model, "data": "raw", "output": "made", "batch": 4}
    run([ingest, {**predict, **options}], storage=objects, cluster="inline")
    return open_dataset(objects, "made")


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_are_classified_as_in_bulk(
    objects: Objects, tmp_path: Path, channels: int
) -> None:
    commit_model(objects, "chest", CNN, channels=channels)
    source = tmp_path / "raw"
    source.mkdir()
    # Larger than a stored chunk along one side, so that statistics are merged over several.
    shapes = [(40, 36), (640, 100), (28, 28)]
    files = [png(pixels(n, (*s, 3) if channels == 3 else s)) for n, s in enumerate(shapes)]
    for number, body in enumerate(files):
        (source / f"{number}.png").write_bytes(body)
    rows = {
        row["sample_id"]: row
        for row in in_bulk(objects, "chest", source, "image").samples.to_pylist()
    }
    for number, body in enumerate(files):
        reply = ask(objects, "chest", body, media.PNG)
        assert reply.status == 200, reply.body
        answer = json.loads(reply.body)
        wanted = rows[str(number)]
        assert answer["predicted"] == wanted["predicted"]
        np.testing.assert_allclose(answer["probability"], wanted["probability"], rtol=1e-6)


def test_masks_are_those_of_bulk_bit_by_bit(objects: Objects, tmp_path: Path) -> None:
    commit_model(objects, "liver", UNET, MASKS, (16, 32, 32))
    source = tmp_path / "raw"
    source.mkdir()
    values = np.random.default_rng(5).normal(30, 90, (40, 44, 50)).astype(np.int16)
    affine = np.diag([0.8, 0.9, 2.5, 1.0])
    nibabel.save(nibabel.Nifti1Image(values, affine), source / "case.nii.gz")
    body = (source / "case.nii.gz").read_bytes()
    wanted = np.asarray(in_bulk(objects, "liver", source, "nifti").sample(0).arrays["label"])
    assert 0 < wanted.sum() < wanted.size

    reply = ask(objects, "liver", body, media.NIFTI)
    assert (reply.status, reply.media) == (200, media.NIFTI)
    made = nibabel.Nifti1Image.from_bytes(gzip.decompress(reply.body))
    np.testing.assert_array_equal(np.asarray(made.dataobj).T, wanted)
    np.testing.assert_allclose(made.affine, affine, atol=1e-6)

    reply = ask(objects, "liver", body, media.NIFTI, accept=media.NPY)
    np.testing.assert_array_equal(np.load(io.BytesIO(reply.body)), wanted)
    reply = ask(objects, "liver", npy(values.T[None]), media.NPY)
    np.testing.assert_array_equal(np.load(io.BytesIO(reply.body)), wanted)
    reply = ask(objects, "liver", npy(values.T[None]), media.NPY, outputs="probabilities")
    probability = np.load(io.BytesIO(reply.body))
    assert probability.shape == (2, *wanted.shape)
    assert (probability.argmax(0) == wanted).mean() > 0.9999


def test_requests_that_cannot_be_answered(objects: Objects) -> None:
    commit_model(objects, "chest")
    commit_model(objects, "liver", UNET, MASKS, (16, 32, 32))
    body = png(pixels(1))

    def refused(model: str, data: bytes, kind: str, **asked: str) -> tuple[int, str]:
        reply = ask(objects, model, data, kind, **asked)
        return reply.status, json.loads(reply.body)["error"]["code"]

    assert refused("liver", body, media.PNG) == (422, "model-mismatch")
    assert refused("chest", body, "text/html") == (415, "unsupported-media")
    assert refused("chest", body, media.PNG, accept="image/png") == (406, "not-acceptable")
    assert refused("chest", body, media.PNG, outputs="logits") == (422, "bad-outputs")
    volume = npy(np.zeros((1, 16, 32, 32), np.float32))
    assert refused("liver", volume, media.NPY, accept=media.NIFTI) == (422, "no-affine")


def test_what_went_wrong_is_said_without_quoting_it() -> None:
    reply = failure(ValueError("patient Doe, John"))
    assert reply.status == 500
    assert b"Doe" not in reply.body
    assert failure(MemoryError()).status == 413
    passing = failure(RetryableError("the store is away", code="storage-unreachable"))
    assert (passing.status, passing.headers) == (503, {"Retry-After": "1"})
