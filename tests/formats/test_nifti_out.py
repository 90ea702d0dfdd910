"""NIfTI out, on the original grid; and real files in."""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from medray.errors import DataError, SpecError
from medray.formats import FORMATS
from medray.formats.base import Found, Source
from medray.formats.nifti import Nifti
from medray.storage.shards.holds import Holds, names
from medray.storage.shards.samples import Sample, Slabs

AFFINE = np.array([[-2.0, 0.1, 0, 30], [0, 3.0, 0.2, -40], [0, 0, 4.0, 5], [0, 0, 0, 1]])


def planned(root: Path, **options: Any) -> tuple[Nifti, Found]:
    form = Nifti(Nifti.Options(**options))
    return form, form.plan(Source(root))


def read(root: Path, **options: Any) -> list[Sample]:
    form, plan = planned(root, **options)
    items = [item for group in plan.groups for item in group]
    return [sample for item in items for sample in form.read(Source(root), item)]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_written_masks_lie_on_the_original_grid(tmp_path: Path, dtype: str) -> None:
    label = np.random.default_rng(0).integers(0, 3, (7, 6, 5)).astype(dtype)
    whole = Sample("case", {"affine": AFFINE.reshape(-1).tolist()}, {"label": label})
    slabs = Slabs(label.shape, label.dtype, 0, iter(np.array_split(label, 3)))
    form = Nifti(Nifti.Options())
    (path,) = form.write([whole], tmp_path / "a")
    (again,) = form.write([Sample("case", whole.row, {"label": slabs})], tmp_path / "b")
    assert path.name == "case.nii.gz"
    assert path.read_bytes() == again.read_bytes()
    back = nib.load(path)
    assert back.get_data_dtype() == np.dtype(dtype)
    assert np.allclose(back.affine, AFFINE)
    assert np.array_equal(np.asarray(back.dataobj), label.T)
    (sample,) = read(tmp_path / "a")
    assert np.array_equal(sample.arrays["image"][0], label)


def test_channels_are_written_as_the_fourth_axis_and_read_back(tmp_path: Path) -> None:
    probability = np.random.default_rng(0).random((3, 4, 5, 6), np.float32)
    row = {"affine": np.diag([1, 2, 3, 1.0]).reshape(-1).tolist()}
    form = Nifti(Nifti.Options(array="probability"))
    list(form.write([Sample("p", row, {"probability": probability})], tmp_path))
    (sample,) = read(tmp_path, fourth_axis="channels")
    assert np.array_equal(sample.arrays["image"], probability)


def test_what_cannot_be_written(tmp_path: Path) -> None:
    form = Nifti(Nifti.Options())
    label = np.zeros((2, 3, 4), np.uint8)
    for sample, code in (
        (Sample("a", {}, {}), "no-such-array"),
        (Sample("a", {}, {"label": label}), "no-affine"),
        (Sample("../a", {"affine": [1.0] * 16}, {"label": label}), "unsafe-name"),
    ):
        with pytest.raises(DataError) as caught:
            list(form.write([sample], tmp_path))
        assert caught.value.code == code
    assert not list(tmp_path.iterdir())


def test_hippocampus(data_dir: Path) -> None:
    root = data_dir / "imaging" / "seg3d_msd_hippocampus"
    form, plan = planned(root, layout="msd")
    items = [item for group in plan.groups for item in group]
    assert len(items) == 217
    assert [(one.source, one.code) for one in plan.refused] == [
        ("odd_no_label/hippocampus_118", "no-label")
    ]
    samples = [sample for item in items[:20] for sample in form.read(Source(root), item)]
    assert all(len(one.row["label_voxels"]) == 3 for one in samples)
    assert all(one.arrays["label"].shape == one.arrays["image"].shape[1:] for one in samples)
    _, optional = planned(root, layout="msd", labels="optional")
    last = optional.groups[-1][-1]
    (sample,) = form.read(Source(root), last)
    assert sample.row["has_label"] is False
    assert sample.id == "odd_no_label_hippocampus_118"


def test_totalsegmentator_pair_shares_a_grid_and_the_long_one_does_not(
    data_dir: Path, tmp_path: Path
) -> None:
    files = data_dir / "imaging" / "nifti" / "totalseg"
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    mask = (files / "example_seg.nii.gz").read_bytes()
    for name in ("example_ct_sm", "example_ct"):
        (tmp_path / "images" / f"{name}.nii.gz").write_bytes(
            (files / f"{name}.nii.gz").read_bytes()
        )
        (tmp_path / "labels" / f"{name}.nii.gz").write_bytes(mask)
    form, plan = planned(tmp_path)
    long, short = plan.groups[0]
    (sample,) = form.read(Source(tmp_path), short)
    assert sample.arrays["image"].shape == (1, 30, 101, 122)
    assert sample.arrays["image"].dtype == np.int16
    assert sum(count > 0 for count in sample.row["label_voxels"]) == 42
    with pytest.raises(DataError, match="label-grid-mismatch"):
        list(form.read(Source(tmp_path), long))


def test_big_endian_anatomical(data_dir: Path) -> None:
    path = data_dir / "imaging" / "nifti" / "nibabel_anatomical.nii"
    (sample,) = read(path)
    expected = nib.load(path)
    assert sample.id == "nibabel_anatomical"
    assert sample.arrays["image"].dtype == np.dtype("int16")
    assert np.array_equal(sample.arrays["image"][0], np.asarray(expected.dataobj).T)
    assert sample.row["affine"] == expected.affine.reshape(-1).tolist()


def test_what_lies_nowhere_in_space_is_sent_to_a_format_that_takes_it() -> None:
    pictures = Holds(names("attribution"), names("spacing_mm"))
    for name in ("nifti", "image"):
        kind = FORMATS.get(name)
        needs = kind(kind.Options.model_validate({"array": "label"})).needs()
        with pytest.raises(SpecError) as caught:
            needs.check(pictures)
        assert "`ome_zarr`" in (caught.value.hint or "")
    kind = FORMATS.get("ome_zarr")
    kind(kind.Options.model_validate({"array": "attribution"})).needs().check(pictures)
