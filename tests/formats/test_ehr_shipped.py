"""Mappings that ship: OMOP as Parquet, and the tables of MIMIC that are at hand, row by row."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.events import Read


def read(root: Path, mapping: str) -> Read:
    deidentify: dict[str, Any] = {"method": "none"}
    return Read("ehr", root, mapping=mapping, deidentify=deidentify)


def test_omop_as_parquet(tmp_path: Path) -> None:
    """Ids of 64 bits that floats of 64 bits would make one; concept 0 is none."""
    people = [2**53, 2**53 + 1]
    day = pa.array([18262, 18262], pa.date32())  # 2020-01-01
    tables = {
        "person": {"person_id": people, "gender_concept_id": [8507, 8532],
                   "race_concept_id": [0, 0], "year_of_birth": [1950, 1951]},
        "visit_occurrence": {"visit_occurrence_id": [1, 2], "person_id": people,
                             "visit_concept_id": [9201, 9201], "visit_start_date": day,
                             "visit_end_date": pa.array([18264, 18265], pa.date32())},
        "condition_occurrence": {"person_id": people, "condition_concept_id": [201826, 0],
                                 "condition_start_date": day, "visit_occurrence_id": [1, None]},
        "measurement": {"person_id": people, "measurement_concept_id": [3004249, 3004249],
                        "measurement_date": day, "value_as_number": [120.5, None],
                        "unit_concept_id": [8876, None]},
    }  # fmt: skip
    for name, columns in tables.items():
        pq.write_table(pa.table(columns), tmp_path / f"{name.upper()}.parquet")
    found = read(tmp_path, "omop")
    assert set(found.events) == {"9007199254740992", "9007199254740993"}
    (known,) = found.codes("CONDITION//201826")
    # The condition stands in the records when the day on which its visit ends is over.
    assert (known["time"][:10], known["available_at"][:10]) == ("2020-01-01", "2020-01-04")
    assert len(found.codes("UNKNOWN//0")) == 1
    first, second = found.codes("MEASUREMENT//3004249")
    assert {(first["value"], first["unit"]), (second["value"], second["unit"])} == {
        (120.5, "8876"), (None, ""),
    }  # fmt: skip
    assert {e["time"][:4] for e in found.codes("MEDS_BIRTH")} == {"1950", "1951"}
    assert found.rows == 8
    assert found.refused == []


def test_mimic_iii_counts(data_dir: Path) -> None:
    found = read(data_dir / "ehr/mimic3_demo", "mimic3")
    assert len(found.events) == 100
    rows = {name: told[0] for name, told in found.told.items()}
    assert rows == {
        "patients": 100,
        "admissions": 129,
        "diagnoses_icd": 1761,
        "procedures_icd": 506,
        "prescriptions": 10398,
    }
    assert len(found.codes("HOSPITAL_DEATH")) == 40
    assert len(found.codes("HOSPITAL_EXPIRE_FLAG//1")) == 40
    coded = [one for events in found.events.values() for one in events]
    assert sum(one["code"].startswith("ICD9CM//") for one in coded) == 1761
    # The order of events in a demo is real: no diagnosis was known before a discharge.
    ends = {one["time"] for one in coded if one["code"].startswith("DISCHARGE//")}
    assert {one["available_at"] for one in coded if one["code"].startswith("ICD9CM//")} <= ends
    (empty,) = [one for one in found.refused if one.code == "no-rows"]
    assert empty.source == "ICUSTAYS.csv.gz"
    assert found.rows == 100 + 129 + 1761 + 506 + 10398


def test_tables_like_those_of_mimic_iv(data_dir: Path) -> None:
    """Hand-made, with rows that lack cells: those are refused, and the rest is kept."""
    root = data_dir / "ehr/mimic4_demo_synthetic"
    found = read(root, "mimic4")
    lines = sum(
        len([line for line in path.read_text().splitlines()[1:] if line.strip()])
        for path in root.rglob("*.csv")
        if path.stem != "d_labitems"
    )
    assert found.rows == lines
    assert {one.code for one in found.refused} <= {
        "ragged-row", "no-subject", "no-such-key", "unmapped-table", "bad-time",
    }  # fmt: skip
    glucose = min(found.codes("LAB//50809"), key=lambda one: one["time"])
    assert (glucose["time"], glucose["available_at"]) == (
        "2150-03-15T10:00:00",
        "2150-03-15T10:30:00",
    )
