"""Tables of many samples: through split and shard they are what single samples would be."""

import pyarrow as pa
import pytest

from medray.errors import DataError, FatalError, SpecError
from medray.steps.ingest.operation import divide, divide_rows
from medray.storage.shards.reader import Shard
from medray.storage.shards.rows import Rows, content_of
from medray.storage.shards.samples import Sample
from medray.storage.shards.writer import ShardWriter
from medray.storage.store.objects import Objects
from tests.stored import found


def table(start: int = 0, stop: int = 100) -> pa.Table:
    numbers = range(start, stop)
    return pa.table(
        {
            "sample_id": [f"s{n}" for n in numbers],
            "subject": [f"c{n // 10}" for n in numbers],
            "text": [None if n % 3 == 0 else "é" * (n % 4) for n in numbers],
            "number": pa.array([None if n % 5 == 0 else n for n in numbers], pa.int64()),
            "real": [n / 7 for n in numbers],
            "flag": [n % 2 == 0 for n in numbers],
            "list": [[n, None] if n % 2 else None for n in numbers],
        }
    )


def test_a_shard_of_tables_has_their_rows(objects: Objects) -> None:
    writer = ShardWriter(objects, "s")
    writer.add(Rows(table(0, 40)))
    writer.add(Rows(table(40, 100)))
    assert writer.rows == 100
    record = writer.finish()
    assert record.rows == 100
    shard = Shard(objects, found(objects, "s"))
    assert shard.table.to_pylist() == table().to_pylist()
    assert shard.sample(57).id == "s57"
    assert shard.names(0) == []


def test_content_is_of_the_values_alone() -> None:
    whole = content_of(table())
    parts = pa.concat_tables([table(0, 33), table(33, 100)])
    assert content_of(parts) == whole
    assert content_of(pa.concat_tables([table(50, 80), table()]).slice(30)) == whole
    for name in table().column_names:
        column = table()[name].to_pylist()
        column[61], column[62] = column[62], column[61]
        if name == "flag":
            column[61] = column[62]
        changed = table().set_column(
            table().column_names.index(name), name, pa.array(column, table()[name].type)
        )
        assert (content_of(changed) == whole) == (name == "subject"), name
    # A missing text is not an empty one.
    assert content_of(pa.table({"a": [""]})) != content_of(pa.table({"a": pa.nulls(1, "string")}))


def test_rows_can_be_taken_back(objects: Objects) -> None:
    writer = ShardWriter(objects, "s")
    writer.add(Rows(table(0, 40)))
    writer.add(Rows(table(40, 100)))
    writer.forget(40)
    writer.add(Rows(table(40, 60)))
    assert writer.finish().rows == 60
    assert Shard(objects, found(objects, "s")).table.to_pylist() == table(0, 60).to_pylist()


def test_tables_and_single_samples_do_not_mix(objects: Objects) -> None:
    for first, second in ((Rows(table()), Sample("a", {})), (Sample("a", {}), Rows(table()))):
        writer = ShardWriter(objects, "s")
        writer.add(first)
        with pytest.raises(FatalError, match="mixed-rows"):
            writer.add(second)


@pytest.mark.parametrize(
    "split",
    [
        {"train": 0.7, "val": 0.3, "seed": 3},
        {"train": 0.5, "test": 0.5, "by": "sample"},
        {"column": "subject"},
        {"folds": 5},
        {"column": "subject", "folds": 3, "by": "sample", "seed": 2},
        {"train": 0.5, "test": 0.5, "folds": 4},
    ],
)
def test_splits_are_those_of_single_samples(split: dict[str, object]) -> None:
    got = divide_rows(split, Rows(table())).table.to_pylist()
    wanted = []
    for sample in Rows(table()).each():
        divide(split, sample)
        wanted.append({"sample_id": sample.id, **sample.row})
    assert got == wanted
    assert len({(row.get("split"), row.get("fold")) for row in got}) > 1


@pytest.mark.parametrize("split", [{"train": 1, "val": 1}, {"folds": 4}])
def test_a_column_to_divide_by_must_be_there_and_say_something(split: dict[str, object]) -> None:
    rows = Rows(table().append_column("site", pa.array(["a", None] * 50)))
    for by, count in (("absent", 100), ("site", 50)):
        with pytest.raises(SpecError, match="nothing-to-divide") as caught:
            divide_rows({**split, "by": by}, rows)
        assert (caught.value.about, caught.value.message.split()[0]) == (by, str(count))
        with pytest.raises(SpecError, match="nothing-to-divide"):
            divide({**split, "by": by}, Sample("b", {"site": None}))
    with pytest.raises(SpecError, match="nothing-to-divide"):
        divide_rows({"column": "absent"}, rows)
    with pytest.raises(SpecError, match="nothing-to-divide"):
        divide({"column": "absent"}, Sample("b", {"site": None}))
    # An official split may leave samples out.
    official = divide_rows({"column": "site"}, rows).table["split"].to_pylist()
    assert official[:2] == ["a", None]
    left = Sample("b", {"site": None})
    divide({"column": "site"}, left)
    assert left.row["split"] is None
    # Without a name it is the subject, and whoever has none stands for itself.
    alone = Rows(pa.table({"sample_id": ["a", "b"], "subject": ["b", None]}))
    falls = divide_rows({"train": 1, "val": 1}, alone).table["split"].to_pylist()
    assert falls[0] == falls[1]


def test_folds_are_taken_once() -> None:
    with pytest.raises(DataError, match="fold-is-taken"):
        divide_rows({"folds": 2}, Rows(table().append_column("fold", pa.array([0] * 100))))
