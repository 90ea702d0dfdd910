"""FHIR R4: every kind of resource is read or counted, copies count once, what is known when."""

import gzip
import json
import random
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from medray.jobs.run import run
from medray.storage.catalog.commit import Commit
from medray.storage.catalog.commits import Commits
from medray.storage.catalog.datasets import open_dataset
from medray.storage.catalog.ledger import Ledger
from medray.storage.catalog.publish import publish
from medray.storage.shards.samples import Sample
from medray.storage.shards.writer import ShardWriter
from medray.storage.store.objects import Objects
from tests.contract.record_examples import fhir, resources
from tests.events import Read

sys.path.insert(0, str(Path(__file__).parent.parent / "contract"))
import format_damage as damage

DRILL = (pytest.mark.drill, pytest.mark.timeout(600))
PLAIN = {"method": "none"}
SUBJECT = {"reference": "Patient/a"}
LOINC = {"coding": [{"system": "http://loinc.org", "code": "1"}]}


def read(root: Path, **options: Any) -> Read:
    return Read("fhir", root, deidentify=PLAIN, **options)


def of(root: Path, *found: Any) -> Read:
    (root / "x.ndjson").write_text("".join(f"{json.dumps(one)}\n" for one in found))
    return read(root)


def test_bundles_and_lines_say_the_same(tmp_path: Path) -> None:
    fhir(tmp_path)
    found = read(tmp_path)
    assert set(found.events) == {"a", "b", "c"}
    plain = [[{**one, "row": 0} for one in found.events[name]] for name in ("a", "b", "c")]
    assert plain[0] == plain[1] == plain[2]
    assert found.told["Observation"] == [6, 6, {}]
    assert found.told["Coverage"] == [3, 0, {"unmapped kind": 3}]
    first, bound = [one for one in plain[0] if one["code"] == "LOINC//2951-2"]
    assert (first["time"], first["available_at"]) == ("2020-01-01T08:00:00", "2020-01-01T09:30:00")
    # float32 has no 140.1.
    assert (first["value"], first["number"], first["unit"]) == (140.1, "140.1", "mmol/L")
    # A date alone is known when its day is over, and "<3" is no 3.
    assert (bound["time"], bound["available_at"]) == ("2020-01-02T00:00:00", "2020-01-03T00:00:00")
    assert (bound["value"], bound["number"]) == (None, "<3")
    codes = {one["code"]: one["time"] for one in plain[0]}
    assert codes["MEDS_BIRTH"] == "1950-02-03T00:00:00"
    assert codes["GENDER//female"] is None
    assert codes["ENCOUNTER_END//IMP"] == "2020-01-05T10:00:00"


def test_a_condition_is_known_when_it_was_recorded(tmp_path: Path) -> None:
    told = {
        "resourceType": "Condition", "id": "1", "subject": SUBJECT, "code": LOINC,
        "onsetDateTime": "2020-01-01T00:00:00Z", "recordedDate": "2020-02-01T00:00:00Z",
        "abatementDateTime": "2020-01-05T00:00:00Z",
        "clinicalStatus": {"coding": [{"code": "resolved"}]},
    }  # fmt: skip
    wrong = {**told, "id": "2", "verificationStatus": {"coding": [{"code": "entered-in-error"}]}}
    found = of(tmp_path, told, wrong)
    assert [
        (one["code"], one["time"][:10], one["available_at"][:10]) for one in found.events["a"]
    ] == [
        ("LOINC//1", "2020-01-01", "2020-02-01"),
        ("CONDITION_END//LOINC//1", "2020-01-05", "2020-02-01"),
    ]
    assert found.told == {"Condition": [2, 2, {"withdrawn": 1}]}


