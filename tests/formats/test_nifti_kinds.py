"""What NIfTI headers say in many ways: units, signs, packing; and how nnU-Net lists its cases."""

import gzip
import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from medray.errors import DataError, SpecError
from medray.formats.base import Found, Source
from medray.formats.nifti import Nifti
from medray.storage.shards.samples import Sample

VOXELS = np.arange(210, dtype=np.int16).reshape(5, 6, 7)
MASK = (VOXELS % 3).astype(np.uint8)
SIZES = np.array([0.5, 0.75, 3.0])


def planned(root: Path, **options: Any) -> tuple[Nifti, Found]:
    form = Nifti(Nifti.Options(**options))
    return form, form.plan(Source(root))


def read(root: Path, **options: Any) -> list[Sample]:
    form, plan = planned(root, **options)
    items = [item for group in plan.groups for item in group]
    return [sample for item in items for sample in form.read(Source(root), item)]


def refused(root: Path, **options: Any) -> set[tuple[str, str, str]]:
    return {(one.source, one.code, one.kind) for one in planned(root, **options)[1].refused}


def save(path: Path, values: np.ndarray, affine: np.ndarray | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(values, np.eye(4) if affine is None else affine), path)
    return path


@pytest.mark.parametrize(("unit", "factor"), [(0, 1), (1, 1e3), (2, 1), (3, 1e-3), (8 + 3, 1e-3)])
@pytest.mark.parametrize("form", ["sform", "qform", "sizes"])
def test_lengths_count_in_the_headers_unit(
    tmp_path: Path, unit: int, factor: float, form: str
) -> None:
    affine = np.diag([*SIZES, 1.0])
    affine[:3, 3] = 10, -20, 30
    image = nib.Nifti1Image(VOXELS, affine)
    image.set_sform(affine, code=int(form == "sform"))
    image.set_qform(affine, code=int(form == "qform"))
    image.header["xyzt_units"] = unit
    nib.save(image, tmp_path / "a.nii.gz")
    (sample,) = read(tmp_path)
    assert sample.row["spacing_mm"] == pytest.approx(SIZES[::-1] * factor)
    if form != "sizes":
        assert np.reshape(sample.row["affine"], (4, 4))[:3, 3] == pytest.approx(
            np.array([10, -20, 30]) * factor
        )


@pytest.mark.parametrize("qfac", [0, -1, 1, 5, np.nan])
@pytest.mark.parametrize("sign", [1, -1])
def test_qfac_and_the_signs_of_sizes(tmp_path: Path, qfac: float, sign: int) -> None:
    image = nib.Nifti1Image(VOXELS, None)
    image.set_qform(np.diag([*SIZES, 1.0]), code=1)
    path = tmp_path / "a.nii"
    nib.save(image, path)
    raw = bytearray(path.read_bytes())
    raw[76:92] = np.array([qfac, *(sign * SIZES)], "<f4").tobytes()
    path.write_bytes(raw)
    (sample,) = read(tmp_path)
    turned = -1 if qfac < 0 else 1
    assert np.reshape(sample.row["affine"], (4, 4)) == pytest.approx(
        np.diag([*SIZES[:2], turned * SIZES[2], 1])
    )


def test_one_slice_without_a_thickness(tmp_path: Path) -> None:
    image = nib.Nifti1Image(VOXELS[..., :1], None)
    image.header["pixdim"][1:4] = 0.5, 0.75, 0
    nib.save(image, tmp_path / "a.nii")
    assert read(tmp_path)[0].row["spacing_mm"] == [1.0, 0.75, 0.5]


def test_packing_and_names_must_agree(tmp_path: Path) -> None:
    whole = save(tmp_path / "sound.nii", VOXELS).read_bytes()
    half = len(whole) // 2
    (tmp_path / "two.nii.gz").write_bytes(gzip.compress(whole[:half]) + gzip.compress(whole[half:]))
    (tmp_path / "padded.nii.gz").write_bytes(gzip.compress(whole) + bytes(512))
    (tmp_path / "UPPER.NII.GZ").write_bytes(gzip.compress(whole))
    samples = read(tmp_path)
    assert len(samples) == 4
    assert all(np.array_equal(one.arrays["image"][0], VOXELS.T) for one in samples)
    for name, raw, code, words in (
        ("a.nii.gz", whole, "not-gzip", "not gzip though named .gz"),
        ("a.nii", gzip.compress(whole), "gzipped", "gzip though not named .gz"),
        ("a.nii.gz", gzip.compress(whole) + b"more", "trailing-data", "is no gzip"),
    ):
        (tmp_path / code).mkdir()
        (tmp_path / code / name).write_bytes(raw)
        with pytest.raises(DataError, match=words) as caught:
            read(tmp_path / code)
        assert caught.value.code == code


