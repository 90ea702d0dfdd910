"""NIfTI: exact values, kept affines, refusals instead of guesses."""

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
from medray.formats.nifti import volume as volume_module
from medray.storage.shards.samples import Sample

AFFINE = np.array([[-2.0, 0.1, 0, 30], [0, 3.0, 0.2, -40], [0, 0, 4.0, 5], [0, 0, 0, 1]])


def save(path: Path, values: np.ndarray, affine: np.ndarray = AFFINE, **header: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(values, affine)
    for name, value in header.items():
        image.header[name] = value
    nib.save(image, path)
    return path


def planned(root: Path, **options: Any) -> tuple[Nifti, Found]:
    form = Nifti(Nifti.Options(**options))
    return form, form.plan(Source(root))


def read(root: Path, **options: Any) -> list[Sample]:
    form, plan = planned(root, **options)
    items = [item for group in plan.groups for item in group]
    return [sample for item in items for sample in form.read(Source(root), item)]


def refusal(root: Path, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        read(root, **options)
    assert str(root) not in str(caught.value)
    return caught.value.code


def volume(dtype: str = "int16", shape: tuple[int, ...] = (5, 6, 7)) -> np.ndarray:
    info = np.iinfo(dtype) if np.dtype(dtype).kind in "iu" else None
    rng = np.random.default_rng(0)
    if info is None:
        return rng.normal(size=shape).astype(dtype)
    return rng.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float32"])
def test_values_are_exact_in_the_files_order(
    tmp_path: Path, suffix: str, order: str, dtype: str
) -> None:
    values = volume(dtype)
    image = nib.Nifti1Image(values, AFFINE, dtype=dtype)
    header = image.header.as_byteswapped(order)
    nib.save(nib.Nifti1Image(values, AFFINE, header), tmp_path / f"case{suffix}")
    (sample,) = read(tmp_path)
    assert sample.id == "case"
    assert sample.arrays["image"].dtype == np.dtype(dtype)
    assert sample.arrays["image"].dtype.isnative
    assert np.array_equal(sample.arrays["image"], values.T[None])
    assert np.allclose(np.reshape(sample.row["affine"], (4, 4)), AFFINE)
    assert sample.row["spacing_mm"] == pytest.approx(
        [np.linalg.norm(AFFINE[:3, axis]) for axis in (2, 1, 0)]
    )


def test_nifti_2(tmp_path: Path) -> None:
    nib.save(nib.Nifti2Image(volume(), AFFINE), tmp_path / "a.nii.gz")
    (sample,) = read(tmp_path)
    assert np.array_equal(sample.arrays["image"][0], volume().T)


@pytest.mark.parametrize(
    ("slope", "intercept", "dtype"),
    [
        (1, -1024, "int32"),
        (2, 0, "int32"),
        (0, 5, "int16"),
        (float("nan"), 0, "int16"),
        (0.5, 0, "float32"),
        (1, 0.5, "float32"),
    ],
)
def test_scaling(tmp_path: Path, slope: float, intercept: float, dtype: str) -> None:
    path = save(tmp_path / "a.nii", volume())
    raw = bytearray(path.read_bytes())
    raw[112:120] = np.array([slope, intercept], "<f4").tobytes()
    path.write_bytes(raw)
    (sample,) = read(tmp_path)
    applied = (slope, intercept) if np.isfinite(slope) and slope else (1, 0)
    assert sample.arrays["image"].dtype == np.dtype(dtype)
    assert np.array_equal(
        sample.arrays["image"][0], volume().T * np.float64(applied[0]) + applied[1]
    )


def test_affine_prefers_sform_then_qform_then_voxel_sizes(tmp_path: Path) -> None:
    image = nib.Nifti1Image(volume(), None)
    image.set_sform(np.diag([1, 2, 3, 1]), code=1)
    image.set_qform(np.diag([4, 5, 6, 1]), code=1)
    nib.save(image, tmp_path / "both.nii")
    image.set_sform(np.diag([1, 2, 3, 1]), code=0)
    nib.save(image, tmp_path / "qform.nii")
    image.set_qform(np.diag([7, 8, 9, 1]), code=0)
    image.header["pixdim"][1:4] = 7, 8, 9
    nib.save(image, tmp_path / "sizes.nii")
    spacings = {sample.id: sample.row["spacing_mm"] for sample in read(tmp_path)}
    assert spacings == {"both": [3, 2, 1], "qform": [6, 5, 4], "sizes": [9, 8, 7]}


def damaged(path: Path, at: int, raw: bytes) -> None:
    data = bytearray(path.read_bytes())
    data[at : at + len(raw)] = raw
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("at", "raw", "code"),
    [
        (40, np.array([3, 32767, 32767, 32767], "<i2").tobytes(), "truncated"),
        (40, np.array([3, -5, 6, 7], "<i2").tobytes(), "bad-dimensions"),
        (40, np.array([0, 5, 6, 7], "<i2").tobytes(), "bad-dimensions"),
        (40, np.array([5, 5, 6, 1, 7, 2], "<i2").tobytes(), "too-many-axes"),
        (70, np.array([128], "<i2").tobytes(), "unsupported-datatype"),
        (70, np.array([32], "<i2").tobytes(), "unsupported-datatype"),
        (108, np.array([np.nan], "<f4").tobytes(), "bad-offset"),
        (108, np.array([1e30], "<f4").tobytes(), "bad-offset"),
        (108, np.array([4], "<f4").tobytes(), "bad-offset"),
        (112, np.array([1, np.inf], "<f4").tobytes(), "bad-scaling"),
        (280, np.array([np.nan] * 4, "<f4").tobytes(), "nonfinite-affine"),
        (280, np.array([0] * 4, "<f4").tobytes(), "flat-affine"),
        (344, b"ni1\0", "nifti-pair"),
        (344, b"\0\0\0\0", "analyze"),
        (123, b"\5", "bad-unit"),
        (108, np.array([352.5], "<f4").tobytes(), "bad-offset"),
        (70, np.array([2304], "<i2").tobytes(), "unsupported-datatype"),
        (0, b"\0\0\0\0", "not-nifti"),
    ],
)
def test_headers_that_are_refused(tmp_path: Path, at: int, raw: bytes, code: str) -> None:
    damaged(save(tmp_path / "a.nii", volume()), at, raw)
    assert refusal(tmp_path) == code


def test_files_cut_short(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii.gz", volume(shape=(30, 30, 30)))
    whole = path.read_bytes()
    codes = set()
    for size in (0, 3, 20, 200, len(whole) // 2, len(whole) - 4):
        path.write_bytes(whole[:size])
        codes.add(refusal(tmp_path))
    assert codes <= {"truncated", "not-nifti"}
    path.write_bytes(b"not gzip at all, but long enough to look at" * 20)
    assert refusal(tmp_path) == "not-gzip"
    flipped = bytearray(whole)
    flipped[-6] ^= 0xFF  # in the CRC
    path.write_bytes(flipped)
    assert refusal(tmp_path) == "damaged-gzip"


def test_bombs_are_refused_before_they_are_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(volume_module, "BOMB_BYTES", 2**20)
    monkeypatch.setattr(volume_module, "read_values", lambda *_: pytest.fail("was unpacked"))
    save(tmp_path / "a.nii.gz", np.zeros((200, 200, 200), np.int16))
    assert refusal(tmp_path) == "compression-bomb"
    assert refusal(tmp_path, max_bytes=1000) == "volume-too-large"


def test_a_file_that_goes_on_behind_its_voxels(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii", volume())
    path.with_suffix(".nii.gz").write_bytes(gzip.compress(path.read_bytes() + bytes(2**21)))
    path.unlink()
    assert refusal(tmp_path) == "trailing-data"


def test_a_fourth_axis_is_refused_or_taken_as_channels(tmp_path: Path) -> None:
    values = volume(shape=(5, 6, 7, 3))
    save(tmp_path / "a.nii.gz", values)
    assert refusal(tmp_path) == "four-dimensional"
    (sample,) = read(tmp_path, fourth_axis="channels")
    assert np.array_equal(sample.arrays["image"], values.T)
    save(tmp_path / "a.nii.gz", volume(shape=(5, 6, 7, 1, 1)))
    assert read(tmp_path)[0].arrays["image"].shape == (1, 7, 6, 5)


def cohort(root: Path, label: np.ndarray, affine: np.ndarray = AFFINE) -> Path:
    save(root / "images" / "a.nii.gz", volume())
    save(root / "labels" / "a.nii.gz", label, affine)
    return root


LABEL = (volume("uint8") % 3).astype(np.uint8)


def test_labels_land_on_the_grid_of_their_image(tmp_path: Path) -> None:
    (sample,) = read(cohort(tmp_path, LABEL.astype(np.float32)))
    assert sample.row["has_label"] is True
    assert sample.arrays["label"].dtype == np.uint8
    assert np.array_equal(sample.arrays["label"], LABEL.T)
    assert sample.row["label_voxels"] == np.bincount(LABEL.ravel()).tolist()


def test_labels_on_another_grid_are_refused(tmp_path: Path) -> None:
    moved = AFFINE.copy()
    moved[2, 3] += 1
    assert refusal(cohort(tmp_path / "1", LABEL, moved)) == "label-grid-mismatch"
    assert refusal(cohort(tmp_path / "2", LABEL[..., :-1])) == "label-grid-mismatch"


def test_labels_with_other_values_are_refused(tmp_path: Path) -> None:
    root = cohort(tmp_path, LABEL * np.float32(0.5))
    assert refusal(root) == "fractional-label"
    cohort(root, LABEL)
    assert refusal(root, label_values=(0, 1)) == "unexpected-label"
    (root / "dataset.json").write_text(json.dumps({"labels": {"0": "background", "1": "a"}}))
    assert refusal(root) == "unexpected-label"
    (root / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "a": [1, 2]}}))
    assert len(read(root)) == 1


def test_images_without_labels_are_inputs_once_by_sample_id(tmp_path: Path) -> None:
    paths = ("images/a/b.nii", "images/a_b.nii.gz", "images/c.nii", "images/c.nii.gz", "d.NII.gz")
    for path in paths:
        save(tmp_path / path, volume())
    _, plan = planned(tmp_path)
    inputs = [item for group in plan.groups for item in group]
    assert [(item.key, item.paths) for item in inputs] == [
        ("d", ("d.NII.gz",)),
        ("a/b", ("images/a/b.nii",)),
        ("c", ("images/c.nii",)),
    ]
    extra = {"channels": 1, "label": False, "values": None, "ignore": None}
    assert all(item.extra == extra for item in inputs)
    refused = [(one.source, one.code, one.files) for one in plan.refused]
    assert refused == [
        ("images/a_b.nii.gz", "duplicate-id", 1),
        ("images/c.nii.gz", "duplicate-id", 1),
    ]


def test_every_file_is_an_input_or_refused(tmp_path: Path) -> None:
    cohort(tmp_path, LABEL)
    save(tmp_path / "images" / "b.nii.gz", volume())
    save(tmp_path / "images" / "a.nii", volume())
    save(tmp_path / "labels" / "c.nii.gz", LABEL)
    _, plan = planned(tmp_path)
    assert [[item.key for item in group] for group in plan.groups] == [["a"]]
    refused = {(one.source, one.code) for one in plan.refused}
    assert ("b", "no-label") in refused
    assert ("c", "no-image") in refused
    assert {code for _, code in refused} == {"no-label", "no-image", "duplicate-id"}
    samples = read(tmp_path, labels="optional")
    assert [(one.id, one.row["has_label"]) for one in samples] == [("a", True), ("b", False)]
    samples = read(tmp_path, labels="none")
    assert [one.row["has_label"] for one in samples] == [False, False]


def test_equal_names_in_different_folders_stay_apart(tmp_path: Path) -> None:
    for site, value in (("x", 1), ("y", 2)):
        save(tmp_path / "images" / site / "a.nii.gz", np.full((3, 3, 3), value, np.int16))
        save(tmp_path / "labels" / site / "a.nii.gz", np.full((3, 3, 3), value, np.uint8))
    found = {one.id: int(one.arrays["label"].max()) for one in read(tmp_path)}
    assert found == {"x_a": 1, "y_a": 2}


def test_decathlon(tmp_path: Path) -> None:
    save(tmp_path / "imagesTr" / "h_1.nii.gz", volume())
    save(tmp_path / "labelsTr" / "h_1.nii.gz", LABEL)
    save(tmp_path / "imagesTs" / "h_2.nii.gz", volume())
    (tmp_path / "imagesTr" / "._h_1.nii.gz").write_bytes(b"left by an archiver")
    document = {
        "labels": {"0": "background", "1": "a", "2": "b"},
        "training": [
            {"image": f"./imagesTr/h_{n}.nii.gz", "label": f"./labelsTr/h_{n}.nii.gz"}
            for n in (1, 3)
        ],
    }
    (tmp_path / "dataset.json").write_text(json.dumps(document))
    _, plan = planned(tmp_path, layout="msd")
    assert [item.key for group in plan.groups for item in group] == ["h_1"]
    assert [(one.source, one.code, one.kind) for one in plan.refused] == [
        ("imagesTs/h_2.nii.gz", "other-folder", "passed-over"),
        ("h_3", "missing-file", "quarantined"),
    ]
    tests = read(tmp_path, layout="msd", images=("imagesTs",), labels="none")
    assert [one.id for one in tests] == ["h_2"]
    (tmp_path / "dataset.json").write_text("[")
    with pytest.raises(SpecError, match="bad-dataset-json"):
        planned(tmp_path, layout="msd")


def test_nnunet_joins_channels_on_one_grid(tmp_path: Path) -> None:
    root = tmp_path / "Dataset001_X"
    for channel in range(2):
        save(root / "imagesTr" / f"BRATS_001_000{channel}.nii.gz", volume() // (channel + 1))
    save(root / "imagesTr" / "BRATS_002_0000.nii.gz", volume())
    save(root / "imagesTr" / "odd.nii.gz", volume())
    save(root / "labelsTr" / "BRATS_001.nii.gz", LABEL)
    names = {"channel_names": {"0": "T1", "1": "T2"}, "labels": {"background": 0, "a": 1, "b": 2}}
    (root / "dataset.json").write_text(json.dumps(names))
    (sample,) = read(root, layout="nnunet")
    assert sample.id == "BRATS_001"
    assert np.array_equal(sample.arrays["image"], [volume().T, volume().T // 2])
    _, plan = planned(root, layout="nnunet")
    assert {(one.source, one.code) for one in plan.refused} == {
        ("BRATS_002", "missing-channel"),
        ("imagesTr/odd.nii.gz", "no-channel"),
    }
    save(root / "imagesTr" / "BRATS_001_0001.nii.gz", volume(), np.eye(4))
    assert refusal(root, layout="nnunet") == "channel-grid-mismatch"


def test_nothing_to_read(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").touch()
    with pytest.raises(SpecError, match="nothing-found"):
        planned(tmp_path)


def test_header_texts_go_nowhere(tmp_path: Path) -> None:
    save(tmp_path / "a.nii.gz", volume(), descrip=b"CANARY^NAME", db_name=b"CANARY")
    (sample,) = read(tmp_path)
    assert "CANARY" not in repr(sample.row)
    form = Nifti(Nifti.Options(array="image"))
    (path,) = form.write([sample], tmp_path / "out")
    assert b"CANARY" not in gzip.decompress(path.read_bytes())
