"""Windows of signals: many at once are what slices give; bits are shuffled where that can be."""

from pathlib import Path

import numpy as np
import pytest

from medray.formats.signal.recording import spec_of
from medray.storage.shards import array_reader
from medray.storage.shards.reader import Shard
from medray.storage.shards.recent import Recent
from medray.storage.shards.samples import Sample
from medray.storage.shards.schema import ArraySpec, Axis
from medray.storage.shards.writer import ShardWriter
from medray.storage.shards.zarr3 import SMOOTH
from medray.storage.store.objects import Objects

AXES = Axis("channel", "channel"), Axis("time", "time", "second")


def stored(objects: Objects, values: np.ndarray, spec: ArraySpec, copies: int = 1) -> Shard:
    writer = ShardWriter(objects, "one", {"signal_100": spec})
    for number in range(copies):
        writer.add(Sample(f"s{number}", {}, {"signal_100": values + number}))
    return Shard(objects, writer.finish().pinned)


@pytest.mark.parametrize("shard_bytes", [2**27, 5000])
@pytest.mark.parametrize("held", [2**24, 1])
def test_windows_are_what_slices_give(
    shard_bytes: int, held: int, objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medray.storage.shards.array_writer.SHARD_BYTES", shard_bytes)
    monkeypatch.setattr("medray.storage.shards.array_reader._HELD", held)
    monkeypatch.setattr("medray.storage.shards.writer.STACK_BYTES", 0)
    rng = np.random.default_rng(0)
    values = rng.integers(-2000, 2000, (3, 5003)).astype(np.int16)
    values[:, 1024:2048] = 0  # chunks of zeros are not stored
    spec = ArraySpec(AXES, ("int16",), chunk=(None, 256), packing="smooth")
    array = stored(objects, values, spec).array(0, "signal_100")
    starts = np.array([4900, 0, 17, *rng.integers(0, 4400, 40), 900, 4403, -50, 5003, -700])
    found = array.windows(starts, 600)
    padded = np.pad(values, ((0, 0), (700, 700)))
    wanted = [padded[:, start + 700 : start + 1300] for start in starts]
    np.testing.assert_array_equal(found, np.stack(wanted))
    assert array.windows(starts[:0], 600).shape == (0, 3, 600)


def test_chunks_are_decoded_once_as_long_as_they_are_recent(
    objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medray.storage.shards.writer.STACK_BYTES", 0)
    kept = Recent(4 * 3 * 256 * 2)  # four chunks
    monkeypatch.setattr("medray.storage.shards.array_reader._RECENT", kept)
    decoded = []
    plain = array_reader.decompress
    monkeypatch.setattr(
        "medray.storage.shards.array_reader.decompress",
        lambda data, out: decoded.append(len(data)) or plain(data, out),
    )
    values = np.random.default_rng(0).integers(-2000, 2000, (3, 5120)).astype(np.int16)
    spec = ArraySpec(AXES, ("int16",), chunk=(None, 256), packing="smooth")
    shard = stored(objects, values, spec, copies=2)
    counts = []
    # The first chunk, two beside it, two of these again by another reader, two of another array,
    # for which the third has to go: so the first is there yet, and that is not.
    asked = [(0, [0]), (0, [250, 500]), (0, [10, 400]), (1, [0]), (1, [1900]), (0, [0]), (0, [600])]
    for row, starts in asked:
        before = len(decoded)
        found = shard.array(row, "signal_100").windows(np.array(starts), 100)
        wanted = [values[:, start : start + 100] + row for start in starts]
        np.testing.assert_array_equal(found, np.stack(wanted))
        counts.append(len(decoded) - before)
    assert counts == [1, 2, 0, 1, 1, 0, 1]


def test_windows_of_small_arrays_that_lie_in_a_stack(objects: Objects) -> None:
    values = np.arange(200, dtype=np.int16).reshape(2, 100)
    array = stored(objects, values, spec_of(100, 2), copies=3).array(1, "signal_100")
    found = array.windows(np.array([95, -5, 3]), 10)
    assert found[0, 1].tolist() == [196, 197, 198, 199, 200, 0, 0, 0, 0, 0]
    assert found[1, 0].tolist() == [0, 0, 0, 0, 0, 1, 2, 3, 4, 5]
    assert found[2, 0].tolist() == list(range(4, 14))


def test_a_chunk_is_whole_eights_and_not_too_large() -> None:
    assert spec_of(360, 2).seen(2, "int16").chunk_of((2, 650_000)) == (2, 32768)
    assert spec_of(100, 3).seen(2, "int16").chunk_of((3, 30_000)) == (3, 21848)
    assert spec_of(1, 4).seen(2, "int16").chunk_of((4, 301)) == (4, 304)
    assert spec_of(30_000, 384).seen(2, "int16").chunk_of((384, 10**7)) == (384, 2736)
    assert SMOOTH.shuffle(2, 16) == 2
    assert SMOOTH.shuffle(2, 17) == 1


@pytest.mark.parametrize("dtype", ["int16", "int32"])
def test_other_libraries_read_smooth_arrays(dtype: str, tmp_path: Path) -> None:
    import tensorstore
    import zarr

    values = np.cumsum(np.random.default_rng(0).integers(-9, 10, (2, 70_001)), axis=1).astype(dtype)
    objects = Objects(str(tmp_path))
    stored(objects, values, spec_of(100, 2))
    place, path = f"{tmp_path}/one/arrays.zarr", "0/signal_100"
    group = zarr.open_group(place, mode="r")
    np.testing.assert_array_equal(group[path][...], values)
    opened = tensorstore.open(
        {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{place}/{path}"}}
    ).result()
    np.testing.assert_array_equal(opened.read().result(), values)
    sizes = [entry.size for entry in objects.walk("one") if "/c" in entry.path]
    assert sum(sizes) < 0.55 * values.nbytes
