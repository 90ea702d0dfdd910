"""Shards: both layouts read back, equal content hashes alike, damage is found."""

import os
from collections.abc import Callable, Iterator
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medray.errors import DamageError, DataError, FatalError
from medray.storage.shards.reader import Shard
from medray.storage.shards.records import ROOT, TABLE, ShardRecord
from medray.storage.shards.samples import Sample, Slabs
from medray.storage.shards.writer import ShardWriter
from medray.storage.store.disk import NewFile
from medray.storage.store.objects import Objects
from tests.declared import DECLARED, declared_of
from tests.stored import found


def write(objects: Objects, path: str, samples: list[Sample]) -> ShardRecord:
    writer = ShardWriter(objects, path, declared_of(samples))
    for sample in samples:
        writer.add(sample)
    return writer.finish()


def sample(number: int, shape: tuple[int, ...], **row: Any) -> Sample:
    data = np.random.default_rng(number).integers(-99, 99, shape).astype("int16")
    return Sample(f"s{number}", {"subject": f"p{number}", **row}, {"image": data})


def features(number: int) -> Sample:
    return Sample(f"s{number}", {}, {"features": np.arange(8) + number})


VOLUME = {"spacing_mm": (2.5, 1.0, 0.5), "affine": [float(n) for n in range(16)]}


def test_small_arrays_of_one_shape_are_stacked(objects: Objects) -> None:
    samples = [sample(n, (1, 8, 8)) for n in range(5)]
    record = write(objects, "s", samples)
    assert (record.rows, record.bytes) == (5, sum(size for size, _ in record.files.values()))
    assert {"table.parquet", "arrays.zarr/zarr.json", "arrays.zarr/image/zarr.json"} < set(
        record.files
    )
    shard = Shard(objects, found(objects, "s"))
    for number, wanted in enumerate(samples):
        got = shard.sample(number)
        assert (got.id, got.row["subject"]) == (wanted.id, wanted.row["subject"])
        np.testing.assert_array_equal(got.arrays["image"], wanted.arrays["image"])
    assert shard.array(2, "image").shape == (1, 8, 8)


def test_a_stack_that_some_samples_lack(objects: Objects) -> None:
    samples = [features(n) for n in range(6)]
    for number in (0, 3):
        del samples[number].arrays["features"]
    samples[3].arrays["other"] = np.arange(3, dtype=np.float32)
    record = write(objects, "s", samples)
    assert len([name for name in record.files if "/features/" in name]) == 2  # metadata, one object
    shard = Shard(objects, found(objects, "s"))
    assert [shard.names(n) for n in range(6)] == [
        [], ["features"], ["features"], ["other"], ["features"], ["features"]
    ]  # fmt: skip
    for number in (1, 2, 4, 5):
        got = shard.sample(number).arrays["features"]
        np.testing.assert_array_equal(got, samples[number].arrays["features"])
    with pytest.raises(DataError, match="no-such-array"):
        shard.array(3, "features")
    stack = shard.stack("features") or []
    assert [one is None for one in stack] == [True, False, False, True, False, False]
    np.testing.assert_array_equal(stack[4], samples[4].arrays["features"])
    assert shard.stack("other") is None
    moved = [*samples[:2], samples[3], samples[2], *samples[4:]]
    assert write(objects, "t", moved).content != record.content


def test_volumes_stand_alone_as_ome_zarr(objects: Objects) -> None:
    volume = sample(0, (1, 40, 70, 70), **VOLUME)
    volume.arrays["label"] = (np.asarray(volume.arrays["image"])[0] > 0).astype("uint8")
    write(objects, "s", [volume, sample(1, (1, 9, 9, 9), **VOLUME)])
    shard = Shard(objects, found(objects, "s"))
    assert shard.names(0) == ["image", "label"]
    assert shard.names(1) == ["image"]
    np.testing.assert_array_equal(shard.array(0, "label")[...], volume.arrays["label"])
    image = shard.array(0, "image")
    np.testing.assert_array_equal(
        image[:, 10:20, 5:66, 64:], np.asarray(volume.arrays["image"])[:, 10:20, 5:66, 64:]
    )
    group = zarr.open_group(objects.url.removeprefix("file://") + "/s/arrays.zarr", mode="r")
    np.testing.assert_array_equal(group["0/labels/label/0"][...], volume.arrays["label"])
    scale = group["0"].attrs["ome"]["multiscales"][0]["datasets"][0]
    assert scale["coordinateTransformations"][0]["scale"] == [1.0, 2.5, 1.0, 0.5]
    assert group["0"].attrs["affine_ras_mm"] == VOLUME["affine"]


