"""Real files of many vendors: equal to the expected NIfTI, or refused with the right reason."""

import os

import nibabel as nib
import numpy as np
import pytest

from medray.errors import DataError
from medray.formats.base import Source
from medray.formats.dicom.confined import Confined
from medray.formats.dicom.headers.headers import LIMITS, load
from medray.formats.dicom.pixels.pixels import decode
from medray.formats.dicom.tree import Instance, look_at

TRUTHS = [
    ("ge/anatomical", {}),
    ("siemens/anatomical", {}),
    ("siemens_multiframe/anatomical", {}),
    ("hyperfine/anatomical", {}),
    ("philips_enhanced/anatomical", {}),
    ("generic/compressed", {}),
    ("generic/rgb", {"select": {"secondary_captures": True}}),
    ("ge/dti", {"volumes": "split"}),
    ("failing/slicecount", {"select": {"min_slices": 2}}),
]
COMPRESSED = (
    "compressed",
    "compressed_j2k",
    "compressed_jpeg",
    "compressed_jpegls",
    "compressed_rle",
)


def canonical(values, affine):
    """Values and affine with axes as near to RAS as permutation and flips can bring them."""
    turn = nib.orientations.io_orientation(affine)
    shape = values.shape[:3]
    turned = nib.orientations.apply_orientation(values, turn)
    return turned, affine @ nib.orientations.inv_ornt_aff(turn, shape)


@pytest.mark.parametrize(("folder", "options"), TRUTHS, ids=[name for name, _ in TRUTHS])
def test_a_vendors_series_equals_its_expected_nifti(data_dir, ingest, folder, options):
    root = data_dir / "imaging" / "dicom_vendor" / folder
    samples = ingest(root, **options).samples
    expected = nib.load(root / "001_ground_truth.nii.gz")
    values = np.asarray(expected.dataobj)
    if values.dtype.fields:
        values = np.stack([values[channel] for channel in "RGB"], axis=-1)
    # (C, Z, Y, X) of each sample, to x, y, z and then channels or volumes.
    ours = [sample.arrays["image"].transpose(3, 2, 1, 0) for sample in samples]
    made = np.concatenate(ours, axis=3)
    affine = np.reshape(samples[0].row["affine"], (4, 4))
    made, made_affine = canonical(made if values.ndim == 4 else made[..., 0], affine)
    truth, truth_affine = canonical(values, expected.affine)
    assert made.shape == truth.shape
    # Expected affines are stored as float32.
    np.testing.assert_allclose(made_affine, truth_affine, atol=2e-3)
    if made.dtype.kind in "iu":
        np.testing.assert_array_equal(made, truth)
    else:
        np.testing.assert_allclose(made, truth, rtol=1e-6, atol=1e-3)


def test_one_series_in_five_transfer_syntaxes_decodes_identically(data_dir, ingest):
    root = data_dir / "imaging" / "dicom_vendor" / "generic"
    (reference,) = ingest(root / "compressed").samples
    for folder in COMPRESSED:
        found = ingest(root / folder)
        (sample,) = found.samples
        np.testing.assert_array_equal(sample.arrays["image"], reference.arrays["image"])
        assert sample.row["affine"] == reference.row["affine"]


def test_the_head_ct_is_quarantined_with_its_tilt_and_gaps(data_dir, ingest):
    (error,) = ingest(data_dir / "imaging" / "dicom_ct_ge").errors
    assert error.code == "gantry-tilt"
    assert "18.5 degrees" in error.message
    assert "1.081 to 6.999 mm" in error.message


def test_the_head_ct_is_resampled_only_when_asked(data_dir, ingest):
    (sample,) = ingest(data_dir / "imaging" / "dicom_ct_ge", resample=True).samples
    # 13 gaps of 4.002, one of 1.081, 13 of 6.999: 144.1 mm in steps of 4.002; 611 rows as dcm2niix.
    assert sample.arrays["image"].shape == (1, 37, 611, 512)
    assert sample.row["resampled"] == "gantry-tilt"
    assert sample.row["spacing_mm"] == pytest.approx([4.0019, 0.48828, 0.48828], abs=1e-4)


def test_what_must_fail_is_quarantined_with_its_kind(data_dir, ingest):
    root = data_dir / "imaging" / "dicom_vendor" / "failing"
    assert ingest(root / "gantrytilting").codes == {"gantry-tilt": 4}
    found = ingest(root / "sliceincrement")
    assert found.codes == {"gantry-tilt": 4}
    assert "missing slices: 1" in found.errors[0].message
    assert ingest(root / "slicecount").codes == {"rejected-few-slices": 2, "rejected-not-dicom": 1}


def test_an_implicit_mr_series_is_accepted(data_dir, ingest):
    found = ingest(data_dir / "imaging" / "dicom_mr_torchio")
    (sample,) = found.samples
    assert sample.arrays["image"].shape == (1, 17, 128, 88)
    assert not found.refused


MUST_FAIL = {
    "MR_truncated.dcm": "truncated-pixels",
    "no_meta.dcm": "not-dicom",
    "ExplVR_BigEndNoMeta.dcm": "no-preamble",
    "ExplVR_LitEndNoMeta.dcm": "no-preamble",
    "rtstruct.dcm": "no-preamble",
    "JPEG2000-embedded-sequence-delimiter.dcm": "codestream-mismatch",
    "meta_missing_tsyntax.dcm": "no-transfer-syntax",
    "nested_priv_SQ.dcm": "bad-pixel-header",
}


def outcome(root, path):
    """ "decoded", or the code of the refusal of one file."""
    looked = look_at(Source(root), Confined(Source(root)), path, LIMITS, {})
    if not isinstance(looked, Instance):
        return looked.fault.code
    # Not every odd file has all UIDs; its pixels are looked at all the same.
    if looked.fault is not None and looked.fault.code != "blank-uid":
        return looked.fault.code
    handle, status = Confined(Source(root)).open(path)
    try:
        header, buffer, _ = load(handle, status.st_size)
        decode(header, buffer)
    except DataError as error:
        return error.code
    finally:
        os.close(handle)
    return "decoded"


def test_every_odd_file_decodes_or_has_a_reason(data_dir):
    root = (data_dir / "imaging" / "dicom_odd" / "pydicom").resolve()
    paths = [p.relative_to(root).as_posix() for p in sorted(root.rglob("*")) if p.is_file()]
    outcomes = {path: outcome(root, path) for path in paths}
    by_name = {path.rpartition("/")[2]: code for path, code in outcomes.items()}
    assert {name: by_name[name] for name in MUST_FAIL} == MUST_FAIL
    decoded = [path for path, code in outcomes.items() if code == "decoded"]
    assert len(decoded) >= 72
    allowed = {*MUST_FAIL.values(), "decoded", "unsupported-pixels", "missing-decoder"}
    allowed |= {"rejected-no-image", "rejected-dicomdir", "rejected-not-dicom", "no-pixels"}
    assert set(outcomes.values()) <= allowed


def test_the_whole_odd_tree_adds_up(data_dir, ingest):
    root = data_dir / "imaging" / "dicom_odd"
    found = ingest(root, select={"min_slices": 1, "modality": ["CT", "MR", "NM", "OT", "US", ""]})
    files = sum(path.is_file() for path in root.rglob("*"))
    assert found.taken + sum(found.codes.values()) == files
    assert found.taken >= 5
