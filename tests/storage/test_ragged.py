"""Ragged arrays: few objects whatever the samples, any row by one request, damage is found."""

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import tensorstore
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medray.errors import DamageError, DataError, FatalError, SpecError
from medray.storage.shards import array_writer, ragged
from medray.storage.shards.reader import Shard
from medray.storage.shards.records import ShardRecord
from medray.storage.shards.rows import EndToEnd, Rows
from medray.storage.shards.samples import Sample, Slabs
from medray.storage.shards.schema import ArraySpec, Axis
from medray.storage.shards.writer import ShardWriter
from medray.storage.store.objects import Objects

ATOMS = ArraySpec((Axis("atom"), Axis("property")), ("uint8",), ragged=True)
TOKENS = ArraySpec((Axis("token"),), ("uint32",), ragged=True)
ARRAYS = {"atoms": ATOMS, "tokens": TOKENS}


def molecule(number: int, atoms: int, tokens: int) -> Sample:
    rng = np.random.default_rng(number)
    return Sample(
        f"m{number}",
        {"subject": f"m{number}"},
        {
            "atoms": rng.integers(0, 255, (atoms, 9)).astype(np.uint8),
            "tokens": rng.integers(0, 2**32, tokens).astype(np.uint32),
        },
    )


def molecules(count: int) -> list[Sample]:
    sizes = np.random.default_rng(1).integers(0, 60, (count, 2))
    return [molecule(number, *size) for number, size in enumerate(sizes.tolist())]


def write(objects: Objects, path: str, samples: Sequence[Sample]) -> ShardRecord:
    writer = ShardWriter(objects, path, ARRAYS)
    for sample in samples:
        writer.add(sample)
    return writer.finish()


def folder(objects: Objects, path: str) -> Path:
    return Path(objects.url.removeprefix("file://")) / path / "arrays.zarr"


