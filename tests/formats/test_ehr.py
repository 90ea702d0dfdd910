"""Tables by a mapping: what rows become, when it was known, and that every row is somewhere."""

import copy
import random
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from medray.errors import SpecError
from tests.events import Read

sys.path.insert(0, str(Path(__file__).parent.parent / "contract"))
import format_damage as damage

DRILL = (pytest.mark.drill, pytest.mark.timeout(600))
VENDOR: dict[str, Any] = yaml.safe_load("""
tables:
  patient:
    subject: uniquepid
    key: patientunitstayid
    events:
      - {code: "UNIT//{unittype}", time: hospitaldischargeyear}
      - {code: AGE, time: hospitaldischargeyear, number: age, values: {"> 89": 90}}
  lab:
    subject: patient.uniquepid
    join: {patient: patientunitstayid}
    events:
      - code: "LAB//{labname}"
        time: {column: labresultoffset, unit: minute, since: patient.hospitaldischargeyear}
        available:
          {column: labresultrevisedoffset, unit: minute, since: patient.hospitaldischargeyear}
        number: labresult
        unit: "{unit}"
  diagnosis:
    subject: patient.uniquepid
    join: {patient: patientunitstayid}
    events:
      - code: "DIAGNOSIS//{icd9code}"
        time: {column: diagnosisoffset, unit: minute, since: patient.hospitaldischargeyear}
        split: ","
        vocabularies: {ICD9CM: '[0-9E][0-9.]+|V[0-9.]+', ICD10CM: '[A-Z][0-9][0-9A-Z.]*'}
""")
PATIENTS = """patientunitstayid,uniquepid,age,unittype,hospitaldischargeyear
141,0017,> 89,MICU,2014
142,17,64,SICU,2015

143,9007199254740993,,MICU,2015
"""
LABS = """patientunitstayid,labname,labresultoffset,labresultrevisedoffset,labresult,unit
141,sodium,60,200,141,mmol/L
141,sodium,-30,,16777217,mmol/L
142,troponin,0,5,<0.01,ng/mL
142,troponin,10,5,0.02,ng/ml
142,glucose,x,5,1,mg/dL
999,glucose,1,5,1,mg/dL
142,glucose,1,5,1
143,note,5,5,see below,
"""
DIAGNOSES = """patientunitstayid,diagnosisoffset,icd9code
141,3,"518.81, J96.00"
142,4,V15.1
142,5,"odd code"
142,6,
"""


def vendor(root: Path, **tables: str) -> Path:
    for name, text in {
        "patient": PATIENTS, "lab": LABS, "diagnosis": DIAGNOSES, **tables
    }.items():  # fmt: skip
        (root / f"{name}.csv").write_text(text)
    return root


def read(root: Path, mapping: dict[str, Any] | str = VENDOR, **options: Any) -> Read:
    return Read("ehr", root, mapping=mapping, **{"deidentify": {"method": "none"}, **options})


def changed(*path: str | int, to: Any) -> dict[str, Any]:
    made: Any = copy.deepcopy(VENDOR)
    place = made["tables"]
    for one in path[:-1]:
        place = place[one]
    place[path[-1]] = to
    return made  # type: ignore[no-any-return]


def test_ids_are_texts_and_stay_apart(tmp_path: Path) -> None:
    found = read(vendor(tmp_path))
    assert set(found.events) == {"0017", "17", "9007199254740993"}


@pytest.mark.parametrize("mangled", ["9.00720E+15", "1,5E+12", "1E+15"])
def test_ids_that_a_spreadsheet_has_rounded_are_refused(mangled: str, tmp_path: Path) -> None:
    patients = PATIENTS.replace("9007199254740993", mangled)
    found = read(vendor(tmp_path, patient=patients.replace(mangled, f'"{mangled}"')))
    assert set(found.events) == {"0017", "17"}
    refused = [one for one in found.refused if one.code == "float-id"]
    assert [one.sample for one in refused] == ["patient, row 3", "lab, row 8"]
    assert "'uniquepid'" in refused[0].reason
    keys = PATIENTS.replace("143,", f'"{mangled}",')
    labs = LABS.replace("143,", f'"{mangled}",')
    found = read(vendor(tmp_path, patient=keys, lab=labs))
    assert not found.codes("LAB//note")
    assert {one.code for one in found.refused} == {"float-id"}


