"""Join: rows of many shards as one table, whole, in order, one shard at a time."""

import csv
import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from medray.engine.units.operation import Unit
from medray.steps.export.join import Join
from medray.storage.shards.reader import Shard
from medray.storage.shards.rows import Rows
from medray.storage.shards.samples import Sample
from medray.storage.shards.writer import ShardWriter
from medray.storage.store.objects import Objects
from tests.stored import found

MORE = [
    [Sample("a", {"n": 1, "where": [1.0, 2.0]}), Sample("b", {"n": None, "where": [3.0, 4.0]})],
    [Sample("c", {"n": 2.5, "note": "=HYPERLINK(1)"}), Sample("d", {"n": -1.0, "note": "-1"})],
    [Sample("e", {"note": None})],
]


def shard(objects: Objects, path: str, samples: list[Sample] | list[Rows]) -> list[str]:
    writer = ShardWriter(objects, path)
    for sample in samples:
        writer.add(sample)
    return list(writer.finish().pinned)


def joined(objects: Objects, to: Path, file: str, where: dict[str, Any] | None = None) -> Path:
    to.mkdir(exist_ok=True)
    parameters = {
        "format": {"name": "table", "file": file},
        "about": {},
        "where": where or {},
        "shards": [
            shard(objects, f"s{n}-{file}-{to.name}", samples) for n, samples in enumerate(MORE)
        ],
        "to": str(to),
        "parts": "",
    }
    ranges = [[[number, 0, len(samples)]] for number, samples in enumerate(MORE)]
    unit = Unit("u", 0, (f"all.{file}",), {"item": None, "ranges": ranges, "parts": []})
    (receipt,) = Join(objects, parameters).load(unit, f"all.{file}")
    assert isinstance(receipt, Sample)
    assert receipt.id == receipt.row["file"] == f"all.{file}"
    assert receipt.row["shares"] == 3
    path = to / f"all.{file}"
    assert receipt.row["bytes"] == path.stat().st_size
    return path


def test_parquet_has_the_columns_of_all_shards(objects: Objects, tmp_path: Path) -> None:
    table = pq.read_table(joined(objects, tmp_path / "out", "parquet"))
    assert table["sample_id"].to_pylist() == ["a", "b", "c", "d", "e"]
    assert table["n"].to_pylist() == [1.0, None, 2.5, -1.0, None]
    assert table["where"].to_pylist() == [[1.0, 2.0], [3.0, 4.0], None, None, None]
    assert table["note"].to_pylist() == [None, None, "=HYPERLINK(1)", "-1", None]
    file = pq.ParquetFile(tmp_path / "out" / "all.parquet")
    assert file.num_row_groups == 3, "a shard at a time"


def test_csv_has_one_header_and_no_formula(objects: Objects, tmp_path: Path) -> None:
    text = joined(objects, tmp_path / "out", "csv").read_text()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["sample_id"] for row in rows] == ["a", "b", "c", "d", "e"]
    assert rows[0]["where"] == "[1.0, 2.0]"
    assert [row["note"] for row in rows] == ["", "", "'=HYPERLINK(1)", "'-1", ""]
    assert [row["n"] for row in rows] == ["1", "", "2.5", "-1.0", ""]


def test_only_rows_that_are_selected(objects: Objects, tmp_path: Path) -> None:
    path = joined(objects, tmp_path / "out", "parquet", {"sample_id": ["b", "e"]})
    assert pq.read_table(path)["sample_id"].to_pylist() == ["b", "e"]


def test_the_same_again(objects: Objects, tmp_path: Path) -> None:
    for file in ("csv", "parquet"):
        one, two = (joined(objects, tmp_path / where, file) for where in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()


def test_rows_that_come_as_columns_are_rows_like_others(objects: Objects) -> None:
    table = pa.table({"sample_id": ["a", "b", "c"], "n": [1, 2, 3]})
    pieces = [table.slice(0, 1), table.slice(1)]
    whole, cut = ShardWriter(objects, "whole"), ShardWriter(objects, "cut")
    whole.add(Rows(table))
    for piece in pieces:
        cut.add(Rows(piece))
    cut.add(Rows(table))
    cut.forget(3)
    assert (whole.rows, cut.rows) == (3, 3)
    records = whole.finish(), cut.finish()
    assert records[0].content == records[1].content
    assert Shard(objects, found(objects, "cut")).table.equals(table)
    assert Shard(objects, found(objects, "cut")).columns(["n"]).column_names == ["n"]
    other = ShardWriter(objects, "other")
    other.add(Rows(table.set_column(1, "n", pa.array([1, 2, 4]))))
    assert other.finish().content != records[0].content