def test_a_mask_alone_is_an_image_of_three_objects(objects: Objects) -> None:
    masks = [
        Sample(f"s{n}", dict(VOLUME), {"label": np.full((4, 5, 6 + n), n + 1, np.uint8)})
        for n in range(2)
    ]
    record = write(objects, "s", masks)
    assert sorted(name for name in record.files if name.startswith("arrays.zarr/1/")) == [
        "arrays.zarr/1/label/c.0.0.0",
        "arrays.zarr/1/label/zarr.json",
        "arrays.zarr/1/zarr.json",
    ]
    shard = Shard(objects, found(objects, "s"))
    assert (shard.names(1), shard.layout(1)) == (["label"], None)
    np.testing.assert_array_equal(shard.array(1, "label")[...], masks[1].arrays["label"])
    group = zarr.open_group(objects.url.removeprefix("file://") + "/s/arrays.zarr/1", mode="r")
    ome = group.attrs["ome"]
    np.testing.assert_array_equal(
        group[ome["multiscales"][0]["datasets"][0]["path"]][...], masks[1].arrays["label"]
    )
    # Once more with what is no sole array: a sample given back must not decide for the next.
    writer = ShardWriter(objects, "t", DECLARED)
    writer.add(masks[0])
    writer.forget(0)
    both = {"image": np.zeros((1, 4, 5, 6), np.int16), "label": masks[0].arrays["label"]}
    writer.add(Sample("s", dict(VOLUME), both))
    assert "arrays.zarr/0/labels/label/0/c.0.0.0" in writer.finish().files


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 40), st.integers(1, 40)), max_size=5))
def test_any_mix_of_shapes_reads_as_written(tmp_path: Path, shapes: list[tuple[int, ...]]) -> None:
    objects = Objects(str(tmp_path))
    samples = [sample(n, shape) for n, shape in enumerate(shapes)]
    path = f"s{abs(hash(str(shapes)))}"
    record = write(objects, path, samples)
    again = write(objects, path + "-again", samples)
    assert (again.content, again.sha256) == (record.content, record.sha256)
    shard = Shard(objects, found(objects, path))
    assert shard.table.num_rows == len(samples)
    for number, wanted in enumerate(samples):
        np.testing.assert_array_equal(shard.sample(number).arrays["image"], wanted.arrays["image"])


def test_slabs_equal_the_array_and_hash_alike(objects: Objects) -> None:
    whole = sample(0, (1, 70, 40, 40), **VOLUME)
    data = np.asarray(whole.arrays["image"])
    parts = iter([data[:, :13], data[:, 13:14], data[:, 14:]])
    cut = Sample(whole.id, whole.row, {"image": Slabs(data.shape, data.dtype, 1, parts)})
    assert write(objects, "a", [whole]).content == write(objects, "b", [cut]).content
    np.testing.assert_array_equal(
        Shard(objects, found(objects, "b")).sample(0).arrays["image"], data
    )


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 40, 80, 80)])
def test_what_is_forgotten_leaves_no_trace(shape: tuple[int, ...], objects: Objects) -> None:
    writer = ShardWriter(objects, "a", DECLARED)
    writer.add(sample(0, shape))
    writer.add(sample(1, shape))
    writer.forget(1)
    broken = sample(2, shape)
    broken.arrays["label"] = Slabs((4, 4), np.dtype("uint8"), 0, iter([np.zeros((2, 4))]))
    with pytest.raises(FatalError):
        writer.add(broken)
    writer.forget(1)
    writer.add(sample(3, shape))
    record = writer.finish()
    clean = write(objects, "b", [sample(0, shape), sample(3, shape)])
    assert record.content == clean.content
    assert record.files == clean.files
    stored = {entry.path.removeprefix("a/") for entry in objects.walk("a")}
    assert stored == set(record.files)


