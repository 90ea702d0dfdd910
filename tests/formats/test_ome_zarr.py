"""OME-Zarr: both versions read, 0.5 written, foreign metadata held against the list."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr

from medray.errors import DataError, SpecError
from medray.formats.base import Source
from medray.formats.ome_zarr import OmeZarr
from medray.storage.shards.samples import Sample

AFFINE = [-2.0, 0, 0, 30, 0, 3.0, 0, -40, 0, 0, 4.0, 5, 0, 0, 0, 1]


def read(root: Path, **options: Any) -> list[Sample]:
    form = OmeZarr(OmeZarr.Options(**options))
    plan = form.plan(Source(root))
    items = [item for group in plan.groups for item in group]
    return [sample for item in items for sample in form.read(Source(root), item)]


def refusal(root: Path, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        read(root, **options)
    assert str(root) not in str(caught.value)
    return caught.value.code


def refused(root: Path) -> list[tuple[str, str, str]]:
    plan = OmeZarr(OmeZarr.Options()).plan(Source(root))
    return [(one.source, one.code, one.kind) for one in plan.refused]


def volume_sample(shape: tuple[int, ...] = (2, 70, 90, 130)) -> Sample:
    rng = np.random.default_rng(0)
    image = rng.integers(-1000, 1000, shape).astype(np.int16)
    label = rng.integers(0, 3, shape[1:]).astype(np.uint8)
    row = {"spacing_mm": [4.0, 3.0, 2.0], "affine": AFFINE}
    return Sample("case", row, {"image": image, "label": label})


def write(target: Path, *samples: Sample) -> list[Path]:
    return list(OmeZarr(OmeZarr.Options()).write(samples, target))


def test_what_is_written_reads_back(tmp_path: Path) -> None:
    sample = volume_sample()
    (path,) = write(tmp_path, sample)
    assert path.name == "case.ome.zarr"
    (back,) = read(tmp_path)
    assert back.id == "case"
    assert np.array_equal(back.arrays["image"], sample.arrays["image"])
    assert np.array_equal(back.arrays["label"], sample.arrays["label"])
    assert back.row["spacing_mm"] == [4.0, 3.0, 2.0]
    assert back.row["affine"] == AFFINE
    assert back.row["has_label"] is True


def test_coarser_levels_keep_their_place_in_space(tmp_path: Path) -> None:
    sample = volume_sample()
    write(tmp_path, sample)
    (coarse,) = read(tmp_path, level=1, labels="none")
    image = sample.arrays["image"]
    assert coarse.arrays["image"].shape == (2, 35, 45, 65)
    block = image[0, :2, :2, :2]
    by_axis = block.astype(np.float64)
    for _ in range(3):  # the mean is rounded after every axis
        by_axis = np.rint(by_axis.mean(axis=0))
    assert coarse.arrays["image"][0, 0, 0, 0] == by_axis
    assert coarse.row["spacing_mm"] == [8.0, 6.0, 4.0]
    # The first coarse voxel's centre lies between the two fine ones' along each axis.
    affine = np.reshape(coarse.row["affine"], (4, 4))
    assert affine[:3, 3].tolist() == [30 - 1.0, -40 + 1.5, 5 + 2.0]
    assert np.diag(affine)[:3].tolist() == [-4.0, 6.0, 8.0]
    labels = zarr.open_array(str(tmp_path / "case.ome.zarr" / "labels" / "label" / "1"), mode="r")
    assert np.array_equal(labels[...], sample.arrays["label"][::2, ::2, ::2])
    assert refusal(tmp_path, level=9, labels="none") == "no-such-level"


def test_two_exports_are_equal_and_zarr_reads_them(tmp_path: Path) -> None:
    trees = []
    for name in ("a", "b"):
        (path,) = write(tmp_path / name, volume_sample())
        trees.append(
            {p.relative_to(path).as_posix(): p.read_bytes() for p in path.rglob("*") if p.is_file()}
        )
    assert trees[0] == trees[1]
    assert {"zarr.json", "labels/zarr.json", "labels/label/zarr.json"} <= set(trees[0])
    opened = zarr.open_group(str(tmp_path / "a" / "case.ome.zarr"), mode="r")
    ome = opened.attrs["ome"]
    assert ome["version"] == "0.5"
    assert [axis["name"] for axis in ome["multiscales"][0]["axes"]] == ["c", "z", "y", "x"]
    assert np.array_equal(opened["0"][...], volume_sample().arrays["image"])


def test_masks_alone_and_images_of_two_dimensions(tmp_path: Path) -> None:
    mask = Sample("mask", {"spacing_mm": [1.0, 1.0]}, {"label": np.eye(5, dtype=np.uint8)})
    write(tmp_path / "m", mask)
    found = zarr.open_array(str(tmp_path / "m/mask.ome.zarr/labels/label/0"), mode="r")
    assert np.array_equal(found[...], np.eye(5))
    colour = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)
    write(tmp_path / "c", Sample("c", {"spacing_mm": [0.5, 0.25]}, {"image": colour}))
    (back,) = read(tmp_path / "c")
    assert np.array_equal(back.arrays["image"], colour)
    assert back.row["spacing_mm"] == [0.5, 0.25]
    with pytest.raises(DataError, match="no-such-array"):
        write(tmp_path, Sample("none", {"spacing_mm": [1.0]}, {}))


def version_4(
    root: Path, values: np.ndarray, letters: str, unit: str | None = "micrometer", **changes: Any
) -> Path:
    """A group of version 0.4 as others write it."""
    kinds = {"t": "time", "c": "channel"}
    described = [
        {"name": axis, "type": kinds.get(axis, "space"), **({"unit": unit} if unit else {})}
        for axis in letters
    ]
    scale = [{"type": "scale", "scale": [1.0] * (len(letters) - 2) + [2.0, 3.0]}]
    multiscale = {
        "axes": described,
        "datasets": [{"path": "0", "coordinateTransformations": scale}],
        "version": "0.4",
    }
    root.mkdir(parents=True)
    (root / ".zgroup").write_text('{"zarr_format": 2}')
    (root / ".zattrs").write_text(json.dumps({"multiscales": [{**multiscale, **changes}]}))
    array = zarr.create_array(
        str(root / "0"),
        shape=values.shape,
        chunks=values.shape,
        dtype=values.dtype,
        zarr_format=2,
        chunk_key_encoding={"name": "v2", "separator": "/"},
    )
    array[...] = values
    return root


def test_axes_units_and_types_of_others(tmp_path: Path) -> None:
    values = np.arange(120, dtype=">f8").reshape(1, 2, 3, 4, 5)
    version_4(tmp_path / "a.zarr", values, "tczyx")
    (sample,) = read(tmp_path)
    assert sample.arrays["image"].dtype == np.float64
    assert np.array_equal(sample.arrays["image"], values[0])
    assert sample.row["spacing_mm"] == pytest.approx([1e-3, 2e-3, 3e-3])
    version_4(tmp_path / "b" / "b.zarr", values[0, 0, 0], "yx", unit=None)
    (plain,) = read(tmp_path / "b")
    assert plain.row["spacing_mm"] == [2.0, 3.0]
    assert "affine" not in plain.row
    version_4(tmp_path / "t" / "t.zarr", np.zeros((2, 4, 5)), "tyx")
    assert refusal(tmp_path / "t") == "time-series"


def test_labels_are_found_named_and_checked(tmp_path: Path) -> None:
    root = version_4(tmp_path / "a.zarr", np.zeros((4, 5), np.uint8), "yx")
    assert refusal(tmp_path, labels="required") == "no-label"
    version_4(root / "labels" / "cells", np.ones((4, 5), np.int32), "yx")
    (root / "labels" / ".zattrs").write_text('{"labels": ["cells"]}')
    (sample,) = read(tmp_path)
    assert sample.arrays["label"].dtype == np.uint8
    assert sample.row["label_voxels"] == [0, 20]
    version_4(root / "labels" / "nuclei", np.ones((4, 6), np.int32), "yx")
    (root / "labels" / ".zattrs").write_text('{"labels": ["cells", "nuclei"]}')
    assert refusal(tmp_path) == "several-labels"
    assert refusal(tmp_path, label="nuclei") == "label-grid-mismatch"
    assert len(read(tmp_path, label="cells")) == 1


def edited(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"dtype": "|O"}, "unsupported-datatype"),
        ({"dtype": [["a", "<i4"]]}, "unsupported-datatype"),
        ({"dtype": "<c16"}, "unsupported-datatype"),
        ({"filters": [{"id": "pickle"}]}, "unsupported-codec"),
        ({"compressor": {"id": "msgpack2"}}, "unsupported-codec"),
        ({"shape": [2**40, 5]}, "array-too-large"),
        ({"shape": [2**30, 2**30], "chunks": [4, 5]}, "compression-bomb"),
        ({"shape": [2**20, 2**20], "chunks": [2**20, 2**20]}, "array-too-large"),
        ({"shape": [4, -5]}, "damaged-metadata"),
        ({"shape": [4, 5, 6], "chunks": [4, 5, 6]}, "not-multiscale"),
        ({"shape": "many"}, "damaged-metadata"),
    ],
)
def test_arrays_that_are_refused_before_they_are_opened(
    tmp_path: Path, changes: dict[str, Any], code: str
) -> None:
    root = version_4(tmp_path / "a.zarr", np.zeros((4, 5), np.uint8), "yx")
    edited(root / "0" / ".zarray", **changes)
    assert refusal(tmp_path) == code


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"datasets": [{"path": "../../outside"}]}, "outside-source"),
        ({"datasets": [{"path": "7"}]}, "no-array"),
        ({"datasets": []}, "no-such-level"),
        ({"axes": [{"name": "x"}, {"name": "y"}]}, "not-multiscale"),
        ({"axes": 5}, "not-multiscale"),
        ({"coordinateTransformations": [{"type": "scale", "scale": [0, 0]}]}, "flat-affine"),
        ({"coordinateTransformations": [{"type": "rotation"}]}, "not-multiscale"),
    ],
)
def test_groups_that_are_refused(tmp_path: Path, changes: dict[str, Any], code: str) -> None:
    version_4(tmp_path / "in" / "a.zarr", np.zeros((4, 5), np.uint8), "yx", **changes)
    assert refusal(tmp_path / "in") == code


def test_damaged_chunks_and_documents(tmp_path: Path) -> None:
    (path,) = write(tmp_path, volume_sample())
    chunk = path / "0" / "c.0.0.0.0"
    whole = chunk.read_bytes()
    chunk.write_bytes(whole[: len(whole) // 2])
    assert refusal(tmp_path) == "damaged-chunk"
    (path / "zarr.json").write_text("[" * 100_000)
    assert refused(tmp_path) == [("case.ome.zarr", "damaged-metadata", "quarantined")]


def test_nothing_to_read(tmp_path: Path) -> None:
    for root in (tmp_path, tmp_path / "none"):
        with pytest.raises(SpecError, match="nothing-found"):
            OmeZarr(OmeZarr.Options()).plan(Source(root))


def test_a_plate_of_bioformats2raw_equals_its_tiff(data_dir: Path) -> None:
    root = data_dir / "imaging" / "ome"
    samples = {sample.id: sample for sample in read(root)}
    name = "xyz_8bit__mitotic_plate_calibrated"
    image = samples[f"{name}.ome_0"].arrays["image"]
    assert np.array_equal(image[0], tifffile.imread(root / f"{name}.tiff"))
    assert samples[f"{name}.ome_0"].row["spacing_mm"][0] == pytest.approx(0.003)
    example = samples["ome-zarr-examples_image-02"]
    assert example.arrays["image"].shape == (1, 200, 200)
    assert example.row["has_label"] is False  # its group of labels is empty


def plate_of(root: Path, wells: list[Any]) -> Path:
    """Wells A/1, A/2, B/1 of two fields each; the value of an image tells where it lies."""
    for number, well in enumerate(("A/1", "A/2", "B/1")):
        for field in range(2):
            image = np.full((4, 5), 10 * number + field, np.uint8)
            version_4(root / well / str(field), image, "yx")
        fields = {"images": [{"path": "0"}, {"path": "1"}]}
        (root / well / ".zattrs").write_text(json.dumps({"well": fields}))
    (root / ".zattrs").write_text(json.dumps({"plate": {"wells": wells}}))
    return root


LISTED = [{"path": "A/1"}, {"path": "A/2"}, {"path": "B/1"}]


def test_wells_of_a_plate(tmp_path: Path) -> None:
    plate_of(tmp_path / "p.zarr", [*LISTED, LISTED[0]])
    found = {one.id: one.row["image_mean"] for one in read(tmp_path)}
    assert found == {
        "p_A_1_0": 0, "p_A_1_1": 1, "p_A_2_0": 10, "p_A_2_1": 11, "p_B_1_0": 20, "p_B_1_1": 21,
    }  # fmt: skip
    assert refused(tmp_path) == []


@pytest.mark.parametrize("at", range(3))
@pytest.mark.parametrize("how", ["absent", "damaged", "no well", "no list", "field absent"])
def test_a_broken_well_hides_no_other(tmp_path: Path, at: int, how: str) -> None:
    root = plate_of(tmp_path / "p.zarr", LISTED)
    path = LISTED[at]["path"]
    well, name = root / path, f"p.zarr/{path}"
    if how == "absent":
        shutil.rmtree(well)
        code = "missing-file"
    elif how == "field absent":
        shutil.rmtree(well / "0")
        code, name = "missing-file", f"{name}/0"
    else:
        text = {"damaged": "[", "no well": "{}", "no list": '{"well": {"images": 3}}'}[how]
        (well / ".zattrs").write_text(text)
        code = "damaged-metadata"
    # Of a well whose list is lost, the fields stand in the account too.
    lost = {(f"{name}/{n}", "not-listed", "passed-over") for n in range(2) if how == "no list"}
    assert set(refused(tmp_path)) == {(name, code, "quarantined"), *lost}
    assert len(read(tmp_path)) == (5 if how == "field absent" else 4)


@pytest.mark.parametrize("at", range(4))
@pytest.mark.parametrize("entry", [3, {}, {"path": ""}, {"path": "../q"}, {"path": 7}])
def test_a_broken_entry_hides_no_well(tmp_path: Path, at: int, entry: Any) -> None:
    plate_of(tmp_path / "p.zarr", [*LISTED[:at], entry, *LISTED[at:]])
    assert len(read(tmp_path)) == 6
    assert [kind for *_, kind in refused(tmp_path)] == ["quarantined"]


def test_what_a_container_does_not_list_stands_in_the_account(tmp_path: Path) -> None:
    plate_of(tmp_path / "p.zarr", LISTED[:2])
    assert refused(tmp_path) == [("p.zarr/B/1", "not-listed", "passed-over")]
    root = tmp_path / "s.zarr"
    for number in range(3):
        version_4(root / str(number), np.full((4, 5), number, np.uint8), "yx")
    (root / ".zattrs").write_text('{"bioformats2raw.layout": 3}')
    (root / "OME").mkdir()
    for text, listed, bad in (
        ('{"series": ["2", "7", 3.5, "0", "../p.zarr"]}', ["s_2", "s_0"], 4),
        ('{"series": "all"}', ["s_0", "s_1", "s_2"], 1),
        ("[", ["s_0", "s_1", "s_2"], 1),
        ("{}", ["s_0", "s_1", "s_2"], 0),
    ):
        (root / "OME" / ".zattrs").write_text(text)
        assert [one.id for one in read(tmp_path) if one.id.startswith("s_")] == listed
        assert sum(source.startswith("s.zarr") for source, *_ in refused(tmp_path)) == bad
    (root / ".zattrs").write_text("{}")  # a group that says nothing of what it holds
    assert len([one for one in read(tmp_path) if one.id.startswith("s_")]) == 3
    version_4(tmp_path / "a.zarr", np.zeros((4, 5), np.uint8), "yx")
    (tmp_path / "a.zarr" / ".zattrs").unlink()
    assert ("a.zarr/0", "not-multiscale", "quarantined") in refused(tmp_path)


@pytest.mark.parametrize(
    ("unit", "factor"),
    [
        ("meter", 1e3),
        ("angstrom", 1e-7),
        ("inch", 25.4),
        ("µm", 1e-3),
        ("micron", 1e-3),
        ("pixel", 1),
    ],
)
def test_units_of_axes(tmp_path: Path, unit: str, factor: float) -> None:
    version_4(tmp_path / "a.zarr", np.zeros((4, 5), np.uint8), "yx", unit=unit)
    assert read(tmp_path)[0].row["spacing_mm"] == pytest.approx([2 * factor, 3 * factor])
    version_4(tmp_path / "x" / "b.zarr", np.zeros((4, 5), np.uint8), "yx", unit="lightyear")
    assert refusal(tmp_path / "x") == "unknown-unit"


def test_levels_in_disorder_are_refused(tmp_path: Path) -> None:
    (path,) = write(tmp_path, volume_sample())
    document = json.loads((path / "zarr.json").read_text())
    document["attributes"]["ome"]["multiscales"][0]["datasets"].reverse()
    (path / "zarr.json").write_text(json.dumps(document))
    assert refusal(tmp_path, labels="none") == "unordered-levels"
