"""One array of several samples, drawn at random: each as it is alone, chunks decoded once."""

import numpy as np
import pytest

from medray.errors import DataError
from medray.storage.shards import array_reader
from medray.storage.shards.reader import Shard
from medray.storage.shards.samples import Sample
from medray.storage.shards.schema import ArraySpec, Axis
from medray.storage.shards.writer import DRAWN_CHUNK_BYTES, ShardWriter
from medray.storage.store.objects import Objects

AXES = (Axis("lead", "channel"), Axis("time", "time", "second"))
SPECS = {"signal": ArraySpec(AXES, ("int16",), chunk=(None, None))}


def stored(objects: Objects, arrays: list[np.ndarray | None]) -> Shard:
    writer = ShardWriter(objects, "one", SPECS)
    for number, values in enumerate(arrays):
        given = {} if values is None else {"signal": values}
        writer.add(Sample(str(number), {}, dict(given)))
    return Shard(objects, writer.finish().pinned)


def test_of_a_stack_each_chunk_is_decoded_once(
    objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = np.random.default_rng(0).integers(-999, 999, (40, 2, 5000)).astype(np.int16)
    shard = stored(objects, list(values))
    chunk = shard.array(0, "signal")._reader.meta.chunk
    assert chunk == (DRAWN_CHUNK_BYTES // 20_000, 2, 5000)
    decoded = []
    real = array_reader.decompress
    monkeypatch.setattr(array_reader, "decompress", lambda *two: decoded.append(real(*two)))
    drawn = [39, 0, 1, 2, 0, 17, 38]
    np.testing.assert_array_equal(shard.several("signal", drawn), values[drawn])
    assert len(decoded) == len({number // chunk[0] for number in drawn})


def test_samples_that_lack_it_or_differ_are_read_alone(objects: Objects) -> None:
    made = [np.full((1, 9), 1, np.int16), None, np.full((1, 9), 3, np.int16)]
    shard = stored(objects, made)
    assert [one[0, 0] for one in shard.several("signal", [2, 0])] == [3, 1]
    with pytest.raises(DataError, match="no-such-array"):
        shard.several("signal", [0, 1])


def test_arrays_of_several_lengths(objects: Objects) -> None:
    shard = stored(objects, [np.full((1, n), n, np.int16) for n in (9, 8)])
    assert [one.shape for one in shard.several("signal", [1, 0])] == [(1, 8), (1, 9)]