def test_discard_removes_all(objects: Objects) -> None:
    writer = ShardWriter(objects, "a", DECLARED)
    writer.add(sample(0, (1, 40, 80, 80)))
    writer.discard()
    assert list(objects.walk("a")) == []


def test_bytes_that_do_not_read_back_are_fatal(
    objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = objects.get
    monkeypatch.setattr(objects, "get", lambda path: real(path)[:-1] + b"?")
    with pytest.raises(FatalError) as caught:
        write(objects, "a", [sample(0, (1, 8, 8))])
    assert caught.value.code == "read-back-mismatch"
    assert caught.value.about.startswith("a/")


def flip(place: Path, other: Path) -> None:
    data = bytearray(place.read_bytes())
    data[len(data) // 2] ^= 1
    place.write_bytes(data)


def exchange(place: Path, other: Path) -> None:
    """Another object, sound in itself: its chunks have their checksums behind them."""
    assert place.stat().st_size == other.stat().st_size
    place.write_bytes(other.read_bytes())


def lengthen(place: Path, other: Path) -> None:
    place.write_bytes(place.read_bytes() + b"x")


@pytest.mark.parametrize("damage", [flip, exchange, lengthen])
def test_a_large_object_that_does_not_read_back_is_fatal(
    objects: Objects, monkeypatch: pytest.MonkeyPatch, damage: Callable[[Path, Path], None]
) -> None:
    monkeypatch.setattr("medray.storage.shards.upload.LARGE_BYTES", 2**10)
    # All bytes random, so that no chunk is compressed: shards of equal size.
    noise = [np.random.default_rng(n).bytes(2 * 32 * 64 * 64) for n in range(2)]
    first, second = (
        Sample("s", {}, {"image": np.frombuffer(data, "int16").reshape(1, 32, 64, 64)})
        for data in noise
    )
    write(objects, "other", [first])
    (other,) = Path(objects.url.removeprefix("file://")).glob("other/**/c.*")
    real = NewFile.close

    def close(file: NewFile) -> None:
        real(file)
        (place,) = Path(objects.url.removeprefix("file://")).glob("a/**/c.*")
        damage(place, other)

    monkeypatch.setattr(NewFile, "close", close)
    writer = ShardWriter(objects, "a", DECLARED)
    with pytest.raises(FatalError) as caught:
        writer.add(second)
    assert caught.value.code == "read-back-mismatch"
    writer.discard()
    assert list(objects.walk("a")) == []


@pytest.mark.parametrize("most", [1, 32])
def test_all_is_on_the_disk_when_a_shard_is_finished(
    objects: Objects, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr("medray.storage.shards.upload.LARGE_BYTES", 2**10)
    monkeypatch.setattr("medray.storage.shards.upload.UNSETTLED", most)
    real, synced = os.fsync, set[str]()

    def fsync(file: int | FileIO) -> None:
        handle = file if isinstance(file, int) else file.fileno()
        synced.add(str(Path(f"/proc/self/fd/{handle}").readlink()))
        real(file)

    monkeypatch.setattr(os, "fsync", fsync)
    writer = ShardWriter(objects, "a", DECLARED)
    noise = np.random.default_rng(0).integers(1, 2**15, (3, 1, 32, 64, 64)).astype("int16")
    for number, image in enumerate(noise):
        writer.add(Sample(f"s{number}", {}, {"image": image}))
    root = Path(objects.url.removeprefix("file://"))
    written = {str(place) for place in root.glob("a/**/c.*")}
    assert len(written) == 3
    assert synced.issuperset(written) == (most == 1)
    record = writer.finish()
    assert synced.issuperset(str(root / "a" / name) for name in record.files)
    assert synced.issuperset(str(Path(place).parent) for place in written)


def test_what_was_taken_back_leaves_no_empty_stack(objects: Objects) -> None:
    writer = ShardWriter(objects, "a", DECLARED)
    writer.add(sample(0, (1, 8, 8)))
    writer.forget(0)
    writer.add(Sample("s1", {}))
    assert (writer.finish().rows, Shard(objects, found(objects, "a")).names(0)) == (1, [])


@pytest.mark.parametrize("large", [2**10, 2**30], ids=["begun on the disk", "held"])
def test_an_array_that_breaks_off_leaves_nothing(
    objects: Objects, monkeypatch: pytest.MonkeyPatch, large: int
) -> None:
    monkeypatch.setattr("medray.storage.shards.upload.LARGE_BYTES", large)
    broken = Sample("s", {"spacing_mm": [1.0] * 3})
    noise = np.random.default_rng(0).integers(1, 2**15, (1, 32, 64, 64)).astype("int16")

    def parts() -> Iterator[np.ndarray]:
        yield noise
        raise RuntimeError

    broken.arrays["image"] = Slabs((1, 64, 64, 64), np.dtype("int16"), 1, parts())
    writer = ShardWriter(objects, "a", DECLARED)
    with pytest.raises(RuntimeError):
        writer.add(broken)
    written = [entry.path for entry in objects.walk("a")]
    assert written == (["a/arrays.zarr/0/image/c.0.0.0.0"] if large == 2**10 else [])
    writer.forget(0)
    assert list(objects.walk("a")) == []
    broken.arrays["image"] = np.concatenate([noise, noise], axis=1)
    writer.add(broken)
    writer.finish()
    np.testing.assert_array_equal(
        Shard(objects, found(objects, "a")).array(0, "image")[...], broken.arrays["image"]
    )


def test_rows_keep_plain_values(objects: Objects) -> None:
    row = {"n": np.int64(3), "f": float("nan"), "t": (1.0, 2.0), "s": "x", "none": None}
    write(objects, "a", [Sample("s", row), Sample("t", {"extra": True})])
    assert Shard(objects, found(objects, "a")).table.to_pylist() == [
        {"sample_id": "s", "n": 3, "f": None, "t": [1.0, 2.0], "s": "x", "none": None}
        | {"extra": None},
        {"sample_id": "t", "n": None, "f": None, "t": None, "s": None, "none": None, "extra": True},
    ]


@pytest.mark.parametrize(
    ("name", "code"), [(TABLE, "damaged-table"), (ROOT, "damaged-metadata")], ids=["table", "root"]
)
def test_any_flip_in_what_is_believed_is_found(objects: Objects, name: str, code: str) -> None:
    """Without the commit's hash 1 of 33 flips in a table, and 1 of 27 in metadata, went unseen."""
    pinned = write(objects, "a", [sample(n, (1, 8, 8)) for n in range(9)]).pinned
    place = Path(objects.url.removeprefix("file://")) / pinned.path / name
    data = place.read_bytes()
    for spot in range(len(data)):
        place.write_bytes(data[:spot] + bytes([data[spot] ^ (1 << spot % 8)]) + data[spot + 1 :])
        with pytest.raises(DamageError) as caught:
            Shard(objects, pinned).sample(0)
        assert (caught.value.code, caught.value.about) == (code, f"a/{name}")
    for cut in (data[:-9], b"", data + b"\0"):
        place.write_bytes(cut)
        with pytest.raises(DamageError, match=code):
            Shard(objects, pinned).sample(0)
    place.unlink()
    with pytest.raises(DamageError, match=code.replace("damaged", "missing")):
        Shard(objects, pinned).sample(0)
    place.write_bytes(data)
    assert Shard(objects, pinned).sample(0).id == "s0"


def test_unknown_array_is_named(objects: Objects) -> None:
    write(objects, "a", [sample(0, (1, 8, 8))])
    with pytest.raises(DataError, match="it has: image") as caught:
        Shard(objects, found(objects, "a")).array(0, "label")
    assert caught.value.code == "no-such-array"
