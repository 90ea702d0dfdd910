"""One answer is what bulk predict commits for the same sample."""

import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pyarrow as pa
import pytest
from endpoint import (
    CNN,
    MASKS,
    UNET,
    arrow,
    ask,
    commit_dna,
    commit_model,
    commit_table,
    npy,
    pixels,
    png,
    rows_of,
)

from medray.errors import DataError, RetryableError, SpecError
from medray.jobs.run import run
from medray.modalities import media
from medray.modalities.loaded import load_model
from medray.serving.answer import answerer_of
from medray.serving.replies import failure
from medray.spec.serving import Serving
from medray.storage.catalog.datasets import Dataset, open_dataset
from medray.storage.shards.samples import Sample
from medray.storage.store.objects import Objects

Make = Callable[[str, list[Sample]], Dataset]


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


def test_maps_are_those_of_bulk(objects: Objects, tmp_path: Path) -> None:
    commit_model(objects, "liver", UNET, MASKS, (16, 32, 32))
    commit_model(objects, "chest")
    source = tmp_path / "raw"
    source.mkdir()
    body = png(pixels(1))
    (source / "0.png").write_bytes(body)
    asked = {"outputs": "grad-cam"}
    made = in_bulk(objects, "chest", source, "image", options=asked).sample(0)
    wanted = np.asarray(made.arrays["attribution"])
    answer = json.loads(ask(objects, "chest", body, media.PNG, **asked).body)
    assert answer["explained"] == made.row["explained"]
    assert answer["probability"] == pytest.approx(made.row["probability"])
    np.testing.assert_allclose(answer["attribution"], wanted, rtol=1e-5, atol=1e-7)
    reply = ask(objects, "chest", body, media.PNG, accept=media.NPY, **asked)
    np.testing.assert_allclose(np.load(io.BytesIO(reply.body)), wanted, rtol=1e-5, atol=1e-7)
    tensor = pa.FixedShapeTensorArray.from_numpy_ndarray(np.stack([pixels(1), pixels(2)]))
    tensors = arrow({"sample_id": ["a", "b"], "image": tensor})
    columns = ask(objects, "chest", tensors, media.ARROW, **asked)
    row, _ = rows_of(columns.body)
    found = np.frombuffer(row["attribution"], row["dtype"]).reshape(row["shape"])
    assert found.shape == wanted.shape

    volume = npy(np.random.default_rng(5).normal(30, 90, (1, 20, 44, 50)).astype(np.float32))
    reply = ask(objects, "liver", volume, media.NPY, **asked)
    assert np.load(io.BytesIO(reply.body)).shape == (1, 20, 44, 50)


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


TEXTS = ["ACGTACGTAC", "GATTACA", "NNNNCCCCGGGGTTTTAAAACCCC"]


@pytest.mark.parametrize("folds", [0, 3])
def test_sequences_are_answered_as_in_bulk(
    objects: Objects, make_dataset: Make, folds: int
) -> None:
    commit_dna(objects, "dna", folds=folds)
    make_dataset("raw", [Sample(f"s{n}", {"sequence": text}) for n, text in enumerate(TEXTS)])
    predict = {"kind": "predict", "model": "dna", "data": "raw", "output": "made", "batch": 4}
    run([predict], storage=objects, cluster="inline")
    wanted = {r["sample_id"]: r for r in open_dataset(objects, "made").samples.to_pylist()}

    one = json.loads(ask(objects, "dna", _json({"sequence": TEXTS[1]}), media.JSON).body)
    assert one["model"].startswith("dna@")
    assert one["predicted"] == wanted["s1"]["predicted"]
    np.testing.assert_allclose(one["probability"], wanted["s1"]["probability"], rtol=1e-6)

    listed = [{"sequence": text, "sample_id": f"s{n}"} for n, text in enumerate(TEXTS)]
    reply = ask(objects, "dna", _json(listed), media.JSON)
    columns = {"sequence": TEXTS, "sample_id": [f"s{n}" for n in range(len(TEXTS))]}
    table = ask(objects, "dna", arrow(columns), media.ARROW)
    assert (reply.media, table.media) == (media.JSON, media.ARROW)
    for answers in (json.loads(reply.body)["answers"], rows_of(table.body)):
        assert [answer["sample_id"] for answer in answers] == sorted(wanted)
        for answer in answers:
            own = wanted[answer["sample_id"]]
            assert answer["predicted"] == own["predicted"]
            np.testing.assert_allclose(answer["probability"], own["probability"], rtol=1e-6)


