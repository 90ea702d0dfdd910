"""Lists of structures that rows hold by column."""

import pyarrow as pa

from medray.storage.shards.reader import Shard
from medray.storage.shards.records import ShardRecord
from medray.storage.shards.rows import Structs
from medray.storage.shards.samples import Sample
from medray.storage.shards.writer import ShardWriter
from medray.storage.store.objects import Objects

BEATS = [{"at": 7, "symbol": "N"}, {"at": 9, "symbol": None}, {"at": 12, "symbol": "V"}]
KIND = pa.struct([("at", pa.int64()), ("symbol", pa.string())])


def beats(*rows: dict[str, object]) -> Structs:
    return Structs(pa.array(list(rows), KIND))


def written(objects: Objects, path: str, *cells: object) -> ShardRecord:
    writer = ShardWriter(objects, path)
    for number, cell in enumerate(cells):
        writer.add(Sample(str(number), {"beats": cell}))
    return writer.finish()


def test_they_are_a_list_to_whoever_looks() -> None:
    cell = beats(*BEATS)
    assert cell == BEATS
    assert cell != BEATS[1:]
    assert cell[1] == BEATS[1]
    assert cell[1:] == BEATS[1:]
    assert (len(cell), cell[-1]["symbol"], bool(beats())) == (3, "V", False)


def test_they_come_back_as_lists(objects: Objects) -> None:
    record = written(objects, "one", beats(*BEATS), beats(), beats(BEATS[2]))
    table = Shard(objects, record.pinned).table
    assert table["beats"].to_pylist() == [BEATS, [], BEATS[2:]]
    assert table.schema.field("beats").type.value_type == KIND


def test_lists_of_both_kinds_stand_in_one_column(objects: Objects) -> None:
    record = written(objects, "one", beats(*BEATS), BEATS[:1], None)
    assert Shard(objects, record.pinned).table["beats"].to_pylist() == [BEATS, BEATS[:1], None]


def test_equal_ones_have_one_hash_however_they_are_held(objects: Objects) -> None:
    whole = written(objects, "one", beats(*BEATS[1:]))
    cut = written(objects, "two", Structs(pa.array(BEATS, KIND).slice(1)))
    other = written(objects, "three", beats(*BEATS[1:], BEATS[0]))
    assert whole.content == cut.content != other.content
    assert whole.schema == cut.schema == other.schema
