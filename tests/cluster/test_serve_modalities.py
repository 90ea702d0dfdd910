"""Sequences, tables, beats and folds behind a real Ray Serve: answers of bulk, one or many."""

import io
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "serving"))

from endpoint import (
    Client,
    arrow,
    commit_beats,
    commit_dna,
    commit_ner,
    commit_table,
    free_port,
    npy,
    rows_of,
)

from medray.jobs.run import run
from medray.jobs.serve import serving
from medray.modalities.media import ARROW, JSON, NPY
from medray.serving.tokens import add_token
from medray.storage.catalog.datasets import open_dataset
from medray.storage.store.objects import Objects
from tests.callset import ingest_steps, records, save_network, write_vcf
from tests.recordings import save_tagger, write_records

pytestmark = [
    pytest.mark.drill,
    pytest.mark.timeout(400),
    # Ray 2.60 uses what it has deprecated itself, and leaves sockets to the collector.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
CHANCE = np.random.default_rng(3)
TEXTS = ["".join(CHANCE.choice(list("ACGT"), n)) for n in (5, 20, 33, 12, 20, 7)]
DIGITAL = CHANCE.integers(-300, 300, (6, 2, 20), np.int16)  # of beats, at 200 a millivolt
LOUD = np.repeat(CHANCE.uniform(0.1, 1.5, (5, 1, 8)), 50, axis=2)
STRIPS = (CHANCE.normal(0, 1, (5, 1, 400)) * LOUD).astype(np.float32)  # of four seconds
NOTES = ["Aspirin raises warfarin.", "Rest.", "naïve 🩸 rats\nand µg/kg"] * 2
ROWS = [{"rna": [float(n), 1.0, 2.5], "cnv": [0.5 * n, 1.0]} for n in range(6)]

SCORE = {"kind": "variants", "model": "scorer", "data": "sites", "genome": "genome"}
SCORE |= {"statistics": ["diff", "l2"], "unit": 40, "batch": 8}


@dataclass
class Served:
    objects: Objects
    client: Client


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    objects = Objects(str(folder / "store"))
    commit_dna(objects, "dna")
    commit_dna(objects, "dna-folds", folds=3)
    commit_dna(objects, "genes", per_base=True)
    commit_table(objects, "omics", {"rna": 3, "cnv": 2})
    commit_beats(objects, "beats")
    commit_ner(objects, "marks")
    (folder / "raw").mkdir()
    (folder / "beats").mkdir()
    rr = CHANCE.uniform(0.5, 1.2, (6, 2)).astype(np.float32)
    np.savez(folder / "beats/b.npz", x=DIGITAL, rr=rr, record=np.repeat([7, 9], 3), fs=125)
    lines = "".join(f">s{n}\n{text}\n" for n, text in enumerate(TEXTS))
    (folder / "raw/reads.fa").write_text(lines)
    ingest = {"kind": "ingest", "format": {"name": "fasta"}, "output": "reads"}
    windows = {"name": "genome-windows", "width": 20}
    steps = [
        {**ingest, "source": str(folder / "raw")},
        {"kind": "transform", "data": "reads", "operation": windows, "output": "pieces"},
    ]
    steps += [
        {"kind": "predict", "model": name, "data": "pieces", "output": f"{name}-plain", "batch": 4}
        for name in ("dna", "dna-folds", "genes")
    ]
    form = {"name": "signal-npz", "signal": "x", "rr": "rr", "record": "record", "rate": "fs"}
    form |= {"scale": 0.005, "leads": ["MLII", "V1"], "context": "median-beat"}
    source = str(folder / "beats")
    steps += [
        {"kind": "ingest", "format": form, "source": source, "output": "cut"},
        {"kind": "predict", "model": "beats", "data": "cut", "output": "beats-plain", "batch": 4},
    ]
    save_tagger(objects, "rhythms")
    write_records(folder / "whole", range(2), rate=150)
    (folder / "strips").mkdir()
    np.savez(folder / "strips/s.npz", x=STRIPS)
    strips = {"name": "signal-npz", "signal": "x", "rate": 100, "leads": ["II"]}
    source = str(folder / "strips")
    steps += [
        {"kind": "ingest", "format": strips, "source": source, "output": "strips"},
        {
            "kind": "predict",
            "model": "rhythms",
            "data": "strips",
            "output": "rhythms-plain",
            "batch": 4,
        },
        {
            "kind": "ingest",
            "format": {"name": "wfdb", "deidentify": {"method": "none"}},
            "source": str(folder / "whole"),
            "output": "whole",
        },
        {"kind": "predict", "model": "rhythms", "data": "whole", "output": "whole-plain"},
    ]
    (folder / "notes").mkdir()
    lines = [json.dumps({"text": text}) for text in NOTES]
    (folder / "notes/n.ndjson").write_text("\n".join(lines))
    form = {"name": "notes", "phi": {"method": "none"}}
    steps += [
        {"kind": "ingest", "format": form, "source": str(folder / "notes"), "output": "notes"},
        {"kind": "predict", "model": "marks", "data": "notes", "output": "marks-plain"},
    ]
    save_network(objects, "scorer")
    steps += ingest_steps(folder, write_vcf(folder / "vcf/sites.vcf", records()))
    steps.append({**SCORE, "output": "scores-plain"})
    run(steps, storage=objects, cluster="inline")
    token, port = add_token(folder / "tokens"), free_port()
    args = {
        "models": ("dna", "dna-folds", "genes", "omics", "beats", "rhythms", "marks", "scorer"),
        "storage": objects.url,
        "token_file": str(folder / "tokens"),
        "cpus": 0.2,
        "timeout_s": 60,
    }
    with serving(args, port=port, num_cpus=2):
        yield Served(objects, Client(port, token))


@pytest.mark.parametrize("model", ["dna", "dna-folds"])
def test_sequences_are_answered_as_in_bulk(served: Served, model: str) -> None:
    pieces = {r["sample_id"]: r["sequence"] for r in _rows(served, "pieces")}
    wanted = {row["sample_id"]: row for row in _rows(served, f"{model}-plain")}
    assert len(wanted) > 4
    listed = [{"sample_id": name, "sequence": text} for name, text in pieces.items()]
    many = served.client.predict(model, json.dumps(listed).encode(), JSON)
    columns = {"sample_id": list(pieces), "sequence": list(pieces.values())}
    table = served.client.predict(model, arrow(columns), ARROW)
    assert (many.status, table.status) == (200, 200), (many.body, table.body)
    for answers in (many.json["answers"], rows_of(table.body)):
        assert {answer["sample_id"] for answer in answers} == set(wanted)
        for answer in answers:
            own = wanted[answer["sample_id"]]
            np.testing.assert_allclose(answer["probability"], own["probability"], rtol=1e-5)
            assert answer["predicted"] == own["predicted"]
    for name, text in list(pieces.items())[:3]:
        one = served.client.predict(model, json.dumps({"sequence": text}).encode(), JSON)
        assert one.json["predicted"] == wanted[name]["predicted"]
        assert one.headers["medray-model"].startswith(f"{model}@")


def test_bases_and_tables_are_answered(served: Served) -> None:
    body = json.dumps({"sequence": TEXTS[3]}).encode()
    told = served.client.predict("genes", body, JSON)
    array = served.client.predict("genes", body, JSON, accept=NPY)
    assert np.shape(told.json["probability"]) == (2, 12)
    assert array.headers["content-type"] == NPY
    listed = [{"features": row} for row in ROWS]
    many = served.client.predict("omics", json.dumps(listed).encode(), JSON).json["answers"]
    lists = {name: pa.array([row[name] for row in ROWS]) for name in ("rna", "cnv")}
    table = rows_of(served.client.predict("omics", arrow(lists), ARROW).body)
    assert [one["probability"] for one in table] == [one["probability"] for one in many]
    assert len({tuple(one["probability"]) for one in many}) == len(ROWS)
    assert served.client.predict("omics", b"{}", JSON).status == 422
    assert served.client.predict("omics", b"x", "image/png").status == 415


def test_beats_are_answered_as_in_bulk(served: Served) -> None:
    stored = open_dataset(served.objects, "cut")
    asked = [
        {
            "sample_id": row["sample_id"],
            "signal": (DIGITAL[at].astype(np.float32) / 200).tolist(),
            "context": stored.array(at, "context")[...].tolist(),
            "columns": {name: row[name] for name in ("rr_prev_s", "rr_median_s", "rr_next_s")},
        }
        for at, row in enumerate(stored.samples.to_pylist())
    ]
    many = served.client.predict("beats", json.dumps(asked).encode(), JSON)
    assert many.status == 200, many.body
    wanted = {row["sample_id"]: row for row in _rows(served, "beats-plain")}
    assert {one["sample_id"] for one in many.json["answers"]} == set(wanted)
    for one in many.json["answers"]:
        own = wanted[one["sample_id"]]
        assert one["predicted"] == own["predicted"]
        np.testing.assert_allclose(one["probability"], own["probability"], rtol=1e-5)
    assert len({tuple(row["probability"]) for row in wanted.values()}) == 6


def test_signals_are_tagged_sample_by_sample_as_in_bulk(served: Served) -> None:
    plain = open_dataset(served.objects, "rhythms-plain")
    names = [row["sample_id"] for row in plain.samples.to_pylist()]
    wanted = np.stack([plain.array(at, "probability")[...] for at in range(len(names))])
    assert wanted.shape == (5, 3, 400)
    assert len(set(wanted[0].argmax(0).tolist())) > 1, "it says now this and now that"
    asked = [
        {"sample_id": name, "signal": one.tolist()} for name, one in zip(names, STRIPS, strict=True)
    ]
    many = served.client.predict("rhythms", json.dumps(asked).encode(), JSON)
    assert many.status == 200, many.body
    assert [one["sample_id"] for one in many.json["answers"]] == names
    told = np.array([one["probability"] for one in many.json["answers"]])
    np.testing.assert_allclose(told, wanted, rtol=1e-4, atol=1e-6)
    tensors = pa.FixedShapeTensorArray.from_numpy_ndarray(STRIPS)
    table = served.client.predict("rhythms", arrow({"signal": tensors}), ARROW)
    assert table.status == 200, table.body
    for row, own in zip(rows_of(table.body), wanted, strict=True):
        values = np.frombuffer(row["probability"], row["dtype"]).reshape(row["shape"])
        np.testing.assert_allclose(values, own, rtol=1e-4, atol=1e-6)
    one = served.client.predict("rhythms", npy(STRIPS[2]), NPY, accept=NPY)
    assert one.headers["content-type"] == NPY
    np.testing.assert_allclose(np.load(io.BytesIO(one.body)), wanted[2], rtol=1e-4, atol=1e-6)
    short = served.client.predict("rhythms", npy(STRIPS[2][:, 1:]), NPY)
    assert (short.status, short.json["error"]["code"]) == (422, "model-mismatch")


def test_a_recording_is_answered_by_its_intervals(served: Served) -> None:
    wanted = {row["sample_id"]: row for row in _rows(served, "whole-plain")}
    stored = open_dataset(served.objects, "whole")
    for at, name in enumerate(row["sample_id"] for row in stored.samples.to_pylist()):
        values = stored.array(at, "signal_150")[...] / 200
        body = json.dumps({"signal": values.tolist(), "rate": 150}).encode()
        answer = served.client.predict("rhythms", body, JSON)
        assert answer.status == 200, answer.body
        assert len(answer.json["annotations"]) > 10
        assert answer.json["annotations"] == wanted[name]["annotations"]


def test_texts_are_answered_as_in_bulk(served: Served) -> None:
    stored = {row["sample_id"]: row["text"] for row in _rows(served, "notes")}
    assert sorted(stored.values()) == sorted(NOTES)
    wanted = {row["sample_id"]: row["spans"] for row in _rows(served, "marks-plain")}
    assert len({str(spans) for spans in wanted.values()}) == 3
    listed = [{"sample_id": name, "text": text} for name, text in stored.items()]
    many = served.client.predict("marks", json.dumps(listed).encode(), JSON)
    assert many.status == 200, many.body
    assert {one["sample_id"]: one["spans"] for one in many.json["answers"]} == wanted
    nothing = served.client.predict("marks", b'{"text": ""}', JSON)
    assert (nothing.status, nothing.json["spans"]) == (200, [])
    long = ("warfarin " * 111_112)[:1_000_000]
    answer = served.client.predict("marks", json.dumps({"text": long}).encode(), JSON)
    assert answer.status == 200, answer.body
    spans = answer.json["spans"]
    assert spans[-1]["end"] == 1_000_000
    assert all(0 <= a["end"] <= b["begin"] < len(long) for a, b in pairwise(spans))


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 422, "bad-json"),
        (b"\xff\x00{", 422, "bad-json"),
        (b"Aspirin raises warfarin.", 422, "bad-json"),
        (b'{"text": null}', 422, "bad-json"),
        (b'{"text": "a", "spans": []}', 422, "bad-json"),
        (json.dumps({"text": "a" * 1_000_001}).encode(), 413, "too-large"),
    ],
)
def test_what_is_no_text_is_refused(served: Served, body: bytes, status: int, code: str) -> None:
    answer = served.client.predict("marks", body, JSON)
    assert (answer.status, answer.json["error"]["code"]) == (status, code)
    assert "Aspirin" not in answer.body.decode()


