"""Arrays: what goes in comes out, for other libraries too; damage never comes out as data."""

import itertools
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorstore
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from xxhash import xxh3_128

from medray.errors import DataError, FatalError
from medray.storage.shards import array_writer
from medray.storage.shards.array_reader import ArrayReader
from medray.storage.shards.array_writer import ArrayWriter
from medray.storage.shards.schema import ArraySpec, Axis
from medray.storage.shards.upload import Outbox
from medray.storage.shards.zarr3 import ArrayMeta
from medray.storage.store import fetch
from medray.storage.store.objects import Objects

DTYPES = ["bool", "uint8", "int16", "uint16", "int32", "float32", "float64", "int64"]


@st.composite
def cases(draw: st.DrawFn) -> dict[str, Any]:
    """Shape, type, chunk, slab axis, slab cuts and a window."""
    ndim = draw(st.integers(1, 4))
    shape = tuple(draw(st.integers(1, 9)) for _ in range(ndim))
    axis = draw(st.integers(0, ndim - 1))
    cuts = draw(st.lists(st.integers(0, shape[axis]), max_size=4).map(sorted))
    window = []
    for n in shape:
        low = draw(st.integers(0, n))
        window.append(slice(low, draw(st.integers(low, n))))
    return {
        "shape": shape,
        "dtype": np.dtype(draw(st.sampled_from(DTYPES))),
        "chunk": tuple(draw(st.integers(1, n)) for n in shape),
        "axis": axis,
        "bounds": [0, *cuts, shape[axis]],
        "window": tuple(window),
        "zeros": draw(st.booleans()),
        "seed": draw(st.integers(0, 2**16)),
        "shard_bytes": draw(st.sampled_from([1, 200, 2**27])),
    }