def test_numbers_times_and_what_was_known_when(tmp_path: Path) -> None:
    found = read(vendor(tmp_path))
    later, first = sorted(found.codes("LAB//sodium"), key=lambda one: one["time"], reverse=True)
    assert (later["time"], later["available_at"]) == ("2014-01-01T01:00:00", "2014-01-01T03:20:00")
    # Without a time of revision it is known at its own.
    assert (first["time"], first["available_at"]) == ("2013-12-31T23:30:00",) * 2
    # float32 has no 16,777,217: its text is kept.
    assert (first["value"], first["number"], later["number"]) == (16777217, "16777217", "")
    bound, revised = found.codes("LAB//troponin")
    assert (bound["value"], bound["number"], bound["unit"]) == (None, "<0.01", "ng/mL")
    # Nothing is known before it happens, whatever a vendor's offsets say.
    assert revised["available_at"] == revised["time"] == "2015-01-01T00:10:00"
    ages = {
        who: [one["value"] for one in events if one["code"] == "AGE"]
        for who, events in found.events.items()
    }
    assert ages == {"0017": [90], "17": [64], "9007199254740993": []}
    # Words in a column of numbers may be anything: they stay out.
    assert [(one["value"], one["number"]) for one in found.codes("LAB//note")] == [(None, "")]


def test_two_vocabularies_in_one_cell(tmp_path: Path) -> None:
    found = read(vendor(tmp_path))
    codes = {one["code"] for events in found.events.values() for one in events}
    assert {one for one in codes if one.startswith(("ICD", "UNKNOWN", "DIAGNOSIS"))} == {
        "ICD9CM//518.81", "ICD10CM//J96.00", "ICD9CM//V15.1", "UNKNOWN//odd code",
    }  # fmt: skip


def test_days_and_clocks_commas_and_a_column_for_each_thing(tmp_path: Path) -> None:
    (tmp_path / "vitals.csv").write_text(
        "who;day;clock;pulse;temp\na;03.01.2020;08:30;80;36,6\na;03.01.2020;09:00;;37\na;;09:30;1;2\n"
        "a;03.01.2020;10:00;;\n"
    )
    rules = [
        {"code": code, "time": {"column": "{day} {clock}", "format": "%d.%m.%Y %H:%M"},
         "number": column} for code, column in (("PULSE", "pulse"), ("TEMP", "temp"))
    ]  # fmt: skip
    table = {"subject": "who", "events": rules}
    found = read(tmp_path, {"tables": {"vitals": table}, "decimal": ","})
    assert [(e["code"], e["time"][11:16], e["value"]) for e in found.events["a"]] == [
        ("PULSE", "08:30", 80), ("TEMP", "08:30", 36.6), ("TEMP", "09:00", 37),
    ]  # fmt: skip
    assert found.told == {"vitals": [4, 3, {"no time": 1, "no number": 1}]}


def test_every_row_is_somewhere(tmp_path: Path) -> None:
    found = read(vendor(tmp_path))
    assert found.told == {
        "patient": [3, 5, {}],
        "lab": [5, 5, {"number not read": 2}],
        "diagnosis": [4, 4, {"no code": 1}],
    }
    assert sorted((one.code, one.sample) for one in found.refused) == [
        ("bad-number", "lab, row 5"),
        ("no-such-key", "lab, row 6"),
        ("ragged-row", "lab, row 7"),
    ]
    assert found.rows == 3 + 8 + 4


def test_words_are_kept_only_if_the_job_says_so(tmp_path: Path) -> None:
    mapping = changed("lab", "events", 0, "text", to="labname")
    vendor(tmp_path)
    assert {one["words"] for one in read(tmp_path, mapping).codes("LAB//sodium")} == {""}
    found = read(tmp_path, mapping, keep_text=True)
    assert {one["words"] for one in found.codes("LAB//sodium")} == {"sodium"}


