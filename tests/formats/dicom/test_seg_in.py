"""DICOM SEG in: put on the image's grid by its geometry, found by what it refers to."""

import itertools

import highdicom as hd
import numpy as np
import pytest
from pydicom import Dataset, dcmread

pytestmark = pytest.mark.filterwarnings("ignore")

DEPTH, ROWS, COLUMNS = 4, 4, 6
SOURCE = {"PatientBirthDate": "", "PatientSex": "", "StudyID": "", "StudyTime": "",
          "AccessionNumber": "", "PixelSpacing": [2.0, 2.0], "SliceThickness": 2}  # fmt: skip


def cubic(data, index):
    data.ImagePositionPatient = [-10.0, -20.0, 30.0 + 2.0 * index]


@pytest.fixture
def mask():
    """Classes 1 and 2 that look different from every side."""
    values = np.zeros((DEPTH, ROWS, COLUMNS), np.uint8)
    values[0, 1, :3], values[1, 1, 0], values[3, 3, 5], values[2, :2, 4] = 1, 2, 2, 1
    return values


@pytest.fixture
def save(write_series, tmp_path):
    """Write a series of isotropic voxels and a SEG about it; returns the SEG's path."""

    def write(mask, encoding="BINARY", change=lambda seg: None, name="1", **options):
        sources = write_series(DEPTH, change=cubic, **SOURCE)
        algorithm = hd.AlgorithmIdentificationSequence(
            "t", hd.sr.CodedConcept("1", "99X", "x"), "1"
        )
        code = hd.sr.CodedConcept("49755003", "SCT", "Lesion")
        described = [
            hd.seg.SegmentDescription(n, f"s{n}", code, code, "AUTOMATIC", algorithm)
            for n in range(1, max(2, int(mask.max()) + 1))
        ]
        seg = hd.seg.Segmentation(
            sources, mask, encoding, described, f"1.2.9.{name}", 1, f"1.2.9.{name}.1", 1,
            "m", "m", "1", "1", **options,
        )  # fmt: skip
        change(seg)
        path = tmp_path / "source" / "seg" / name
        path.parent.mkdir(exist_ok=True)
        seg.save_as(path)
        return path

    return write


def turned(mask, axes, flips):
    """The mask with its axes (z, y, x) permuted and flipped, and the geometry that undoes that."""
    steps = np.array([[0, 0, 2.0], [0, 2.0, 0], [2.0, 0, 0]])  # of axes z, y, x; in mm
    origin = np.array([-10.0, -20.0, 30.0])
    values, steps = mask.transpose(axes), steps[list(axes)]
    for axis in flips:
        values = np.flip(values, axis)
        origin = origin + steps[axis] * (values.shape[axis] - 1)
        steps[axis] *= -1
    positions = hd.PlanePositionSequence
    where = [positions("PATIENT", list(origin + steps[0] * level)) for level in range(len(values))]
    cosines = [*(steps[2] / 2), *(steps[1] / 2)]
    return np.ascontiguousarray(values), {
        "plane_positions": where,
        "plane_orientation": hd.PlaneOrientationSequence("PATIENT", cosines),
        "pixel_measures": hd.PixelMeasuresSequence([2.0, 2.0], 2.0, 2.0),
    }


FLIPS = [(), (0,), (1,), (2,), (0, 1), (1, 2), (0, 1, 2)]


@pytest.mark.parametrize("encoding", ["BINARY", "LABELMAP"])
@pytest.mark.parametrize("axes", list(itertools.permutations(range(3))), ids=str)
def test_planes_that_run_otherwise_land_on_the_images_axes(save, ingest, mask, axes, encoding):
    for flips in FLIPS:
        values, options = turned(mask, axes, flips)
        save(values, encoding, **options)
        (sample,) = ingest(labels="seg").samples
        np.testing.assert_array_equal(sample.arrays["label"], mask, str((axes, flips)))


def test_frames_that_cover_a_part_are_put_in_their_place(save, ingest, mask):
    part = np.zeros_like(mask)
    part[1:3, 1:, 2:5] = mask[1:3, 1:, 2:5]
    measures = hd.PixelMeasuresSequence([2.0, 2.0], 2.0, 2.0)
    where = [
        hd.PlanePositionSequence("PATIENT", [-10 + 2 * 2.0, -20 + 1 * 2.0, 30 + 2.0 * z])
        for z in (1, 2)
    ]
    orientation = hd.PlaneOrientationSequence("PATIENT", [1, 0, 0, 0, 1, 0])
    save(np.ascontiguousarray(mask[1:3, 1:, 2:5]), pixel_measures=measures,
         plane_positions=where, plane_orientation=orientation)  # fmt: skip
    (sample,) = ingest(labels="seg").samples
    np.testing.assert_array_equal(sample.arrays["label"], part)


