"""Samples whose arrays are a Zarr group of a known form: texts, axes, attributes, and back."""

from pathlib import Path

import numpy as np
import pytest
import zarr

from medray.errors import DataError
from medray.storage.shards.reader import Shard
from medray.storage.shards.samples import Layout, Sample
from medray.storage.shards.writer import ShardWriter
from medray.storage.store.objects import Objects
from tests.declared import LAID
from tests.stored import found

TEXT = np.dtypes.StringDType()


def laid(number: int) -> Sample:
    rng = np.random.default_rng(number)
    calls = rng.integers(-2, 2, (2500, 30, 2), dtype=np.int8)
    names = np.array([["A", "é" * (n % 5), ""][n % 3] for n in range(5000)], TEXT).reshape(2500, 2)
    arrays = {
        "call_genotype": calls,
        "variant_allele": names,
        "sample_id": np.array([f"s{n}" for n in range(30)], TEXT),
        "none": np.zeros((0, 3), np.float32),
        "blank": np.array([""] * 7, TEXT),
    }
    axes = {
        "call_genotype": ("variants", "samples", "ploidy"),
        "variant_allele": ("variants", "alleles"),
        "sample_id": ("samples",),
        "none": ("no", "three"),
        "blank": ("seven",),
    }
    chunks = {
        "call_genotype": (1000, 10, 2), "variant_allele": (1000, 2), "sample_id": (10,),
        "none": (1, 3), "blank": (4,),
    }  # fmt: skip
    notes = {"call_genotype": {"description": "calls"}}
    return Sample(f"p{number}", {"n": number}, arrays, Layout({"form": "x"}, axes, chunks, notes))


@pytest.fixture
def shard(objects: Objects) -> Shard:
    writer = ShardWriter(objects, "shard", LAID)
    for number in range(2):
        writer.add(laid(number))
    writer.finish()
    return Shard(objects, found(objects, "shard"))


def test_what_is_written_is_read_back_with_its_layout(shard: Shard) -> None:
    for number in range(2):
        wanted, got = laid(number), shard.sample(number)
        assert got.layout == wanted.layout
        assert got.arrays.keys() == wanted.arrays.keys()
        for name, values in wanted.arrays.items():
            assert isinstance(values, np.ndarray)
            assert got.arrays[name].dtype == values.dtype
            assert got.arrays[name].shape == values.shape
            assert np.array_equal(got.arrays[name], values)
    part = shard.array(0, "variant_allele")[990:1010]
    assert np.array_equal(part, laid(0).arrays["variant_allele"][990:1010])  # type: ignore[index]


def test_zarr_python_opens_a_sample_as_a_group(shard: Shard, tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path / "store/shard/arrays.zarr/1", mode="r")
    assert dict(group.attrs) == {"form": "x"}
    wanted = laid(1)
    assert set(group.array_keys()) == set(wanted.arrays)
    for name, values in wanted.arrays.items():
        array = group[name]
        assert array.metadata.dimension_names == wanted.layout.axes[name]  # type: ignore[union-attr]
        assert array.chunks == wanted.layout.chunks[name]  # type: ignore[union-attr]
        assert np.array_equal(array[...], values)
    assert group["call_genotype"].attrs["description"] == "calls"


def test_content_follows_texts(objects: Objects) -> None:
    hashes = []
    for change in (False, False, True):
        writer = ShardWriter(objects, f"s{len(hashes)}", LAID)
        sample = laid(0)
        if change:
            sample.arrays["variant_allele"][2000, 1] = "T"  # type: ignore[index]
        writer.add(sample)
        hashes.append(writer.finish().content)
    assert hashes[0] == hashes[1] != hashes[2]


def test_forgotten_samples_leave_nothing(objects: Objects) -> None:
    writer = ShardWriter(objects, "s", LAID)
    writer.add(laid(0))
    writer.add(laid(1))
    writer.forget(1)
    record = writer.finish()
    assert not [name for name in record.files if "/1/" in name]
    assert Shard(objects, found(objects, "s")).names(0) == sorted(laid(0).arrays)


def test_damage_of_texts_is_found(shard: Shard, tmp_path: Path) -> None:
    path = tmp_path / "store/shard/arrays.zarr/0/variant_allele/c.0.0"
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(DataError, match="checksum"):
        shard.array(0, "variant_allele")[...]
