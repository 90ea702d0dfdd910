"""Masks beside a series, and the demo's cohort, which has them."""

import hashlib

import nibabel as nib
import numpy as np
import pytest

from medray.demo import CANARY, PIXEL_MM, SLICE_MM, Subject, phantom, synthesise

# Of the series that `write_series` makes: voxel (x, y, z) to RAS+ mm.
AFFINE = np.array([[-3.0, 0, 0, 10], [0, -2.0, 0, 20], [0, 0, 5.0, 30], [0, 0, 0, 1]])


@pytest.fixture
def mask():
    values = np.zeros((4, 4, 6), np.uint8)
    values[1, 2, 3], values[3, 0, 5] = 1, 2
    return values


def write_mask(path, mask, affine=AFFINE, dtype=np.uint8):
    path.parent.mkdir(exist_ok=True)
    nib.save(nib.Nifti1Image(mask.transpose(2, 1, 0).astype(dtype), affine), path)


@pytest.mark.parametrize("name", ["1.2.3.4.nii.gz", "a.nii.gz", "a.nii"])
def test_a_mask_is_found_by_series_uid_or_folder(write_series, ingest, tmp_path, mask, name):
    write_series(4)
    write_mask(tmp_path / "masks" / name, mask)
    (sample,) = ingest(labels=str(tmp_path / "masks")).samples
    np.testing.assert_array_equal(sample.arrays["label"], mask)
    assert sample.arrays["label"].dtype == np.uint8
    assert sample.row["label_voxels"] == [94, 1, 1]


@pytest.mark.parametrize("axes", ["RAS", "LPI", "SAR", "PIR"])
def test_a_mask_in_another_orientation_lands_on_the_images_grid(
    write_series, ingest, tmp_path, mask, axes
):
    write_series(4)
    image = nib.Nifti1Image(mask.transpose(2, 1, 0), AFFINE)
    turn = nib.orientations.ornt_transform(
        nib.io_orientation(AFFINE), nib.orientations.axcodes2ornt(axes)
    )
    (tmp_path / "masks").mkdir()
    nib.save(image.as_reoriented(turn), tmp_path / "masks" / "a.nii.gz")
    (sample,) = ingest(labels=str(tmp_path / "masks")).samples
    np.testing.assert_array_equal(sample.arrays["label"], mask)


@pytest.mark.parametrize(
    ("edit", "code"),
    [
        (lambda mask, affine: (mask[1:], affine), "label-grid-mismatch"),
        (lambda mask, affine: (mask, affine + np.eye(4)[:, [3, 3, 3, 0]]), "label-grid-mismatch"),
        (lambda mask, affine: (mask, affine * [[1], [1], [1.05], [1]]), "label-grid-mismatch"),
        (lambda mask, affine: (mask * 0.5, affine), "fractional-label"),
        (lambda mask, affine: (mask - 1.0, affine), "negative-label"),
    ],
)
def test_a_mask_that_is_not_on_the_grid_or_no_mask_is_refused(
    write_series, ingest, tmp_path, mask, edit, code
):
    write_series(4)
    edited, affine = edit(mask, AFFINE)
    write_mask(tmp_path / "masks" / "a.nii.gz", edited, affine, np.float32)
    (error,) = ingest(labels=str(tmp_path / "masks")).errors
    assert error.code == code


def test_a_damaged_mask_is_refused(write_series, ingest, tmp_path, mask):
    write_series(4)
    write_mask(tmp_path / "masks" / "a.nii.gz", mask)
    path = tmp_path / "masks" / "a.nii.gz"
    path.write_bytes(path.read_bytes()[:60])
    (error,) = ingest(labels=str(tmp_path / "masks")).errors
    assert error.code == "bad-label"


def test_series_without_a_mask_are_refused_or_kept_unlabelled(write_series, ingest, tmp_path):
    write_series(4)
    (tmp_path / "masks").mkdir()
    labels = str(tmp_path / "masks")
    assert ingest(labels=labels).codes == {"no-label": 4}
    (sample,) = ingest(labels=labels, require_labels=False).samples
    assert (sample.row["has_label"], "label" in sample.arrays) == (False, False)


def test_a_changed_mask_changes_the_unit(write_series, ingest, tmp_path, mask):
    write_series(4)
    path = tmp_path / "masks" / "a.nii.gz"
    write_mask(path, mask)
    before = ingest(labels=str(path.parent)).plan.groups[0][0].fingerprint
    write_mask(path, mask * 0)
    assert ingest(labels=str(path.parent)).plan.groups[0][0].fingerprint != before