@pytest.mark.parametrize("count", [2, 3000])
def test_two_arrays_of_any_number_of_samples_are_eight_objects(
    objects: Objects, count: int
) -> None:
    samples = molecules(count)
    record = write(objects, "s", samples)
    assert len(record.files) == 8
    shard = Shard(objects, record.pinned)
    assert shard.schema["atoms"].ragged
    assert shard.schema["atoms"].chunk == (2**16 // 9, None)
    for row in (0, count // 2, count - 1):
        got = shard.sample(row)
        assert got.arrays.keys() == {"atoms", "tokens"} == {*shard.names(row)}
        for name, values in samples[row].arrays.items():
            assert got.arrays[name].dtype == values.dtype
            np.testing.assert_array_equal(got.arrays[name], values)
    held = shard.stack("atoms")
    assert held is not None
    for mine, sample in zip(held, samples, strict=True):
        np.testing.assert_array_equal(mine, sample.arrays["atoms"])


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    lengths=st.lists(st.integers(0, 40) | st.none(), min_size=1, max_size=12),
    rows=st.lists(st.integers(0, 11), max_size=20),
    chunk_bytes=st.sampled_from([4, 36, 400]),
    shard_bytes=st.sampled_from([1, 100, 2**20]),
)
def test_any_rows_in_any_order(
    tmp_path: Path,
    lengths: list[int | None],
    rows: list[int],
    chunk_bytes: int,
    shard_bytes: int,
) -> None:
    objects = Objects(tempfile.mkdtemp(dir=tmp_path))
    samples = [molecule(number, size or 0, 1) for number, size in enumerate(lengths)]
    for sample, size in zip(samples, lengths, strict=True):
        if size is None:
            del sample.arrays["atoms"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ragged, "CHUNK_BYTES", chunk_bytes)
        patch.setattr(array_writer, "SHARD_BYTES", shard_bytes)
        record = write(objects, "s", samples)
    shard = Shard(objects, record.pinned)
    for row, size in enumerate(lengths):
        assert ("atoms" in shard.names(row)) == (size is not None)
    rows = [row for row in rows if row < len(samples)]
    if any(size is not None for size in lengths):
        taken = shard.ragged("atoms").take(rows)
        for row, got in zip(rows, taken, strict=True):
            wanted = samples[row].arrays.get("atoms", np.zeros((0, 9), np.uint8))
            np.testing.assert_array_equal(got, wanted)
        assert shard.ragged("atoms").lengths.tolist() == [size or 0 for size in lengths]
    for row in rows:
        array = shard.array(row, "tokens")
        assert (array.shape, array.ndim) == ((1,), 1)
        np.testing.assert_array_equal(array[...], samples[row].arrays["tokens"])


def test_a_window_of_a_row(objects: Objects) -> None:
    samples = molecules(30)
    shard = Shard(objects, write(objects, "s", samples).pinned)
    atoms = np.asarray(samples[7].arrays["atoms"])
    array = shard.array(7, "atoms")
    for window in [(slice(2, 5),), (slice(3, None), slice(4, 6)), (slice(-2, None),)]:
        np.testing.assert_array_equal(array[window], atoms[window])
    assert array[5:2].shape == (0, 9)


def test_a_random_row_is_one_request_for_each_array(
    objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ragged, "CHUNK_BYTES", 128)
    samples = molecules(300)
    shard = Shard(objects, write(objects, "s", samples).pinned)
    shard.ragged("atoms").take([0, 1, 299])
    real, asked = objects.get_ranges, []

    def counted(path: str, starts: Sequence[int], ends: Sequence[int]) -> list[memoryview]:
        asked.append(len(starts))
        return real(path, starts, ends)

    monkeypatch.setattr(objects, "get_ranges", counted)
    monkeypatch.setattr(objects, "get_tail", lambda *about: pytest.fail("asked for an index"))
    (row,) = [n for n in range(300) if len(np.asarray(samples[n].arrays["atoms"])) > 50][:1]
    (got,) = shard.ragged("atoms").take([row])
    assert asked == [1], "neighbouring chunks come as one range"
    np.testing.assert_array_equal(got, samples[row].arrays["atoms"])
    asked.clear()
    shard.ragged("atoms").take(list(range(0, 300, 7)))
    assert len(asked) == 1


def test_other_libraries_read_them(objects: Objects) -> None:
    samples = molecules(50)
    for name in ("atoms", "tokens"):
        del samples[20].arrays[name]
    write(objects, "s", samples)
    place = folder(objects, "s")
    group = zarr.open_group(place, mode="r")
    names = group.attrs["ragged"]
    assert names == ["atoms", "tokens"]
    assert group["atoms"].metadata.dimension_names == ("atom", "property")  # type: ignore[union-attr]
    opened = {
        name: tensorstore.open(
            {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{place}/{name}/"}}
        ).result()
        for name in ("offsets", "absent", *names)
    }
    for k, name in enumerate(names):
        offsets, absent = group["offsets"][k], group["absent"][k]
        np.testing.assert_array_equal(opened["offsets"][k].read().result(), offsets)
        np.testing.assert_array_equal(opened["absent"][k].read().result(), absent)
        assert absent.tolist() == [row == 20 for row in range(50)]
        for row in (0, 20, 49):
            wanted = samples[row].arrays.get(name, np.zeros((0,)))
            span = slice(int(offsets[row]), int(offsets[row + 1]))
            np.testing.assert_array_equal(group[name][span].reshape(wanted.shape), wanted)
            read = opened[name][span].read().result()
            np.testing.assert_array_equal(read.reshape(wanted.shape), wanted)


def test_arrays_that_are_all_empty(objects: Objects) -> None:
    record = write(objects, "s", [molecule(n, 0, 0) for n in range(3)])
    shard = Shard(objects, record.pinned)
    assert shard.array(1, "atoms")[...].shape == (0, 9)
    assert [one.shape for one in shard.ragged("tokens").take([0, 2])] == [(0,), (0,)]
    place = folder(objects, "s")
    assert zarr.open_group(place, mode="r")["atoms"][...].shape == (0, 9)
    where = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{place}/atoms/"}}
    assert tensorstore.open(where).result().read().result().shape == (0, 9)


def test_one_sample_is_ragged_too(objects: Objects) -> None:
    """How it lies follows from what is declared, never from the data."""
    files = write(objects, "s", [molecule(0, 5, 5)]).files
    assert {name.split("/")[1] for name in files if "/" in name} == {
        "zarr.json", "offsets", "atoms", "tokens",
    }  # fmt: skip


def test_what_is_forgotten_leaves_no_trace(objects: Objects) -> None:
    writer = ShardWriter(objects, "a", ARRAYS)
    writer.add(molecule(0, 5, 5))
    writer.add(molecule(1, 9, 9))
    bad = molecule(2, 3, 3)
    bad.arrays["tokens"] = Slabs((3,), np.dtype(np.uint32), 0, iter([]))
    with pytest.raises(FatalError):
        writer.add(bad)
    writer.forget(1)
    writer.add(molecule(3, 7, 7))
    record = writer.finish()
    clean = write(objects, "b", [molecule(0, 5, 5), molecule(3, 7, 7)])
    assert (record.content, record.files) == (clean.content, clean.files)
    assert write(objects, "c", [molecule(0, 5, 5), molecule(3, 7, 8)]).content != clean.content


def test_empty_and_absent_differ(objects: Objects) -> None:
    empty, absent = molecule(0, 0, 4), molecule(0, 0, 4)
    del absent.arrays["atoms"]
    more = molecule(1, 4, 4)
    assert write(objects, "a", [empty, more]).content != write(objects, "b", [absent, more]).content
    shard = Shard(objects, write(objects, "c", [absent, more]).pinned)
    with pytest.raises(DataError, match="it has: tokens") as caught:
        shard.array(0, "atoms")
    assert caught.value.code == "no-such-array"
    with pytest.raises(DataError, match="no-such-array"):
        shard.ragged("label")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"tokens": np.zeros(3, np.int32)}, "undeclared-type"),
        ({"tokens": np.zeros((3, 3), np.uint32)}, "undeclared-shape"),
        ({"atoms": np.zeros((3, 8), np.uint8)}, "undeclared-shape"),
    ],
)
def test_what_does_not_lie_end_to_end_is_refused(
    objects: Objects, change: dict[str, np.ndarray], code: str
) -> None:
    other = molecule(1, 2, 2)
    other.arrays.update(change)
    with pytest.raises(FatalError) as caught:
        write(objects, "s", [molecule(0, 2, 2), other])
    assert caught.value.code == code