def test_bases_are_answered_as_in_bulk(objects: Objects, make_dataset: Make) -> None:
    commit_dna(objects, "genes", per_base=True)
    make_dataset("raw", [Sample("s", {"sequence": TEXTS[1]})])
    predict = {"kind": "predict", "model": "genes", "data": "raw", "output": "made"}
    run([predict], storage=objects, cluster="inline")
    wanted = open_dataset(objects, "made").sample(0).arrays["probability"]
    assert wanted.shape == (2, len(TEXTS[1]))
    body = _json({"sequence": TEXTS[1]})
    told = json.loads(ask(objects, "genes", body, media.JSON).body)
    np.testing.assert_allclose(told["probability"], wanted, rtol=1e-6)
    reply = ask(objects, "genes", body, media.JSON, accept=media.NPY)
    np.testing.assert_allclose(np.load(io.BytesIO(reply.body)), wanted, rtol=1e-6)
    (row,) = rows_of(ask(objects, "genes", arrow({"sequence": TEXTS[1:2]}), media.ARROW).body)
    made = np.frombuffer(row["probability"], row["dtype"]).reshape(row["shape"])
    np.testing.assert_allclose(made, wanted, rtol=1e-6)


@pytest.mark.parametrize("folds", [0, 2])
def test_tables_are_answered_as_in_bulk(objects: Objects, make_dataset: Make, folds: int) -> None:
    commit_table(objects, "omics", {"rna": 3, "cnv": 2}, folds)
    rows = [{"rna": [1, 2.5, None], "cnv": [0.5, 1]}, {"rna": [3, 4, 5], "cnv": None}]
    samples = [
        Sample(f"s{n}", {}, {k: np.array(v, np.float32) for k, v in row.items() if v is not None})
        for n, row in enumerate(rows)
    ]
    make_dataset("raw", samples)
    predict = {"kind": "predict", "model": "omics", "data": "raw", "output": "made", "batch": 4}
    run([predict], storage=objects, cluster="inline")
    wanted = open_dataset(objects, "made").samples.to_pylist()

    listed = [{"features": row, "sample_id": f"s{n}"} for n, row in enumerate(rows)]
    answers = json.loads(ask(objects, "omics", _json(listed), media.JSON).body)["answers"]
    columns = {
        name: pa.array([row[name] for row in rows], pa.list_(pa.float64()))
        for name in ("rna", "cnv")
    }
    table = rows_of(ask(objects, "omics", arrow(columns), media.ARROW).body)
    alone = json.loads(
        ask(objects, "omics", _json({"features": {"rna": [3, 4, 5]}}), media.JSON).body
    )
    assert {len(answers), len(table), len(wanted)} == {2}
    for found, own in [*zip(answers, wanted, strict=True), *zip(table, wanted, strict=True),
                       (alone, wanted[1])]:  # fmt: skip
        assert found["predicted"] == own["predicted"]
        np.testing.assert_allclose(found["probability"], own["probability"], rtol=1e-6)
        for name in ("rna", "cnv"):
            np.testing.assert_allclose(found["without"][name], own["without"][name], rtol=1e-5)