def test_each_model_has_a_path_and_schemas_of_its_own(served: Served) -> None:
    paths = served.client.ask("GET", "/openapi.json").json["paths"]
    for model in served.client.ask("GET", "/v1/models").json["models"]:
        operation = paths[f"/v1/models/{model['name']}:predict"]["post"]
        assert set(operation["requestBody"]["content"]) == set(model["takes"])
        assert set(model["takes"]) - {NPY} == (
            {JSON} if model["name"] == "marks" else {JSON, ARROW}
        )
        assert set(operation["responses"]["200"]["content"]) == set(model["gives"])
    page = served.client.ask("GET", "/docs").body.decode()
    assert "sequences of 20 bases" in page
    assert "rna: 3 features" in page
    assert "signals of 20 samples at 125 Hz, leads MLII, V1" in page


@pytest.mark.parametrize(
    ("model", "data"),
    [
        ("dna", "pieces"),
        ("dna-folds", "pieces"),
        ("genes", "pieces"),
        ("beats", "cut"),
        ("rhythms", "strips"),
    ],
)
def test_bulk_goes_to_the_same_replicas_and_commits_the_same(
    served: Served, model: str, data: str
) -> None:
    asked: dict[str, Any] = {"model": model, "data": data, "output": f"{model}-bulk"}
    _done_in_bulk(served, {**asked, "batch": 4})
    plain = open_dataset(served.objects, f"{model}-plain").digest
    assert open_dataset(served.objects, f"{model}-bulk").digest == plain


def test_variants_are_scored_by_the_replicas_as_without_them(served: Served) -> None:
    result = _done_in_bulk(served, {**SCORE, "output": "scores-bulk"})
    plain = open_dataset(served.objects, "scores-plain")
    made = open_dataset(served.objects, "scores-bulk")
    assert result["steps"][0]["units"]["committed"] == len(plain.shards) > 2
    assert made.digest == plain.digest


def _done_in_bulk(served: Served, asked: dict[str, Any]) -> dict[str, Any]:
    started = served.client.ask("POST", "/v1/bulk", json.dumps(asked).encode())
    assert started.status == 202, started.body
    until = time.monotonic() + 150
    path = f"/v1/bulk/{started.json['job']}"
    while (state := served.client.ask("GET", path).json)["state"] == "running":
        assert time.monotonic() < until
        time.sleep(0.5)
    assert state["state"] == "done", state
    result: dict[str, Any] = state["result"]
    return result


def _rows(served: Served, name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = open_dataset(served.objects, name).samples.to_pylist()
    return rows