@pytest.mark.parametrize("encoding", ["BINARY", "LABELMAP"])
@pytest.mark.filterwarnings("ignore")
def test_dicom_seg_of_the_series_is_its_label(write_series, ingest, tmp_path, mask, encoding):
    import highdicom as hd

    sources = write_series(4, PatientBirthDate="", PatientSex="", StudyID="", StudyTime="",
                           AccessionNumber="")  # fmt: skip
    algorithm = hd.AlgorithmIdentificationSequence("t", hd.sr.CodedConcept("1", "99X", "x"), "1")
    code = hd.sr.CodedConcept("49755003", "SCT", "Lesion")
    described = [
        hd.seg.SegmentDescription(number, f"s{number}", code, code, "AUTOMATIC", algorithm)
        for number in (1, 2)
    ]
    seg = hd.seg.Segmentation(
        sources, mask, encoding, described, "1.2.9", 1, "1.2.9.1", 1, "m", "m", "1", "1"
    )
    (tmp_path / "source" / "seg").mkdir()
    seg.save_as(tmp_path / "source" / "seg" / "s")
    found = ingest(labels="seg")
    np.testing.assert_array_equal(found.samples[0].arrays["label"], mask)
    assert found.codes == {}
    # Without the option the same file is sound and not asked for.
    assert ingest().codes == {"rejected-modality": 1}


def test_the_demo_is_ingested_with_each_trouble_named(tmp_path, ingest):
    synthesise(tmp_path, 3, seed=7)
    found = ingest(
        tmp_path / "dicom",
        labels=str(tmp_path / "masks"),
        deidentify={"key_file": str(tmp_path / "deid.key")},
    )
    assert len(found.samples) == 3
    slices = {code: n for code, n in found.codes.items() if not code.startswith("rejected-")}
    assert set(slices) == {"gantry-tilt", "missing-slices", "truncated-pixels"}
    rejected = {"rejected-localizer": 1, "rejected-no-image": 1, "rejected-duplicate": 1}
    assert found.codes.items() >= rejected.items()
    assert CANARY not in repr(found.samples) + repr(found.refused)
    by_mask = {int(s.arrays["label"].sum()): s for s in found.samples}
    image, lesions = phantom(Subject(1, "", 7))
    sample = by_mask[int(lesions.sum())]
    np.testing.assert_array_equal(sample.arrays["image"][0], image)
    np.testing.assert_array_equal(sample.arrays["label"], lesions)
    assert sample.row["spacing_mm"] == [SLICE_MM, PIXEL_MM, PIXEL_MM]
    # Lesions are brighter than all around them, or nothing could be learnt.
    assert image[lesions == 1].mean() > 130


def test_the_demo_is_the_same_under_a_seed_and_another_under_another(tmp_path):
    def digest(root):
        files = sorted(path for path in root.rglob("*") if path.is_file())
        content = [(p.relative_to(root).as_posix(), p.read_bytes()) for p in files]
        return hashlib.sha256(repr(content).encode()).hexdigest()

    for name, seed in (("one", 1), ("again", 1), ("two", 2)):
        synthesise(tmp_path / name, 1, seed=seed)
    assert digest(tmp_path / "one") == digest(tmp_path / "again")
    assert digest(tmp_path / "one") != digest(tmp_path / "two")


def patients_with_one_folder_name(write_series):
    for number in (1, 2):

        def change(data, index, number=number):
            data.StudyInstanceUID, data.SeriesInstanceUID = f"1.2.{number}", f"1.2.{number}.4"
            data.SOPInstanceUID = f"1.2.{number}.4.{index}"

        write_series(4, folder=f"p{number}/CT", change=change)


def test_a_mask_named_as_two_folders_are_is_nobodys(write_series, ingest, tmp_path, mask):
    patients_with_one_folder_name(write_series)
    write_mask(tmp_path / "masks" / "CT.nii.gz", mask)
    assert ingest(labels=str(tmp_path / "masks")).codes == {"ambiguous-label": 8}
    # The longer path says which one is meant.
    (tmp_path / "masks" / "p1").mkdir()
    (tmp_path / "masks" / "CT.nii.gz").rename(tmp_path / "masks" / "p1" / "CT.nii.gz")
    found = ingest(labels=str(tmp_path / "masks"))
    assert [sample.id for sample in found.samples] == ["1.2.1.4"]
    assert found.codes == {"no-label": 4}


def test_two_folders_of_one_series_with_a_mask_each_are_refused(
    write_series, ingest, tmp_path, mask
):
    write_series(4)
    source = tmp_path / "source"
    (source / "b").mkdir()
    for name in ("IM002", "IM003"):
        (source / "a" / name).rename(source / "b" / name)
    for name in ("a", "b"):
        write_mask(tmp_path / "masks" / f"{name}.nii.gz", mask)
    assert ingest(labels=str(tmp_path / "masks")).codes == {"many-labels": 4}