def shift(seg, millimetres=(0, 0, 0), cosines=None):
    for group in seg.PerFrameFunctionalGroupsSequence:
        place = group.PlanePositionSequence[0]
        place.ImagePositionPatient = [
            float(a) + b for a, b in zip(place.ImagePositionPatient, millimetres, strict=True)
        ]
    if cosines:
        shared = seg.SharedFunctionalGroupsSequence[0]
        shared.PlaneOrientationSequence[0].ImageOrientationPatient = cosines


@pytest.mark.parametrize(
    "change",
    [
        lambda seg: shift(seg, (1.0, 0, 0)),
        lambda seg: shift(seg, (0, 0, 1.0)),
        lambda seg: shift(seg, (0, 0, 40.0)),
        lambda seg: shift(seg, (0, -2.0, 0)),
        lambda seg: shift(seg, cosines=[0.7071, 0.7071, 0, -0.7071, 0.7071, 0]),
        lambda seg: setattr(
            seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0],
            "PixelSpacing",
            [2.0, 4.0],
        ),
    ],
    ids=["half a voxel", "half a slice", "beyond", "one row out", "rotated", "other spacing"],
)
def test_what_is_not_on_the_grid_is_refused(save, ingest, mask, change):
    save(mask, change=change)
    (error,) = ingest(labels="seg").errors
    assert error.code == "label-grid-mismatch"


def no_series(seg):
    del seg.ReferencedSeriesSequence


def another_series(seg):
    seg.ReferencedSeriesSequence[0].SeriesInstanceUID = "1.2.999"


def only_derivation(seg):
    no_series(seg)
    del seg.SourceImageSequence


def in_another_study(seg):
    outer = Dataset()
    outer.StudyInstanceUID = "1.2.3"
    outer.ReferencedSeriesSequence = seg.ReferencedSeriesSequence
    seg.StudiesContainingOtherReferencedInstancesSequence = [outer]
    only_derivation(seg)
    for group in seg.PerFrameFunctionalGroupsSequence:
        group.pop("DerivationImageSequence", None)


@pytest.mark.parametrize("change", [no_series, another_series, only_derivation, in_another_study])
def test_a_segmentation_is_found_by_whatever_it_refers_to(save, ingest, mask, change):
    save(mask, change=change)
    found = ingest(labels="seg")
    np.testing.assert_array_equal(found.samples[0].arrays["label"], mask)
    assert not found.refused


def two_series(seg):
    other = Dataset()
    other.SeriesInstanceUID = "1.2.3.5"
    seg.ReferencedSeriesSequence.append(other)


def test_of_two_series_the_one_whose_images_it_names_counts(save, write_series, ingest, mask):
    def other(data, index):
        cubic(data, index)
        data.SeriesInstanceUID, data.SOPInstanceUID = "1.2.3.5", f"1.2.3.5.{index}"

    write_series(DEPTH, folder="b", change=other)
    save(mask, change=two_series)
    found = ingest(labels="seg", require_labels=False)
    assert {s.id: s.row["has_label"] for s in found.samples} == {"1.2.3.4": True, "1.2.3.5": False}

    def of_both(seg):
        two_series(seg)
        first = Dataset()
        first.ReferencedSOPInstanceUID = "1.2.3.5.0"
        seg.SourceImageSequence.append(first)

    save(mask, change=of_both)
    found = ingest(labels="seg")
    assert found.codes == {"no-label": 8, "ambiguous-label": 1}


def test_a_copy_of_a_segmentation_is_passed_over_and_another_one_is_not(
    save, ingest, tmp_path, mask
):
    path = save(mask)
    (tmp_path / "source" / "copy").write_bytes(path.read_bytes())
    found = ingest(labels="seg")
    np.testing.assert_array_equal(found.samples[0].arrays["label"], mask)
    assert found.codes == {"rejected-duplicate": 1}
    changed = dcmread(path)
    changed.PixelData = bytes(len(changed.PixelData))
    changed.save_as(tmp_path / "source" / "copy")
    assert ingest(labels="seg").errors[0].code == "conflicting-duplicates"
    (tmp_path / "source" / "copy").unlink()
    save(mask, name="2")
    assert ingest(labels="seg").codes["many-labels"] == DEPTH


def test_label_maps_of_many_segments_keep_their_numbers(save, ingest, mask):
    many = mask.astype(np.uint16) * 150
    save(many, "LABELMAP")
    (sample,) = ingest(labels="seg").samples
    assert sample.arrays["label"].dtype == np.uint16
    np.testing.assert_array_equal(sample.arrays["label"], many)


def test_a_fractional_segmentation_is_refused_with_the_way_out(save, ingest, mask):
    save((mask > 0) * 0.5, "FRACTIONAL")
    (error,) = ingest(labels="seg").errors
    assert (error.code, "threshold" in error.hint) == ("unsupported-label", True)
