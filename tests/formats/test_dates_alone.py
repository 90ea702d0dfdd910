"""A date alone is known when it is over: a day, a month, a year; a birth at once."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from medray.formats.events.times import iso, moments, over
from tests.events import Read

PLAIN = {"deidentify": {"method": "none"}}


@pytest.mark.parametrize(
    ("told", "form", "ends"),
    [
        ("2020-02-29", "", "2020-03-01T00:00:00"),
        ("20200131", "", "2020-02-01T00:00:00"),
        (" 2020-02-29 ", "", "2020-03-01T00:00:00"),
        ("2019-12", "", "2020-01-01T00:00:00"),
        ("2019", "", "2020-01-01T00:00:00"),
        ("1969-12-31", "", "1970-01-01T00:00:00"),
        ("2020-01-31T00:00:00", "", "2020-01-31T00:00:00"),
        ("2020-01-31 00:00", "", "2020-01-31T00:00:00"),
        ("31.01.2020", "%d.%m.%Y", "2020-02-01T00:00:00"),
        ("31.01.2020 00:00", "%d.%m.%Y %H:%M", "2020-01-31T00:00:00"),
        ("01/2020", "%m/%Y", "2020-02-01T00:00:00"),
        ("2020", "%Y", "2021-01-01T00:00:00"),
    ],
)
def test_when_what_is_told_is_over(told: str, form: str, ends: str) -> None:
    texts = pa.array([told, None], pa.string())
    values = moments(texts, form).values
    found = over(texts, values, form)
    assert iso(int(found[0])) == ends
    assert found[1] == values[1] == np.iinfo(np.int64).min


RULES: list[tuple[dict[str, Any], str]] = [
    ({"time": "day"}, "2020-02-01"),
    ({"time": "day", "available": "seen"}, "2020-03-06"),
    ({"time": "day", "available": "seen + 0h"}, "2020-03-05"),
    ({"time": "day", "available": "blank"}, "2020-02-01"),
    ({"time": "day", "available": "blank + 1d"}, "2020-02-01"),
    ({"time": "day", "available": "day + 0h"}, "2020-01-31"),
    ({"time": "day", "available": ["blank", "seen"]}, "2020-03-06"),
    ({"time": "day", "available": ["seen + 1d", "day"]}, "2020-03-06"),
    ({"time": "day", "available": ["blank", "blank"]}, "2020-02-01"),
    ({"time": {"column": "zero", "unit": "hour", "since": "day"}}, "2020-01-31"),
    ({"time": {"column": "{day} {clock}", "format": "%Y-%m-%d %H:%M"}}, "2020-01-31"),
    ({"time": "moment"}, "2020-01-31"),
]


@pytest.mark.parametrize(("rule", "known"), RULES)
def test_events_of_tables(tmp_path: Path, rule: dict[str, Any], known: str) -> None:
    (tmp_path / "t.csv").write_text(
        "who,day,clock,moment,seen,blank,zero\na,2020-01-31,00:00,2020-01-31 00:00,2020-03-05,,0\n"
    )
    events = [{"code": "X", **rule}, {"code": "MEDS_BIRTH", "time": "day"}]
    mapping = {"tables": {"t": {"subject": "who", "events": events}}}
    found = Read("ehr", tmp_path, mapping=mapping, **PLAIN)
    (event,) = found.codes("X")
    assert event["time"] == "2020-01-31T00:00:00"
    assert event["available_at"][:10] == known
    (birth,) = found.codes("MEDS_BIRTH")
    assert birth["available_at"] == birth["time"]


OMOP = {
    "person": "person_id,gender_concept_id,race_concept_id,year_of_birth\n1,2,3,1950\n",
    "visit_occurrence": "visit_occurrence_id,person_id,visit_concept_id,visit_start_date,"
    "visit_end_date\n7,1,9201,2020-02-01,\n",
    "condition_occurrence": "person_id,condition_concept_id,condition_start_date,"
    "visit_occurrence_id\n1,201826,2020-02-02,7\n1,201827,2020-02-02,\n",
}


def test_an_open_visits_diagnosis_is_not_known_before_its_day_is_over(tmp_path: Path) -> None:
    for name, text in OMOP.items():
        (tmp_path / f"{name}.csv").write_text(text)
    found = Read("ehr", tmp_path, mapping="omop", **PLAIN)
    known = {one["code"]: one["available_at"] for one in found.events["1"]}
    assert known["CONDITION//201826"] == known["CONDITION//201827"] == "2020-02-03T00:00:00"
    assert known["VISIT//9201"] == "2020-02-02T00:00:00"
    assert known["MEDS_BIRTH"] == "1950-01-01T00:00:00"


@pytest.mark.parametrize(
    ("onset", "recorded", "known"),
    [
        ("2020-01-31", None, "2020-02-01"),
        ("2020-01", None, "2020-02-01"),
        ("2019", None, "2020-01-01"),
        ("2020-01-01T10:00:00Z", "2020-01-31", "2020-02-01"),
        ("2020-01-01T10:00:00Z", "2020-01-31T08:00:00Z", "2020-01-31"),
    ],
)
def test_events_of_fhir(tmp_path: Path, onset: str, recorded: str | None, known: str) -> None:
    code = {"coding": [{"system": "http://loinc.org", "code": "1"}]}
    subject = {"reference": "Patient/a"}
    found = {
        "resourceType": "Condition", "id": "1", "subject": subject, "code": code,
        "onsetDateTime": onset, **({"recordedDate": recorded} if recorded else {}),
    }  # fmt: skip
    born = {"resourceType": "Patient", "id": "a", "birthDate": "1950"}
    (tmp_path / "x.ndjson").write_text(f"{json.dumps(found)}\n{json.dumps(born)}\n")
    events = {one["code"]: one for one in Read("fhir", tmp_path, **PLAIN).events["a"]}
    assert events["LOINC//1"]["available_at"][:10] == known
    assert events["MEDS_BIRTH"]["available_at"] == events["MEDS_BIRTH"]["time"]