def test_wide_integers_with_a_scale_keep_their_digits(tmp_path: Path) -> None:
    for dtype, value, slope, shift in (
        ("uint32", 2**32 - 1, 1.0, -1024.0),
        ("int32", 2**31 - 1, 3.0, 7.0),
        ("int32", 2**31 - 1, 0.5, 0.0),
        ("int64", 2**40 + 1, 1.0, 1.0),
    ):
        values = np.full((2, 3, 4), value, dtype)
        image = nib.Nifti1Image(values, np.eye(4), dtype=dtype)
        nib.save(image, tmp_path / "a.nii")
        raw = bytearray((tmp_path / "a.nii").read_bytes())
        raw[112:120] = np.array([slope, shift], "<f4").tobytes()
        (tmp_path / "a.nii").write_bytes(raw)
        assert float(read(tmp_path)[0].arrays["image"].max()) == value * slope + shift


def test_extensions_and_odd_offsets(tmp_path: Path) -> None:
    image = nib.Nifti1Image(VOXELS, np.eye(4))
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"x" * 100))
    nib.save(image, tmp_path / "a.nii")
    raw = (tmp_path / "a.nii").read_bytes()
    at = int(np.frombuffer(raw[108:112], "<f4")[0])
    moved = raw[:108] + np.array([at + 3], "<f4").tobytes() + raw[112:at] + b"odd" + raw[at:]
    (tmp_path / "b.nii").write_bytes(moved)
    for sample in read(tmp_path):
        assert np.array_equal(sample.arrays["image"][0], VOXELS.T)


@pytest.mark.parametrize("digits", [2, 4, 6])
@pytest.mark.parametrize("mirrored", [1, -1])
def test_written_files_have_a_qform_that_is_a_rotation(
    tmp_path: Path, digits: int, mirrored: int
) -> None:
    turn = np.radians(17)
    cosines = np.array(
        [[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]]
    )
    affine = np.eye(4)
    affine[:3, :3] = np.round(cosines, digits) * SIZES * [1, 1, mirrored]
    affine[:3, 3] = 10, -20, 30
    form = Nifti(Nifti.Options())
    row = {"affine": affine.reshape(-1).tolist()}
    (path,) = form.write([Sample("a", row, {"label": MASK.T})], tmp_path)
    image: Any = nib.load(path)
    assert np.allclose(image.get_sform(), affine, atol=1e-6)
    qform, code = image.get_qform(coded=True)
    rotation = qform[:3, :3] / np.linalg.norm(qform[:3, :3], axis=0)
    assert code == 1
    assert np.allclose(rotation.T @ rotation, np.eye(3), atol=1e-6)
    assert np.abs(qform - affine).max() < 3 * 10.0**-digits * SIZES.max()


def nnunet(root: Path, **document: Any) -> Path:
    for case in ("a", "b"):
        save(root / "imagesTr" / f"{case}_0000.nii.gz", VOXELS)
        save(root / "labelsTr" / f"{case}.nii.gz", MASK)
    labels = {"background": 0, "x": 1, "y": 2}
    (root / "dataset.json").write_text(json.dumps({"labels": labels, **document}))
    return root


def test_version_1_lists_cases_without_channels(tmp_path: Path) -> None:
    listed = [{"image": f"./imagesTr/{n}.nii.gz", "label": f"./labelsTr/{n}.nii.gz"} for n in "abc"]
    root = nnunet(tmp_path, modality={"0": "MRI"}, training=listed)
    assert [one.id for one in read(root, layout="nnunet")] == ["a", "b"]
    assert refused(root, layout="nnunet") == {("c", "missing-file", "quarantined")}
    save(root / "imagesTr" / "d.nii.gz", np.stack([VOXELS, VOXELS], -1))
    (reason,) = [
        one.reason
        for one in planned(root, layout="nnunet")[1].refused
        if one.source == "imagesTr/d.nii.gz"
    ]
    assert "fourth_axis: channels" in reason


def test_files_of_other_endings_stand_in_the_account(tmp_path: Path) -> None:
    root = nnunet(tmp_path, file_ending=".nii.gz")
    save(root / "imagesTr" / "b_0000.nii", VOXELS)
    for name in (
        "imagesTr/c_0000.nrrd",
        "labelsTr/c.nrrd",
        "imagesTr/d_0000.mha",
        "imagesTr/e.hdr",
    ):
        (root / name).write_bytes(b"x")
    (root / "imagesTr" / "._a_0000.nii.gz").write_bytes(b"left by an archiver")
    assert [one.id for one in read(root, layout="nnunet")] == ["a", "b"]
    assert refused(root, layout="nnunet") == {
        ("imagesTr/b_0000.nii", "other-ending", "passed-over"),
        ("imagesTr/c_0000.nrrd", "other-format", "passed-over"),
        ("labelsTr/c.nrrd", "other-format", "passed-over"),
        ("imagesTr/d_0000.mha", "other-format", "passed-over"),
        ("imagesTr/e.hdr", "other-format", "passed-over"),
    }