@pytest.mark.parametrize(
    ("model", "body", "code"),
    [
        ("dna", {"sequence": "ACGT?"}, "bad-letter"),
        ("dna", {"sequence": "MKVLAAGIVPQ" * 3}, "protein"),
        ("dna", {"sequence": "ACGÄ"}, "bad-letter"),
        ("dna", {"sequence": ""}, "empty-sequence"),
        ("dna", {"sequence": ["ACGT"]}, "bad-json"),
        ("dna", {"sequence": None}, "bad-json"),
        ("dna", {"sequence": "ACGT", "Doe": 1}, "bad-json"),
        ("dna", {"sequence": "ACGT", "sample_id": 3}, "bad-json"),
        ("dna", [], "bad-json"),
        ("dna", [{"sequence": "A", "sample_id": "x"}] * 2, "repeated-id"),
        ("dna", [[]], "bad-json"),
        ("dna", [{"sequence": "A"}] * 4097, "too-large"),
        ("omics", {"features": {"rna": [1, 2]}}, "model-mismatch"),
        ("omics", {"features": {"rna": [1, 2, 3], "Doe": [1]}}, "model-mismatch"),
        ("omics", {"features": {}}, "model-mismatch"),
        ("omics", {"features": {"rna": None, "cnv": None}}, "model-mismatch"),
        ("omics", {"features": {"rna": [1, "2", 3]}}, "bad-json"),
        ("omics", {"features": {"rna": [1, True, 3]}}, "bad-json"),
        ("omics", {"features": {"rna": [10**400, 1, 3]}}, "bad-json"),
        ("omics", {"features": {"rna": [[1], [2], [3]]}}, "bad-json"),
        ("omics", {"features": [1, 2, 3]}, "bad-json"),
        ("omics", {}, "bad-json"),
    ],
)
def test_what_is_no_sample_is_refused_without_quoting_it(
    objects: Objects, model: str, body: Any, code: str
) -> None:
    if model == "dna":
        commit_dna(objects, "dna")
    else:
        commit_table(objects, "omics", {"rna": 3, "cnv": 2})
    reply = ask(objects, model, _json(body), media.JSON)
    assert (reply.status, json.loads(reply.body)["error"]["code"]) == (
        413 if code == "too-large" else 422,
        code,
    )
    assert b"Doe" not in reply.body


def test_limits_hold_before_samples_take_memory(objects: Objects) -> None:
    commit_dna(objects, "dna", length=10**6)
    options = Serving(models=("dna",), decoded_bytes=3 * 10**6)
    few = answerer_of(load_model(objects, "dna"), options)
    with pytest.raises(DataError) as caught:
        few.read(_json([{"sequence": "A"}] * 4), media.JSON)
    assert caught.value.code == "too-large"
    assert len(few.read(_json([{"sequence": "A"}] * 3), media.JSON).samples) == 3
    with pytest.raises(DataError) as caught:
        few.read(b"[" + b" " * media.JSON_BYTES, media.JSON)
    assert caught.value.code == "too-large"


def test_a_model_is_asked_as_the_endpoint_is_set_to(objects: Objects) -> None:
    commit_model(objects, "chest")
    commit_model(objects, "liver", UNET, MASKS, (16, 32, 32))
    body = png(pixels(3))

    def told(**said: Any) -> list[float]:
        asked = Serving(models=("chest", "liver"), options=said)
        answerer = answerer_of(load_model(objects, "chest"), asked)
        question = answerer.read(body, media.PNG)
        (made,) = answerer.compute(question.samples)
        return list(made.row["probability"])

    plain = told()
    assert told(liver={"tta": True}) == plain
    assert told(chest={"tta": True}) != plain
    for wrong in ({"tta": 7}, {"window": 3}):
        with pytest.raises(SpecError) as caught:
            told(chest=wrong)
        assert caught.value.code == "bad-field"
        assert caught.value.about.startswith("options.chest")


def test_answers_that_are_short_are_batched_and_others_are_not(objects: Objects) -> None:
    commit_dna(objects, "dna")
    commit_dna(objects, "genes", per_base=True)
    commit_dna(objects, "genome", per_base=True, length=10**6)
    commit_model(objects, "chest")
    commit_model(objects, "liver", UNET, MASKS, (16, 32, 32))
    short = {
        name: answerer_of(load_model(objects, name), Serving(models=(name,))).short
        for name in ("dna", "genes", "genome", "chest", "liver")
    }
    assert short == {"dna": True, "genes": True, "genome": False, "chest": True, "liver": False}


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def test_what_went_wrong_is_said_without_quoting_it() -> None:
    reply = failure(ValueError("patient Doe, John"))
    assert reply.status == 500
    assert b"Doe" not in reply.body
    assert failure(MemoryError()).status == 413
    passing = failure(RetryableError("the store is away", code="storage-unreachable"))
    assert (passing.status, passing.headers) == (503, {"Retry-After": "1"})