def test_values_of_every_kind(tmp_path: Path) -> None:
    base = {"resourceType": "Observation", "subject": SUBJECT, "code": LOINC,
            "effectiveDateTime": "2020-01-01T00:00:00Z"}  # fmt: skip
    answer = {"coding": [{"system": "http://snomed.info/sct", "code": "9"}]}
    parts = [
        {"code": {"coding": [{**LOINC["coding"][0], "code": code}]}, "valueQuantity": {"value": v}}
        for code, v in (("8480-6", 120), ("8462-4", 80))
    ]
    found = of(
        tmp_path,
        {**base, "id": "1", "valueCodeableConcept": answer},
        {**base, "id": "2", "component": parts},
        {**base, "id": "3", "valueBoolean": True},
        {**base, "id": "4", "valueString": "Mr. Canary"},
        {**base, "id": "5", "code": {"text": "Mr. Canary"}, "valueInteger": 7},
    )
    assert [(one["code"], one["value"]) for one in found.events["a"]] == [
        ("LOINC//1//SNOMED//9", None),
        ("LOINC//8480-6", 120),
        ("LOINC//8462-4", 80),
        ("LOINC//1", 1),
        ("LOINC//1", None),
        ("UNKNOWN//uncoded", 7),
    ]
    assert "Canary" not in json.dumps(found.events)
    kept = read(tmp_path, keep_text=True)
    assert [one["words"] for one in kept.events["a"]] == ["", "", "", "", "Mr. Canary", ""]


def test_what_is_no_resource_is_refused_by_itself(tmp_path: Path) -> None:
    (tmp_path / "x.ndjson").write_text(
        "\n".join(
            [
                *map(json.dumps, resources("a")),
                "{",
                "3",
                json.dumps({"resourceType": "Observation", "id": "n", "code": LOINC}),
                json.dumps({"resourceType": "Patient", "id": "b", "birthDate": "yesterday"}),
                json.dumps(
                    {"resourceType": "Encounter", "id": "e", "subject": SUBJECT, "period": 3}
                ),
                json.dumps({"resourceType": "Practitioner", "id": "p"}),
                json.dumps({"resourceType": "Patient", "id": "c", "gender": "male"}),
            ]
        )
    )
    found = read(tmp_path)
    assert sorted((one.code, one.sample, one.kind) for one in found.refused) == [
        ("bad-json", "?, row 6", "quarantined"),
        ("bad-resource", "?, row 7", "quarantined"),
        ("bad-resource", "Encounter, row 10", "quarantined"),
        ("bad-time", "Patient, row 9", "quarantined"),
        ("no-subject", "Observation, row 8", "quarantined"),
        ("of-nobody", "Practitioner, row 11", "passed-over"),
    ]
    assert found.rows == 12


@pytest.mark.parametrize("lines", [True, False])
def test_half_of_a_character_refuses_its_resource_alone(tmp_path: Path, lines: bool) -> None:
    half = {"resourceType": "Patient", "id": "h", "name": [{"family": "a\ud83d"}]}
    seen = {"resourceType": "Observation", "id": "o", "code": LOINC, "valueString": "\ude00"}
    whole = [*resources("a"), {"resourceType": "Patient", "id": "😀", "gender": "male"}]
    found = [half, {**seen, "subject": SUBJECT}, *whole]
    if lines:
        read_ = of(tmp_path, *found)
    else:
        entry = [{"resource": one} for one in found]
        bundle = {"resourceType": "Bundle", "id": "\ud83d", "entry": entry}
        (tmp_path / "x.json").write_text(json.dumps(bundle))
        read_ = read(tmp_path)
    assert [(one.code, one.sample) for one in read_.refused] == [
        ("not-utf8", "?, row 1"), ("not-utf8", "?, row 2"),
    ]  # fmt: skip
    assert set(read_.events) == {"a", "😀"}
    (tmp_path / ("x.ndjson" if lines else "x.json")).unlink()
    assert read_.events["a"] == of(tmp_path, *found[2:]).events["a"]


@pytest.mark.parametrize("text", [r'{"a": "\ud83d", "b": NaN}', r'{"a": "\ud83d"', "[" * 5000])
def test_half_of_a_character_makes_no_json_of_what_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    (tmp_path / "y.ndjson").write_text(f'{text}\n{{"resourceType": "Patient", "id": "c"}}\n')
    assert [one.code for one in read(tmp_path).refused] == ["bad-json"] * 2


