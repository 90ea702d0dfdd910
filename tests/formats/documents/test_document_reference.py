"""DocumentReference: texts and what is marked in them, read as servers write them, and back."""

import base64
import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from medray.errors import DataError
from medray.formats.base import Source
from medray.formats.fhir.document_reference import DocumentReference
from medray.jobs.run import run
from medray.storage.catalog.datasets import open_dataset
from medray.storage.shards.records import Refusal
from medray.storage.shards.rows import Rows
from medray.storage.store.objects import Objects
from tests.contract.document_examples import referenced

PLAIN = {"method": "none"}
NOTE = "Dr. Ann Smithson gave aspirin, not warfarin, on 2020-03-04."


def read(root: Path, **options: Any) -> tuple[list[dict[str, Any]], list[Refusal]]:
    form = DocumentReference(DocumentReference.Options.model_validate({"phi": PLAIN, **options}))
    rows, source = list[dict[str, Any]](), Source(root)
    plan = form.plan(source)
    refused = list(plan.refused)
    for item in (item for group in plan.groups for item in group):
        try:
            for one in form.read(source, item):
                if isinstance(one, Refusal):
                    refused.append(one)
                else:
                    assert isinstance(one, Rows)
                    rows += one.table.to_pylist()
        except DataError as error:
            refused.append(Refusal.of(item.key, error))
    return rows, refused


def lines(root: Path, *resources: Any) -> None:
    (root / "n.ndjson").write_text("".join(f"{json.dumps(one)}\n" for one in resources))


def attached(content: bytes, kind: str = "text/plain", **more: Any) -> dict[str, Any]:
    held = {"contentType": kind, "data": base64.b64encode(content).decode()} | more
    return {"content": [{"attachment": {key: v for key, v in held.items() if v is not None}}]}


def test_a_bundle_and_lines_of_it_say_the_same(tmp_path: Path) -> None:
    coded = {"coding": [{"system": "http://loinc.org", "code": "34117-2"}]}
    note = referenced(
        "a", "µg ≤ 5\r\nend", type=coded, date="1995-04-26T15:14:52.460+00:00", status="superseded"
    )
    note["subject"] = {"reference": "urn:uuid:77"}
    patient = {"resourceType": "Patient", "id": "77"}
    entries = [{"resource": patient, "fullUrl": "urn:uuid:77"}, {"resource": note}]
    (tmp_path / "b.json.gz").write_bytes(
        gzip.compress(json.dumps({"resourceType": "Bundle", "entry": entries}).encode(), mtime=0)
    )
    of_bundle, others = read(tmp_path, splits={"b.json.gz": "test"})
    assert of_bundle == [
        {
            "sample_id": "a", "subject": "77", "split": "test", "text": "µg ≤ 5\r\nend",
            "status": "superseded", "type": "LOINC//34117-2", "date": "1995-04-26",
        }
    ]  # fmt: skip
    assert [(one.code, one.kind) for one in others] == [("other-resources", "passed-over")]
    (tmp_path / "b.json.gz").unlink()
    lines(tmp_path, note)
    assert read(tmp_path, splits={"n.ndjson": "test"}) == (of_bundle, [])


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"id": None}, "no-id"),
        ({"status": "entered-in-error"}, "withdrawn"),
        ({"content": 3}, "bad-resource"),
        ({"content": []}, "not-plain-text"),
        (attached(b"<p>x</p>", "text/html"), "not-plain-text"),
        (attached(b"x", data=None, url="Binary/1"), "no-attachment-data"),
        (attached(b"x", data="eA"), "bad-base64"),
        (attached(b" \n"), "no-text"),
        (attached(b"x" * 101), "too-long"),
        (attached(b"\xe9"), "wrong-encoding"),
        (attached(b"x", "text/plain; charset=utf-7"), "unknown-encoding"),
        (attached(b"x", size=2), "size-disagrees"),
        (attached(b"x", hash="AAAA"), "checksum"),
    ],
)
def test_what_can_not_be_read_is_refused_by_itself(
    tmp_path: Path, change: dict[str, Any], code: str
) -> None:
    lines(tmp_path, {**referenced("bad", "x"), **change}, referenced("good", "fine"))
    rows, refused = read(tmp_path, max_characters=100)
    assert [row["text"] for row in rows] == ["fine"]
    assert [(one.code, one.sample) for one in refused] == [(code, "DocumentReference, row 1")]
    assert (refused[0].kind == "passed-over") == (code == "withdrawn")