def test_people_leave_under_pseudonyms_and_on_other_days(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDRAY_DEID_KEY", "0123456789abcdef")
    plain = read(vendor(tmp_path))
    found = read(tmp_path, deidentify={"method": "keyed"})
    assert all(name.startswith("subject-") for name in found.events)
    assert len(found.events) == 3

    def gaps(one: Read) -> list[list[int]]:
        days = [sorted(e["time"][:10] for e in events) for events in one.events.values()]
        return sorted([d == times[0] for d in times] for times in days)  # type: ignore[misc]

    assert gaps(found) == gaps(plain)
    assert not {e["time"] for es in found.events.values() for e in es} & {
        e["time"] for es in plain.events.values() for e in es
    }


def test_parquet_is_read_as_csv_is(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    expected = read(vendor(tmp_path / "a"))
    vendor(tmp_path / "b")
    (tmp_path / "b/patient.csv").unlink()
    table = pa.table(
        {
            "patientunitstayid": [141, 142, 143],
            "uniquepid": ["0017", "17", "9007199254740993"],
            "age": ["> 89", "64", None],
            "unittype": ["MICU", "SICU", "MICU"],
            "hospitaldischargeyear": [2014, 2015, 2015],
        }
    )
    pq.write_table(table, tmp_path / "b/PATIENT.parquet")
    assert read(tmp_path / "b").events == expected.events
    ids = pa.array([2.0**53, 1.0, 2.0])
    pq.write_table(table.set_column(1, "uniquepid", ids), tmp_path / "b/PATIENT.parquet")
    with pytest.raises(SpecError, match=r"'uniquepid' are floats.*float-id"):
        read(tmp_path / "b")


@pytest.mark.parametrize(
    ("mapping", "told"),
    [
        (changed("lab", "events", 0, "number", to="labresalt"),
         r"table 'lab': there is no column 'labresalt' \[no-such-column\].*labresult"),
        (changed("lab", "file", to="labs"), r"labs: table 'lab' of the mapping has no file"),
        (changed("lab", "join", to={"patient": "stay"}), "no column 'stay'"),
    ],
)  # fmt: skip
def test_what_is_not_there_is_named(tmp_path: Path, mapping: dict[str, Any], told: str) -> None:
    with pytest.raises(SpecError, match=told):
        read(vendor(tmp_path), mapping)


@pytest.mark.parametrize(
    ("mapping", "told"),
    [
        (changed("lab", "events", 0, "time", "unit", to="fortnight"), "'second', 'minute'"),
        (changed("lab", "events", 0, "time", to={"column": "a", "unit": "hour"}), "go together"),
        (changed("lab", "events", 0, "tme", to="x"), "tables.lab.events.0.tme: Extra"),
        (changed("lab", "join", to={}), "lab has patient.uniquepid, and does not `join` patient"),
        (changed("lab", "join", to={"lab": "x", "patient": "y"}), "no table with a `key`"),
        (changed("diagnosis", "events", 0, "vocabularies", "X", to="("), "no pattern of RE2"),
        ({"tables": {}}, "at least 1"),
        ([1], "valid dictionary"),
    ],
)  # fmt: skip
def test_mappings_that_are_wrong_say_where(tmp_path: Path, mapping: Any, told: str) -> None:
    (tmp_path / "vendor.yaml").write_text(yaml.safe_dump(mapping))
    with pytest.raises(SpecError, match="bad-mapping") as caught:
        read(vendor(tmp_path), "vendor.yaml")
    assert told in str(caught.value)
    assert caught.value.about == "vendor.yaml"


def test_a_mapping_lies_beside_the_tables(tmp_path: Path) -> None:
    (tmp_path / "vendor.yaml").write_text(yaml.safe_dump(VENDOR))
    found = read(vendor(tmp_path), "vendor.yaml")
    assert found.told["patient"] == [3, 5, {}]
    (tmp_path / "vendor.yaml").write_text("tables: [")
    with pytest.raises(SpecError, match="no YAML, line 1"):
        read(tmp_path, "vendor.yaml")
    with pytest.raises(SpecError, match=r"no-such-mapping.*mimic3"):
        read(tmp_path, "mimic33")


def test_a_key_names_one_row(tmp_path: Path) -> None:
    vendor(tmp_path, patient=PATIENTS + "141,x,1,MICU,2014\n")
    found = read(tmp_path)
    assert {one.code for one in found.refused if "lab" in one.source} == {"duplicate-key"}
    assert "1 rows of table 'patient' have the 'patientunitstayid'" in found.refused[-1].reason


def test_a_table_that_is_not_asked_for_is_passed_over(tmp_path: Path) -> None:
    vendor(tmp_path, notes="a,b\n1,2\n")
    (one,) = [one for one in read(tmp_path).refused if not one.sample]
    assert (one.source, one.code, one.kind) == ("notes.csv", "unmapped-table", "passed-over")


def test_pieces_of_a_table_are_read_in_order(tmp_path: Path) -> None:
    lines = LABS.splitlines()
    vendor(tmp_path)
    (tmp_path / "lab.csv").unlink()
    for number in range(2):
        part = [lines[0], *lines[1 + number :: 2]]
        (tmp_path / f"lab_{number}.csv").write_text("\n".join(part))
    assert read(tmp_path).rows == 15


@pytest.mark.parametrize("count", [60, pytest.param(5000, marks=DRILL)])
def test_damaged_tables_lose_no_row(tmp_path: Path, count: int) -> None:
    """Bytes of cells change: a row is read, dropped or refused; lines that are cut are counted."""
    vendor(tmp_path)
    whole = (tmp_path / "lab.csv").read_bytes()
    codes = set()
    for seed in range(count):
        rng = random.Random(seed)
        data = damage.damaged(whole, rng, len(whole))
        (tmp_path / "lab.csv").write_bytes(data)
        try:
            found = read(tmp_path)
        except SpecError as error:  # of the header
            codes.add(error.code)
            continue
        codes |= {one.code for one in found.refused}
        if not any(one.source == "lab.csv" for one in found.refused):
            lines = [line for line in data.split(b"\n")[1:] if line.strip()]
            keyed = sum(rows for name, (rows, _, _) in found.told.items() if name == "lab")
            bad = sum(one.sample.startswith("lab, ") for one in found.refused)
            assert keyed + bad == len(lines), seed
    assert {"not-text", "ragged-row", "no-such-key", "no-such-column"} <= codes