def test_synthea(data_dir: Path) -> None:
    """10 bundles, one of them beside its gzipped copy."""
    found = read(data_dir / "ehr/fhir_synthea")
    (copy,) = [one for one in found.refused if one.code == "copy"]
    assert copy.source.endswith(".json.gz")
    lines = {"Patient": 3}  # of patients.ndjson
    counts = {name: rows - lines.get(name, 0) for name, (rows, _, _) in found.told.items()}
    assert sum(counts.values()) == 4082
    assert (counts["Observation"], counts["Encounter"], counts["Patient"]) == (1377, 434, 10)
    assert len(found.events) == 13
    assert [one for one in found.refused if one.kind == "quarantined"] == []
    unmapped = {
        name for name, (_, _, dropped) in found.told.items() if dropped.get("unmapped kind")
    }
    assert {"Claim", "ExplanationOfBenefit"} <= unmapped


def test_a_patient_in_two_files_is_one_and_counts_once(
    objects: Objects, data_dir: Path, tmp_path: Path
) -> None:
    (bundle,) = (data_dir / "ehr/fhir_synthea").glob("Jeremiah*.json")
    source = tmp_path / "source"
    source.mkdir()
    shutil.copy(bundle, source / "a.json")
    form = {"name": "fhir", "deidentify": PLAIN}
    steps: list[dict[str, Any]] = [
        {"kind": "ingest", "format": form, "source": str(source), "output": "parts"},
        {"kind": "gather", "data": "parts", "output": "people"},
    ]
    run(steps, storage=objects, cluster="inline")
    (once,) = open_dataset(objects, "people")
    (source / "b.json.gz").write_bytes(gzip.compress(bundle.read_bytes()))
    run(steps, storage=objects, cluster="inline")
    (twice,) = open_dataset(objects, "people")
    assert once.row == twice.row
    assert all((once.arrays[name] == twice.arrays[name]).all() for name in ("time", "code", "row"))


def test_risks_leave_as_risk_assessments(objects: Objects, tmp_path: Path) -> None:
    ledger = Ledger(objects, "risks")
    attempt = ledger.begin("u")
    writer = ShardWriter(objects, ledger.shard_path(attempt))
    for n in range(3):
        row = {"subject": f"p{n}", "probability": [1 - n / 4, n / 4]}
        when = "2020-01-02T00:00:00"
        writer.add(Sample(f"p{n}@{when}", {**row, "prediction_time": when}))
    commit = ledger.commit(attempt, Commit("u", attempt.id, writer.finish(), 3, []))
    task = {"name": "classification", "classes": ["left", "died"]}
    publish(
        objects, "risks", kind="predict", spec="", commits=Commits.of([commit]), refused=[],
        parents=[], attributes={"task": task, "model": "net@1"},
    )  # fmt: skip
    form = {"name": "fhir", "outcome": "death in hospital"}
    export = {"kind": "export", "data": "risks", "format": form, "to": str(tmp_path / "out")}
    run([export], storage=objects, cluster="inline")
    lines = (tmp_path / "out/risks.ndjson").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    assert [one["subject"]["reference"] for one in found] == [
        "Patient/p0",
        "Patient/p1",
        "Patient/p2",
    ]
    assert found[1]["prediction"] == [
        {"outcome": {"text": "death in hospital"}, "probabilityDecimal": 0.25}
    ]
    assert {one["resourceType"] for one in found} == {"RiskAssessment"}
    assert found[0]["occurrenceDateTime"] == "2020-01-02T00:00:00Z"
    assert len({one["id"] for one in found}) == 3


@pytest.mark.parametrize("count", [200, pytest.param(5000, marks=DRILL)])
def test_damaged_lines_are_all_accounted_for(tmp_path: Path, count: int) -> None:
    (tmp_path / "x.ndjson").write_text("".join(f"{json.dumps(r)}\n" for r in resources("b")))
    whole = (tmp_path / "x.ndjson").read_bytes()
    codes = set()
    for seed in range(count):
        data = damage.damaged(whole, random.Random(seed), len(whole))
        (tmp_path / "x.ndjson").write_bytes(data)
        found = read(tmp_path)
        codes |= {one.code for one in found.refused}
        lines = [line for line in data.split(b"\n") if line.removesuffix(b"\r").strip()]
        if not any(not one.sample for one in found.refused):
            assert found.rows == len(lines), seed
    assert {"bad-json", "bad-time", "no-subject"} <= codes
