"""What arrays are is declared, written down, united and held to."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zarr

from medray.errors import FatalError
from medray.formats.bigwig import Bigwig
from medray.formats.fasta import Fasta
from medray.formats.table import Table
from medray.storage.shards.forms.ome import IMAGE, LABEL, images
from medray.storage.shards.holds import named
from medray.storage.shards.reader import Shard
from medray.storage.shards.samples import Sample, Slabs
from medray.storage.shards.schema import (
    ANY,
    Arrays,
    ArraySpec,
    Axis,
    decode,
    encode,
    space_axes,
    united,
)
from medray.storage.shards.writer import ShardWriter
from medray.storage.store.objects import Objects

SIGNAL = ArraySpec(
    (Axis("lead", "channel"), Axis("time", "time", "second")),
    ("float32",),
    chunk=(None, 5000),
)
SHAPED = [
    (IMAGE, (1, 40, 200, 200), ("c", "z", "y", "x"), (1, 32, 64, 64), 1),
    (IMAGE, (3, 600, 700), ("c", "y", "x"), (1, 512, 512), 1),
    (LABEL, (40, 200, 20), ("z", "y", "x"), (32, 64, 20), 0),
    (LABEL, (600, 20), ("y", "x"), (512, 20), 0),
    (SIGNAL, (12, 500_000), ("lead", "time"), (12, 5000), 1),
    (Fasta(Fasta.Options()).arrays()["sequence"], (2**20,), ("base",), (2**18,), 0),
    (Bigwig(Bigwig.Options()).arrays()["track"], (9, 2000), ("track", "bin"), (9, 512), 0),
    (Table(Table.Options()).arrays()["features"], (300,), ("feature",), (300,), 0),
    (LABEL, (0, 20), ("y", "x"), (1, 20), 0),
]


@pytest.mark.parametrize(("spec", "shape", "axes", "chunk", "slabs"), SHAPED)
def test_chunks_and_slabs_follow_from_what_is_declared(
    spec: ArraySpec,
    shape: tuple[int, ...],
    axes: tuple[str, ...],
    chunk: tuple[int, ...],
    slabs: int,
) -> None:
    """Content hashes cover them: those of stored images, sequences and features stand."""
    seen = spec.seen(len(shape), spec.dtypes[0] if spec.dtypes else "int16")
    assert (seen.names, seen.chunk_of(shape), seen.slab_axis) == (axes, chunk, slabs)


def write(objects: Objects, path: str, arrays: Arrays, *samples: Sample) -> Shard:
    writer = ShardWriter(objects, path, arrays)
    for sample in samples:
        writer.add(sample)
    return Shard(objects, writer.finish().pinned)


def test_a_signal_is_no_picture(objects: Objects) -> None:
    values = np.random.default_rng(0).normal(size=(12, 500_000)).astype(np.float32)
    parts = iter(np.split(values, 50, axis=1))
    slabs = Slabs(values.shape, values.dtype, 1, parts)
    shard = write(objects, "s", {"signal": SIGNAL}, Sample("a", {}, {"signal": slabs}))
    array = shard.array(0, "signal")
    assert (array.shape, array.chunk) == ((12, 500_000), (12, 5000))
    np.testing.assert_array_equal(array[:, 70_000:71_000], values[:, 70_000:71_000])
    assert shard.names(0) == ["signal"]
    assert shard.layout(0) is None
    folder = Path(objects.url.removeprefix("file://")) / "s/arrays.zarr"
    group = zarr.open_group(folder, mode="r")
    assert group["0/signal"].metadata.dimension_names == ("lead", "time")  # type: ignore[union-attr]
    np.testing.assert_array_equal(group["0/signal"][:, -9:], values[:, -9:])
    assert "ome" not in json.dumps(json.loads((folder / "zarr.json").read_text())["attributes"])
    assert dict(group["0"].attrs) == {}
    assert shard.schema == {"signal": SIGNAL}
    assert str(shard.schema["signal"]) == "lead, time (second); float32; chunk all x 5000; plain"


def test_a_signal_and_an_image_of_one_sample(objects: Objects) -> None:
    image = np.arange(600_000, dtype=np.int16).reshape(1, 600, 1000)
    signal = np.ones((2, 100_000), np.float32)
    sample = Sample("a", {"spacing_mm": [0.5, 0.25]}, {"image": image, "signal": signal})
    shard = write(objects, "s", {"signal": SIGNAL, **images(labels=True)}, sample)
    assert shard.names(0) == ["image", "signal"]
    np.testing.assert_array_equal(shard.array(0, "signal")[...], signal)
    folder = Path(objects.url.removeprefix("file://")) / "s/arrays.zarr"
    (scale,) = zarr.open_group(folder, mode="r")["0"].attrs["ome"]["multiscales"]
    assert [axis["name"] for axis in scale["axes"]] == ["c", "y", "x"]
    assert [axis.get("unit") for axis in scale["axes"]] == [None, "millimeter", "millimeter"]


def test_no_unit_without_a_spacing(objects: Objects) -> None:
    image = np.arange(600_000, dtype=np.int16).reshape(1, 600, 1000)
    write(objects, "s", images(labels=False), Sample("a", {}, {"image": image}))
    folder = Path(objects.url.removeprefix("file://")) / "s/arrays.zarr"
    (scale,) = zarr.open_group(folder, mode="r")["0"].attrs["ome"]["multiscales"]
    assert not any("unit" in axis for axis in scale["axes"])


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("other", np.zeros(3), "undeclared-array"),
        ("signal", np.zeros((2, 3, 4), np.float32), "undeclared-shape"),
        ("signal", np.zeros((2, 3), np.int16), "undeclared-type"),
    ],
)
def test_what_is_not_declared_is_the_plugins_fault(
    objects: Objects, name: str, value: np.ndarray, code: str
) -> None:
    with pytest.raises(FatalError) as caught:
        write(objects, "s", {"signal": SIGNAL}, Sample("a", {}, {name: value}))
    assert caught.value.code == code
    laid = {ANY: ArraySpec((), form="laid")}
    with pytest.raises(FatalError, match="without a layout"):
        write(objects, "t", laid, Sample("a", {}, {name: value}))


def test_specs_are_united() -> None:
    flat, deep = IMAGE.seen(3, "uint8"), IMAGE.seen(4, "int16")
    both = united([{"image": flat}, {"image": deep, "label": LABEL.seen(2, "uint8")}])
    assert both["image"] == replace(IMAGE, dtypes=("int16", "uint8"), chunk=(1, 32, 64, 64))
    assert (both["image"].count("space"), both["label"].count("space")) == (None, 2)
    assert united([both, both]) == united([{"image": deep}, both]) == both
    assert decode(json.loads(json.dumps(encode(both)))) == both
    assert named(both) == {"image", "label"}
    assert named({ANY: LABEL}) is None


def test_axes_of_space_are_those_that_all_have() -> None:
    assert space_axes(images(labels=True, axes=3)) == 3
    assert space_axes({**images(labels=True, axes=2), "signal": SIGNAL}) == 2
    assert space_axes(images(labels=True)) is None
    assert space_axes({"signal": SIGNAL}) is None
    volume = images(labels=True, axes=3)["image"]
    assert volume.seen(4, "int16") == IMAGE.seen(4, "int16")
    with pytest.raises(FatalError, match="undeclared-shape"):
        volume.seen(3, "int16")


def test_a_shard_says_what_it_holds_and_no_more(objects: Objects) -> None:
    flat = Sample("a", {}, {"image": np.zeros((1, 4, 4), np.uint8)})
    deep = Sample("b", {}, {"image": np.zeros((1, 3, 4, 4), np.int16)})
    declared = images(labels=True)
    shard = write(objects, "s", declared, flat, deep)
    assert list(shard.schema) == ["image"]
    assert shard.schema["image"].dtypes == ("int16", "uint8")
    assert shard.schema["image"].count("space") is None
    writer = ShardWriter(objects, "t", declared)
    writer.add(flat)
    writer.add(deep)
    writer.forget(1)
    again = writer.finish()
    assert Shard(objects, again.pinned).schema["image"].names == ("c", "y", "x")
    writer = ShardWriter(objects, "u", declared)
    writer.add(flat)
    writer.add(deep)
    assert writer.finish().schema != again.schema