def test_an_empty_file_is_accounted_for(tmp_path: Path) -> None:
    lines(tmp_path, referenced("a", "fine"))
    (tmp_path / "none.ndjson").touch()
    rows, refused = read(tmp_path)
    assert [row["text"] for row in rows] == ["fine"]
    assert [(one.source, one.code) for one in refused] == [("none.ndjson", "empty-file")]


def test_encodings_hashes_and_copies(tmp_path: Path) -> None:
    data = "naïve".encode("latin-1")
    told = base64.b64encode(hashlib.sha1(data, usedforsecurity=False).digest()).decode()
    latin = attached(data, 'text/plain;charset="ISO-8859-1"', hash=told, size=5)
    lines(tmp_path, {**referenced("a", ""), **latin}, referenced("a", "again"), ["no resource"])
    rows, refused = read(tmp_path)
    assert [row["text"] for row in rows] == ["naïve"]
    assert [one.code for one in refused] == ["duplicate-id", "other-resources"]


def test_what_exports_of_several_nights_tell_again(tmp_path: Path) -> None:
    first, other = referenced("a", "fine"), referenced("b", "well")
    lines(tmp_path, first, {**other, "status": "entered-in-error"}, first)
    later = [dict(reversed(first.items())), other, referenced("a", "amended")]
    entries = [{"resource": one} for one in later]
    (tmp_path / "z.json").write_text(json.dumps({"resourceType": "Bundle", "entry": entries}))
    rows, refused = read(tmp_path)
    assert [(row["sample_id"], row["text"]) for row in rows] == [("a", "fine"), ("b", "well")]
    assert [(one.sample, one.code, one.kind) for one in refused] == [
        ("DocumentReference, row 2", "withdrawn", "passed-over"),
        ("DocumentReference, row 3", "copy", "passed-over"),
        ("DocumentReference, row 1", "copy", "passed-over"),
        ("DocumentReference, row 3", "duplicate-id", "quarantined"),
    ]


def test_copies_are_no_errors_however_many(tmp_path: Path) -> None:
    lines(tmp_path, *[referenced("a", "fine")] * 1200)
    rows, refused = read(tmp_path)
    assert len(rows) == 1
    assert [one.code for one in refused] == ["copy"] * 1199


def test_marks_of_utf8_are_no_text(tmp_path: Path) -> None:
    note = {**referenced("a", ""), **attached(b"\xef\xbb\xbffine")}
    bundle = json.dumps({"resourceType": "Bundle", "entry": [{"resource": note}]})
    (tmp_path / "b.json").write_text(bundle, encoding="utf-8-sig")
    assert [row["text"] for row in read(tmp_path)[0]] == ["fine"]


def page(*items: Any) -> bytes:
    return json.dumps({"type": "AnnotationPage", "items": list(items)}).encode()


def tag(name: str, *ends: tuple[int, int]) -> dict[str, Any]:
    targets = [
        {"selector": {"type": "TextPositionSelector", "start": begin, "end": end}}
        for begin, end in ends
    ]
    return {"id": name, "motivation": "tagging", "body": {"value": "Drug"}, "target": targets}


LINK = {"id": "r", "motivation": "linking", "body": {"value": "with"}, "target": ["a", "z"]}


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"{", "bad-json"),
        (b"[]", "bad-annotation"),
        (page(tag("a", (0, 3)) | {"body": {}}), "bad-annotation"),
        (page(tag("a")), "bad-annotation"),
        (page(tag("a", (0, 99))), "span-outside"),
        (page(tag("a", (0, 3)), LINK), "unknown-annotation"),
    ],
)
def test_annotations_that_do_not_fit_refuse_their_document(
    tmp_path: Path, data: bytes, code: str
) -> None:
    note = referenced("n", "aspirin")
    note["content"] += attached(data, "application/ld+json")["content"]
    lines(tmp_path, note)
    rows, refused = read(tmp_path, annotated=True)
    assert (rows, [one.code for one in refused]) == ([], [code])
    assert len(read(tmp_path)[0]) == 1


def test_names_and_dates_do_not_leave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDRAY_DEID_KEY", "k" * 64)
    begin = NOTE.index("aspirin")
    note = referenced("canary-id", NOTE, date="2020-03-04T00:00:00Z")
    note["content"] += attached(page(tag("a", (begin, begin + 7))), "application/ld+json")[
        "content"
    ]
    lines(tmp_path, note, {**note, "id": "canary-bad", "content": []})
    rows, refused = read(tmp_path, phi={"method": "keyed"}, annotated=True)
    told = json.dumps([rows, [vars(one) for one in refused]])
    for name in ("Smithson", "2020-03-04", "canary", "pcanary", "n.ndjson"):
        assert name not in told
    (span,) = rows[0]["spans"]
    assert rows[0]["text"][span["begin"] : span["end"]] == "aspirin"
    assert rows[0]["date"] in rows[0]["text"]


