"""MEDS in and out: exact numbers, ids that stay apart, files that its own schema takes."""

from pathlib import Path
from typing import Any

import meds as standard
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medray.errors import DataError
from medray.formats.meds import Meds
from medray.formats.meds.write import hashed
from medray.jobs.run import run
from medray.storage.catalog.datasets import Dataset, open_dataset
from medray.storage.shards.samples import Sample
from medray.storage.store.objects import Objects
from tests.contract.record_examples import MAPPING, records, subject
from tests.events import Read, events_of

PLAIN = {"method": "none"}


def people(objects: Objects, form: dict[str, Any], root: Path) -> Dataset:
    form = {"deidentify": PLAIN, **form}
    steps = [
        {"kind": "ingest", "format": form, "source": str(root), "output": "parts"},
        {"kind": "gather", "data": "parts", "output": "people", "shards": 2},
    ]
    run(steps, storage=objects, cluster="inline")
    return open_dataset(objects, "people")


def plain(data: Dataset) -> dict[str, Any]:
    """Events of subjects, without where they came from."""
    tables = data.attributes["tables"]
    return {one.id: [{**e, "row": 0, "table": ""} for e in events_of(one, tables)] for one in data}


def exported(objects: Objects, root: Path, **options: Any) -> list[Path]:
    form = {"name": "meds", **options}
    run([{"kind": "export", "data": "people", "format": form, "to": str(root)}],
        storage=objects, cluster="inline")  # fmt: skip
    return sorted(root.glob("*.parquet"))


def test_what_leaves_is_meds_and_comes_back_the_same(objects: Objects, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    records(source)
    before = people(objects, {"name": "ehr", "mapping": MAPPING}, source)
    paths = exported(objects, tmp_path / "out")
    assert len(paths) == 2
    seen: set[int] = set()
    for path in paths:
        table = pq.read_table(path)
        standard.DataSchema.validate(table)
        ids = table["subject_id"].to_numpy()
        assert (np.diff(ids) >= 0).all()
        assert not seen & set(ids.tolist())
        seen |= set(ids.tolist())
        for one in np.unique(ids):
            times = [t for t in table.filter(pa.array(ids == one))["time"].to_pylist() if t]
            assert times == sorted(times)
    assert seen == {hashed(name) for name in ("p0", "p1", "p2", "p3")}
    expected = plain(before)
    other = Objects(str(tmp_path / "other"))
    assert plain(people(other, {"name": "meds"}, tmp_path / "out")) == expected


def test_numbers_that_float32_changes_come_back_whole(tmp_path: Path) -> None:
    form = Meds(Meds.Options())
    (path,) = form.write([subject("a")], tmp_path)
    table = pq.read_table(path)
    standard.DataSchema.validate(table)
    assert table["numeric_value"].to_pylist() == [None, 16777216]
    assert table["time"].to_pylist()[0] is None
    found = Read("meds", tmp_path, deidentify=PLAIN)
    static, timed = found.events["a"]
    assert (static["time"], static["code"], static["value"]) == (None, "SEX//f", None)
    assert (timed["value"], timed["number"], timed["unit"]) == (16777217, "16777217", "mg")
    assert timed["available_at"] == "1970-01-01T00:00:00.000009"


def test_ids_that_differ_stay_apart(tmp_path: Path) -> None:
    names = ["0017", "17", "000017", "9007199254740993", "9007199254740992"]
    form = Meds(Meds.Options())
    (path,) = form.write([subject(name) for name in names], tmp_path)
    table = pq.read_table(path)
    pairs = set(zip(table["subject_id"].to_pylist(), table["subject"].to_pylist(), strict=True))
    assert {name for _, name in pairs} == set(names)
    assert len({number for number, _ in pairs}) == len(names)
    exact = Meds(Meds.Options(ids="number"))
    (path,) = exact.write([subject(name) for name in names[-2:]], tmp_path / "b")
    assert set(pq.read_table(path)["subject_id"].to_pylist()) == {2**53, 2**53 + 1}
    for name in ("0017", "a", "9223372036854775808", "²"):
        with pytest.raises(DataError, match="not-a-number"):
            list(exact.write([subject(name)], tmp_path))


def test_rows_without_a_subject_or_a_code_are_refused(tmp_path: Path) -> None:
    table = pa.table(
        {
            "subject_id": pa.array([1, None, 1, 2], pa.int64()),
            "time": pa.array([5, 5, 5, None], pa.timestamp("us")),
            "code": pa.array(["a", "b", None, "c"]),
            "text_value": pa.array(["Mr. Canary", None, None, None]),
        }
    )
    (tmp_path / "metadata").mkdir()
    pq.write_table(table, tmp_path / "x.parquet")
    pq.write_table(table, tmp_path / "metadata/codes.parquet")
    found = Read("meds", tmp_path, deidentify=PLAIN)
    assert sorted((one.code, one.sample) for one in found.refused) == [
        ("metadata", ""),
        ("no-code", "data, row 3"),
        ("no-subject", "data, row 2"),
    ]
    assert {who: [e["code"] for e in events] for who, events in found.events.items()} == {
        "1": ["a"], "2": ["c"],
    }  # fmt: skip
    assert "Canary" not in str(found.events)


@pytest.mark.parametrize(
    ("column", "values", "code"),
    [
        ("subject_id", pa.array([1.0, 2.0]), "float-id"),
        ("time", pa.array([1, 2]), "bad-time"),
        ("numeric_value", pa.array(["x", "y"]), "bad-type"),
        ("code", None, "no-such-column"),
    ],
)
def test_columns_of_other_kinds_are_named(
    tmp_path: Path, column: str, values: pa.Array | None, code: str
) -> None:
    table = pa.table(
        {
            "subject_id": pa.array([1, 2], pa.int64()),
            "time": pa.array([5, 5], pa.timestamp("us")),
            "code": pa.array(["a", "b"]),
            "numeric_value": pa.array([1.0, 2.0], pa.float32()),
        }
    )
    at = table.column_names.index(column)
    table = table.remove_column(at) if values is None else table.set_column(at, column, values)
    pq.write_table(table, tmp_path / "x.parquet")
    assert [one.code for one in Read("meds", tmp_path, deidentify=PLAIN).refused] == [code]


def test_two_subjects_of_one_hash_do_not_become_one(tmp_path: Path) -> None:
    twice: list[Sample] = [subject("a"), subject("a")]
    with pytest.raises(DataError, match="same-id"):
        list(Meds(Meds.Options()).write(twice, tmp_path))