def test_the_dataset_key_names_the_files(tmp_path: Path) -> None:
    for case in range(4):
        for name, values in (("ct", VOXELS), ("pet", VOXELS * 2), ("seg", MASK)):
            save(tmp_path / "pool" / f"s{case}" / f"{name}.nii.gz", values)
    save(tmp_path / "pool" / "spare.nii.gz", VOXELS)

    def entry(case: int, **change: Any) -> dict[str, Any]:
        images = [f"pool/s{case}/{name}.nii.gz" for name in ("ct", "pet")]
        return {"images": images, "label": f"pool/s{case}/seg.nii.gz", **change}

    document = {
        "channel_names": {"0": "CT", "1": "PET"},
        "labels": {"background": 0, "x": 1, "y": 2},
        "dataset": {
            "one": entry(0),
            "gone": entry(1, label="pool/s1/none.nii.gz"),
            "out": entry(1, label="../seg.nii.gz"),
            "half": entry(2, images=["pool/s2/ct.nii.gz"]),
            "bad": {"images": 3},
            "p": entry(3),
            "q": entry(3),
        },
    }
    (tmp_path / "dataset.json").write_text(json.dumps(document))
    (sample,) = read(tmp_path, layout="nnunet")
    assert sample.id == "one"
    assert np.array_equal(sample.arrays["image"], [VOXELS.T, 2 * VOXELS.T])
    assert np.array_equal(sample.arrays["label"], MASK.T)
    assert refused(tmp_path, layout="nnunet") == {
        ("gone", "missing-file", "quarantined"),
        ("out", "missing-file", "quarantined"),
        ("half", "missing-channel", "quarantined"),
        ("bad", "bad-entry", "quarantined"),
        ("p", "ambiguous-file", "quarantined"),
        ("q", "ambiguous-file", "quarantined"),
        ("pool/s1/seg.nii.gz", "not-in-dataset", "passed-over"),
        ("pool/s2/pet.nii.gz", "not-in-dataset", "passed-over"),
        ("pool/spare.nii.gz", "not-in-dataset", "passed-over"),
    }


def test_names_that_match_two_ways(tmp_path: Path) -> None:
    root = nnunet(tmp_path)
    save(root / "labelsTr" / "a.nii", MASK)
    save(root / "imagesTr" / "c_0001.nii.gz", VOXELS)
    save(root / "labelsTr" / "c.nii.gz", MASK)
    assert [one.id for one in read(root, layout="nnunet")] == ["b"]
    found = refused(root, layout="nnunet")
    assert ("a", "ambiguous-label", "quarantined") in found
    assert ("labelsTr/a.nii", "ambiguous-label", "quarantined") in found
    assert ("c", "missing-channel", "quarantined") in found


def test_voxels_to_be_ignored_are_no_class(tmp_path: Path) -> None:
    root = nnunet(tmp_path, labels={"background": 0, "x": 1, "ignore": 2})
    _, plan = planned(root, layout="nnunet")
    assert plan.attributes == {"labels": {"background": 0, "x": 1, "ignore": 2}}
    sample = read(root, layout="nnunet")[0]
    assert sample.row["label_voxels"] == np.bincount(MASK.ravel())[:2].tolist()
    assert sample.row["foreground_mean"] == pytest.approx(VOXELS[MASK == 1].mean())
    assert int(sample.arrays["label"].max()) == 2
    nnunet(root, labels={"background": 0, "ignore": 1, "x": 2})
    with pytest.raises(SpecError, match="bad-dataset-json"):
        planned(root, layout="nnunet")


def test_another_label_than_that_of_the_images_name_is_not_taken(tmp_path: Path) -> None:
    """dataset.json says which label is an image's; by name alone b would get its own."""
    for case in "abc":
        save(tmp_path / f"imagesTr/{case}.nii.gz", VOXELS)
        save(tmp_path / f"labelsTr/{case}.nii.gz", MASK)
    listed = [("a", "a"), ("b", "c"), ("c", "b")]
    training = [
        {"image": f"./imagesTr/{image}.nii.gz", "label": f"./labelsTr/{label}.nii.gz"}
        for image, label in listed
    ]
    document = {"labels": {"0": "background", "1": "x", "2": "y"}, "training": training}
    (tmp_path / "dataset.json").write_text(json.dumps(document))
    assert [one.id for one in read(tmp_path, layout="msd")] == ["a"]
    assert refused(tmp_path, layout="msd") == {
        ("b", "other-label", "quarantined"),
        ("c", "other-label", "quarantined"),
    }