def test_what_a_patient_is_called_is_taken_out_of_its_notes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDRAY_DEID_KEY", "k" * 64)
    patient = {
        "resourceType": "Patient", "id": "pa",
        "name": [{"family": "Xyloph", "given": ["Qwerina7", 3]}, {"text": "Zed", "given": 1}, None],
    }  # fmt: skip
    entries = [referenced("a", "Qwerina7\n is well. XYLOPH, Zed and a zed."), patient]
    bundle = {"resourceType": "Bundle", "entry": [{"resource": one} for one in entries]}
    (tmp_path / "b.json").write_text(json.dumps(bundle))
    (row,), _ = read(tmp_path, phi={"method": "keyed"})
    assert not any(name in row["text"] for name in ("Qwerina", "XYLOPH", "Zed"))
    assert row["text"].endswith(" and a zed.")


def test_what_is_written_is_read_again(objects: Objects, tmp_path: Path) -> None:
    first, last = NOTE.index("aspirin"), NOTE.index("warfarin")
    spans = [tag("a", (first, first + 7)), tag("b", (first, first + 3), (last, last + 8))]
    link = LINK | {"target": ["b", "a"]}
    coded = {"coding": [{"system": "http://snomed.info/sct", "code": "371531000"}]}
    note = referenced("odd_name", NOTE, type=coded, date="2020-03-04T00:00:00Z")
    note["content"] += attached(page(*spans, link), "application/ld+json")["content"]
    source = tmp_path / "in"
    source.mkdir()
    lines(source, note, referenced("b", "nothing is marked"))
    form = {"name": "document_reference", "phi": PLAIN, "annotated": True}
    out = str(tmp_path / "out")
    steps = [
        {"kind": "ingest", "format": form, "source": str(source), "output": "notes"},
        {"kind": "export", "data": "notes", "format": {"name": form["name"]}, "to": out},
        {"kind": "ingest", "format": form, "source": out, "output": "again"},
    ]
    run(steps, storage=objects, cluster="inline")
    before, after = (open_dataset(objects, name).samples.to_pylist() for name in ("notes", "again"))
    assert len(before) == 2
    # FHIR has no underscore in ids, so that one has another name there.
    kept = [{k: v for k, v in row.items() if k != "sample_id"} for row in before]
    assert [{k: v for k, v in row.items() if k != "sample_id"} for row in after] == kept
    assert [row["sample_id"] for row in after][1] == "b"
    parts = [first, first + 3, last, last + 8]
    assert before[0]["spans"][1] == {
        "begin": first, "end": last + 8, "type": "Drug", "parts": parts,
    }  # fmt: skip
    assert before[0]["relations"] == [{"type": "with", "first": 1, "second": 0}]
    assert before[1]["spans"] is None
    written = [json.loads(one) for one in (tmp_path / "out/notes.ndjson").read_text().splitlines()]
    assert written[0]["type"] == coded
    assert len(written[1]["content"]) == 1


def test_notes_of_synthea(data_dir: Path) -> None:
    rows, refused = read(data_dir / "ehr/fhir_synthea")
    assert len(rows) == sum("# Assessment and Plan" in row["text"] for row in rows)
    assert {one.code for one in refused} == {"other-resources", "copy"}


def test_names_of_synthea_do_not_leave(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDRAY_DEID_KEY", "k" * 64)
    told = json.dumps(read(data_dir / "ehr/fhir_synthea", phi={"method": "keyed"})[0])
    called = set[str]()
    for path in (data_dir / "ehr/fhir_synthea").glob("*.json.gz"):
        with gzip.open(path) as file:
            entries = json.load(file)["entry"]
        people = (
            one["resource"] for one in entries if one["resource"]["resourceType"] == "Patient"
        )
        called |= {name for one in people for name in one["name"][0]["given"]}
    assert len(called) > 8
    assert not [name for name in called if name in told]


def test_half_of_a_character_refuses_its_document_alone(tmp_path: Path) -> None:
    lines(tmp_path, referenced("a", "one", description="\ud83d"), referenced("b", "two"))
    rows, refused = read(tmp_path)
    assert [row["sample_id"] for row in rows] == ["b"]
    assert [one.code for one in refused] == ["not-utf8"]