def test_limits(objects: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SpecError, match="reserved-name"):
        ShardWriter(objects, "s", {"offsets": TOKENS})
    with pytest.raises(ValueError, match="first axis only"):
        ArraySpec(ATOMS.axes, chunk=(100, 3), ragged=True)
    monkeypatch.setattr(ragged, "MOST_BYTES", 100)
    writer = ShardWriter(objects, "s", ARRAYS)
    writer.add(molecule(0, 5, 5))
    with pytest.raises(SpecError, match="ragged-too-large"):
        writer.add(molecule(1, 5, 5))
    writer.forget(1)
    writer.add(molecule(2, 1, 1))
    assert writer.finish().rows == 2


@pytest.mark.parametrize("name", ["atoms/c.0.0", "tokens/c.0", "offsets/c.0.0"])
def test_any_flip_in_stored_values_is_found(objects: Objects, name: str) -> None:
    samples = [molecule(n, 3, 3) for n in range(4)]
    pinned = write(objects, "s", samples).pinned
    place = folder(objects, "s") / name
    data = place.read_bytes()
    for spot in range(len(data)):
        place.write_bytes(data[:spot] + bytes([data[spot] ^ (1 << spot % 8)]) + data[spot + 1 :])
        with pytest.raises(DamageError) as caught:
            [Shard(objects, pinned).sample(row) for row in range(4)]
        assert caught.value.about == f"s/arrays.zarr/{name}"
    place.unlink()
    with pytest.raises(DamageError, match="missing-shard"):
        Shard(objects, pinned).sample(0)


def test_offsets_of_another_shard_are_found(objects: Objects) -> None:
    """Sound in themselves: their chunks have their checksums."""
    pinned = write(objects, "s", [molecule(n, 3, 3) for n in range(4)]).pinned
    write(objects, "t", [molecule(n, 3 + n, 3) for n in range(4)])
    taken = folder(objects, "t") / "offsets/c.0.0"
    (folder(objects, "s") / "offsets/c.0.0").write_bytes(taken.read_bytes())
    with pytest.raises(DamageError) as caught:
        Shard(objects, pinned).names(0)
    assert (caught.value.code, caught.value.about) == (
        "damaged-offsets",
        "s/arrays.zarr/offsets",
    )


def many(samples: Sequence[Sample]) -> Rows:
    """The same samples in one item."""
    table = pa.table({"sample_id": [s.id for s in samples], "subject": [s.id for s in samples]})
    ragged = {
        name: EndToEnd(
            np.concatenate([s.arrays[name] for s in samples]),
            np.array([len(s.arrays[name]) for s in samples]),
        )
        for name in ARRAYS
    }
    return Rows(table, ragged)


def test_samples_in_one_item_are_stored_as_they_are_one_by_one(objects: Objects) -> None:
    samples = molecules(300)
    one_by_one = write(objects, "shards/single", samples)
    record = write(objects, "shards/many", [many(samples[:100]), many(samples[100:])])
    same = {name: one_by_one.files[name] for name in one_by_one.files if "zarr" in name}
    assert {name: record.files[name] for name in record.files if "zarr" in name} == same
    shard = Shard(objects, record.pinned)
    for row in (0, 99, 100, 299):
        stored = shard.sample(row)
        assert stored.id == samples[row].id
        for name, value in samples[row].arrays.items():
            assert np.array_equal(stored.arrays[name], value)
    for sample, other in zip(many(samples).each(), samples, strict=True):
        assert (sample.id, sample.row) == (other.id, other.row)
        assert all(np.array_equal(sample.arrays[n], v) for n, v in other.arrays.items())


def test_what_is_taken_back_of_many_samples_is_as_if_it_had_never_come(objects: Objects) -> None:
    samples = molecules(40)
    writer = ShardWriter(objects, "shards/cut", ARRAYS)
    writer.add(many(samples[:20]))
    writer.add(many(samples[20:]))
    writer.forget(25)
    writer.add(many(samples[25:30]))
    cut = writer.finish()
    whole = write(objects, "shards/whole", [many(samples[:30])])
    assert (cut.rows, cut.content) == (30, whole.content)


def test_arrays_of_many_samples_at_once_must_be_ragged(objects: Objects) -> None:
    writer = ShardWriter(objects, "shards/flat", {"atoms": replace(ATOMS, ragged=False)})
    rows = many(molecules(3))
    del rows.ragged["tokens"]
    with pytest.raises(FatalError) as caught:
        writer.add(rows)
    assert caught.value.code == "undeclared-shape"