def values(case: dict[str, Any]) -> np.ndarray:
    data = np.random.default_rng(case["seed"]).integers(0, 100, case["shape"])
    if case["zeros"]:
        data[: max(1, case["shape"][0] // 2)] = 0
    return data.astype(case["dtype"])


def write(objects: Objects, name: str, data: np.ndarray, case: dict[str, Any]) -> tuple[Any, str]:
    outbox = Outbox(objects, "a")
    writer = ArrayWriter(
        outbox, name, data.shape, data.dtype, axis=case["axis"], chunk=case["chunk"]
    )
    lead = (slice(None),) * case["axis"]
    for low, high in itertools.pairwise(case["bounds"]):
        slab = data[(*lead, slice(low, high))].copy()
        writer.append(slab)
        slab[:] = 77  # the writer keeps nothing that its caller may change
    content = writer.close()
    outbox.flush()
    return writer.meta, content


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(cases())
def test_any_array_cut_anyhow_reads_as_written_here_and_by_others(
    tmp_path: Path, case: dict[str, Any]
) -> None:
    objects = Objects(tempfile.mkdtemp(dir=tmp_path))
    data = values(case)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(array_writer, "SHARD_BYTES", case["shard_bytes"])
        meta, content = write(objects, "cut", data, case)
        whole = {**case, "bounds": [0, data.shape[case["axis"]]]}
        assert write(objects, "whole", data, whole)[1] == content, "cuts don't show in the hash"
    reader = ArrayReader(objects, "a/cut", meta)
    np.testing.assert_array_equal(reader[()], data)
    np.testing.assert_array_equal(reader[case["window"]], data[case["window"]])

    place = objects.url.removeprefix("file://") + "/a/cut"
    stored = zarr.open_array(place, mode="r")
    assert stored.dtype == data.dtype
    np.testing.assert_array_equal(stored[...], data)
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": place}}
    np.testing.assert_array_equal(tensorstore.open(spec).result().read().result(), data)


def test_content_hash_tells_values_shape_and_type_apart(objects: Objects) -> None:
    seen = set()
    base = np.arange(24)
    for number, data in enumerate(
        [base, base + 1, base.reshape(4, 6), base.reshape(6, 4), base.astype("int32")]
    ):
        case = {"axis": 0, "chunk": data.shape, "bounds": [0, len(data)]}
        seen.add(write(objects, f"n{number}", data, case)[1])
    assert len(seen) == 5


@pytest.fixture
def stored(objects: Objects) -> tuple[Objects, Any, np.ndarray, Path]:
    """An array of 12 chunks in one shard, and the shard's file."""
    data = np.random.default_rng(0).integers(1, 1000, (24, 32, 32)).astype("int16")
    case = {"axis": 0, "chunk": (8, 16, 16), "bounds": [0, 24]}
    meta, _ = write(objects, "x", data, case)
    return objects, meta, data, Path(objects.url.removeprefix("file://")) / "a/x/c.0.0.0"


def test_every_flipped_bit_is_found_and_named(
    stored: tuple[Objects, Any, np.ndarray, Path],
) -> None:
    objects, meta, _, place = stored
    sound = place.read_bytes()
    order = np.random.default_rng(1)
    spots = [0, len(sound) - 1, len(sound) - 10, *order.integers(0, len(sound), 60)]
    for spot in spots:
        damaged = bytearray(sound)
        damaged[spot] ^= 1 << int(order.integers(8))
        place.write_bytes(damaged)
        with pytest.raises(DataError, match=r"a/x/c\.0\.0\.0") as caught:
            ArrayReader(objects, "a/x", meta)[()]
        assert caught.value.code in ("damaged-chunk", "damaged-index")


@pytest.mark.parametrize("keep", [0, 3, 100, 0.5, -1])
def test_truncated_shards_are_found(
    keep: float, stored: tuple[Objects, Any, np.ndarray, Path]
) -> None:
    objects, meta, _, place = stored
    data = place.read_bytes()
    place.write_bytes(data[: int(len(data) * keep) if 0 < keep < 1 else int(keep)])
    with pytest.raises(DataError, match=r"a/x/c\.0\.0\.0"):
        ArrayReader(objects, "a/x", meta)[()]


def test_missing_shard_is_damage_even_where_zeros_are_stored(objects: Objects) -> None:
    data = np.zeros((8, 8), "int16")
    meta, _ = write(objects, "z", data, {"axis": 0, "chunk": (8, 8), "bounds": [0, 8]})
    np.testing.assert_array_equal(ArrayReader(objects, "a/z", meta)[()], data)
    objects.delete(["a/z/c.0.0"])
    with pytest.raises(DataError) as caught:
        ArrayReader(objects, "a/z", meta)[()]
    assert (caught.value.code, caught.value.about) == ("missing-shard", "a/z/c.0.0")


@pytest.mark.parametrize("shape", [(0, 4), (4, 0), (0,)])
def test_empty_arrays(shape: tuple[int, ...], objects: Objects) -> None:
    data = np.zeros(shape, "int16")
    axes = tuple(Axis(name) for name in "ab"[: len(shape)])
    chunk = ArraySpec(axes).seen(len(shape), "int16").chunk_of(shape)
    meta, _ = write(objects, "e", data, {"axis": 0, "chunk": chunk, "bounds": [0, shape[0]]})
    assert ArrayReader(objects, "a/e", meta)[()].shape == shape


def test_the_content_hash_is_over_chunks_that_are_padded_with_zeros(objects: Objects) -> None:
    data = np.arange(1, 5 * 8 * 7 + 1, dtype=np.int16).reshape(5, 8, 7)
    writer = ArrayWriter(Outbox(objects, "a"), "x", data.shape, data.dtype, axis=0, chunk=(2, 3, 3))
    writer.append(data)
    expected = xxh3_128(repr((data.shape, "int16", (2, 3, 3), 0)).encode())
    padded = np.zeros((6, 9, 9), np.int16)
    padded[:5, :8, :7] = data
    for z, y, x in itertools.product(range(0, 6, 2), range(0, 9, 3), range(0, 9, 3)):
        expected.update(padded[z : z + 2, y : y + 3, x : x + 3].tobytes())
    assert writer.close() == expected.hexdigest()


def test_slabs_that_do_not_add_up_are_refused(objects: Objects) -> None:
    def writer() -> ArrayWriter:
        return ArrayWriter(
            Outbox(objects, "a"), "s", (4, 4), np.dtype("int16"), axis=0, chunk=(2, 4)
        )

    for slab in (np.zeros((2, 3), "int16"), np.zeros((2, 4), "int32")):
        with pytest.raises(FatalError) as caught:
            writer().append(slab)
        assert caught.value.code == "slab-mismatch"
    short = writer()
    short.append(np.zeros((2, 4), "int16"))
    with pytest.raises(FatalError):
        short.close()
    long = writer()
    long.append(np.zeros((3, 4), "int16"))
    with pytest.raises(FatalError):
        long.append(np.zeros((2, 4), "int16"))


def test_foreign_and_absurd_metadata_are_refused() -> None:
    meta = ArrayMeta((4, 4), "int16", (2, 2), (4, 4), ("y", "x"))
    assert ArrayMeta.decode(json.loads(json.dumps(meta.encode())), "x") == meta
    foreign = zarr.create_array({}, shape=(4,), dtype="i2").metadata.to_dict()
    folders = {"name": "default", "configuration": {"separator": "/"}}
    elsewhere = {**meta.encode(), "chunk_key_encoding": folders}
    for document in (foreign, {}, {"codecs": []}, elsewhere):
        with pytest.raises(DataError) as caught:
            ArrayMeta.decode(document, "x")
        assert caught.value.code == "foreign-array"
    bomb = {**meta.encode(), "shape": [10**6, 10**7]}
    with pytest.raises(DataError) as caught:
        ArrayMeta.decode(bomb, "x")
    assert caught.value.code == "array-too-large"


def test_large_windows_of_a_bucket_come_in_several_requests(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fetch, "REQUEST_BYTES", 2**16)
    objects = Objects("memory:///")
    data = np.random.default_rng(7).integers(-(2**15), 2**15, (40, 96, 70)).astype(np.int16)
    outbox = Outbox(objects, "a")
    writer = ArrayWriter(outbox, "x", data.shape, data.dtype, axis=0, chunk=(8, 16, 32))
    writer.append(data)
    writer.close()
    outbox.flush()
    asked: list[int] = []
    read = objects.get_ranges

    def count(path: str, starts: Any, ends: Any) -> Any:
        asked.append(len(starts))
        return read(path, starts, ends)

    monkeypatch.setattr(objects, "get_ranges", count)
    reader = ArrayReader(objects, "a/x", writer.meta)
    assert np.array_equal(reader[:], data)
    assert len(asked) > 5  # 540 kB, 64 KiB a request
    assert set(asked) == {1}  # chunks that lie end to end are one range
    asked.clear()
    assert np.array_equal(reader[3:9, 10:20, :40], data[3:9, 10:20, :40])
    assert asked == [2 * 2]  # a patch comes at once, and what lies end to end along x as one
    body = bytearray(objects.get("a/x/c.0.0.0"))
    body[-2000] ^= 1  # in the last chunk, before the index
    objects.put("a/x/c.0.0.0", bytes(body))
    with pytest.raises(DataError) as caught:
        ArrayReader(objects, "a/x", writer.meta)[:]
    assert (caught.value.code, caught.value.about) == ("damaged-chunk", "a/x/c.0.0.0")
