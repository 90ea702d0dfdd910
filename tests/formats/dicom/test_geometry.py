"""The classifier of stacks: each trouble has its code and its numbers."""

import numpy as np
import pytest

from medray.formats.dicom.geometry import classify, resamplable
from medray.formats.dicom.pixels.frame import Frame
from medray.formats.dicom.resample import regularise

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def frame(position, orientation=AXIAL, spacing=(2.0, 3.0), number=0, thickness=5.0):
    return Frame(tuple(position), orientation, spacing, thickness, 1.0, 0.0, number, "1", 0)


def stack(depths, **kwargs):
    return [frame((-10, -20, z), number=i, **kwargs) for i, z in enumerate(depths)]


def tilted(degrees, count=5, gap=4.0):
    angle = np.radians(degrees)
    orientation = (1.0, 0.0, 0.0, 0.0, float(np.cos(angle)), float(np.sin(angle)))
    return stack([gap * i for i in range(count)], orientation=orientation)


def test_a_regular_stack_maps_voxels_to_ras():
    verdict = classify(stack([30, 35, 40]))
    assert verdict.code == ""
    # LPS (-10, -20, 30) is RAS (10, 20, 30); 3 mm between columns, 2 between rows.
    expected = [[-3, 0, 0, 10], [0, -2, 0, 20], [0, 0, 5, 30], [0, 0, 0, 1]]
    np.testing.assert_allclose(verdict.affine, expected)


def test_slices_are_ordered_along_the_normal_whatever_their_order_and_numbers():
    verdict = classify(stack([40, 30, 35]))
    assert verdict.volumes[0].tolist() == [1, 2, 0]


def test_a_sagittal_stack_has_a_right_handed_order():
    # Rows run to posterior, columns to feet; the normal points to the patient's right (-x).
    sagittal = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
    verdict = classify([frame((x, 0, 0), orientation=sagittal) for x in (0.0, 1.0, 2.0)])
    assert verdict.code == ""
    assert verdict.volumes[0].tolist() == [2, 1, 0]
    np.testing.assert_allclose(verdict.affine[:3, 2], [1, 0, 0])


@pytest.mark.parametrize("degrees", [18.5, -18.5, 1.0])
def test_tilt_is_found_and_measured(degrees):
    verdict = classify(tilted(degrees))
    assert verdict.code == "gantry-tilt"
    assert verdict.numbers["tilt_degrees"] == pytest.approx(abs(degrees), abs=1e-6)


def test_rounding_of_the_orientation_is_no_tilt():
    assert classify(tilted(0.05)).code == ""


def test_missing_slices_are_counted():
    verdict = classify(stack([0, 5, 10, 25, 30]))
    assert (verdict.code, verdict.numbers["missing"]) == ("missing-slices", 2)


def test_uneven_gaps_give_their_range():
    verdict = classify(stack([0, 5, 8, 13]))
    assert verdict.code == "uneven-gaps"
    assert (verdict.numbers["gap_min_mm"], verdict.numbers["gap_max_mm"]) == (3, 5)


def test_gaps_that_differ_by_rounding_are_even():
    assert classify(stack([0, 5.01, 10, 14.99])).code == ""


def test_a_repeated_position_is_a_duplicate():
    verdict = classify(stack([0, 5, 5, 10]))
    assert (verdict.code, verdict.numbers["repeated"]) == ("duplicate-slices", 1)


def test_every_position_twice_is_two_volumes_in_acquisition_order():
    verdict = classify(stack([0, 5, 10, 0, 5, 10]))
    assert verdict.code == "several-volumes"
    assert [volume.tolist() for volume in verdict.volumes] == [[0, 1, 2], [3, 4, 5]]


def test_mixed_orientation_gives_the_angle():
    coronal = frame((0, 0, 9), orientation=(1.0, 0.0, 0.0, 0.0, 0.0, -1.0))
    verdict = classify([*stack([0, 5]), coronal])
    assert verdict.code == "mixed-orientation"
    assert verdict.numbers["turn_degrees"] == pytest.approx(90)


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ([*stack([0, 5]), frame((0, 0, 10), spacing=(1.0, 3.0))], "mixed-spacing"),
        (stack([0, 5, 10], spacing=(0.0, 3.0)), "mixed-spacing"),
        (stack([0, 5, 10], orientation=(1.0, 0.0, 0.0, 0.5, 1.0, 0.0)), "bad-orientation"),
        (stack([0, 5, 10], orientation=(2.0, 0.0, 0.0, 0.0, 1.0, 0.0)), "bad-orientation"),
        ([*stack([0, 5]), frame((), number=2)], "no-geometry"),
        ([frame((0, 0, 0), thickness=0.0)], "no-geometry"),
        ([frame((x, 0, 5 * i)) for i, x in enumerate((0, 2, 0, 0))], "irregular-stack"),
    ],
)
def test_what_is_no_stack_is_named(frames, code):
    assert classify(frames).code == code


def test_a_single_slice_takes_its_thickness_as_depth():
    verdict = classify([frame((0, 0, 0), thickness=7.0)])
    assert verdict.affine[2, 2] == 7


def test_only_grids_are_resamplable_and_no_wide_holes():
    assert resamplable(classify(tilted(10)))
    assert resamplable(classify(stack([0, 5, 8, 13])))
    assert not resamplable(classify(stack([0, 5, 5, 10])))
    assert not resamplable(classify(stack([0, 5, 10, 30])))


def test_resampling_uneven_gaps_is_linear_in_depth():
    frames = stack([0, 4, 12])
    # A ramp in depth stays that ramp on the new grid.
    volume = np.array([0, 4, 12], np.int16)[None, :, None, None] * np.ones((1, 1, 2, 2), np.int16)
    made, affine = regularise(volume, frames, 2.0)
    assert made.dtype == np.int16
    assert made[0, :, 0, 0].tolist() == [0, 2, 4, 6, 8, 10, 12]
    assert affine[2, 2] == 2


def test_resampling_a_tilt_puts_voxels_at_their_place():
    frames = tilted(30, count=8, gap=2.0)
    verdict = classify(frames)
    # The image is its own RAS y coordinate, a plane in space: the result is known anywhere.
    z, y = np.meshgrid(np.arange(8), np.arange(12), indexing="ij")
    ras_y = verdict.affine[1, 1] * y + verdict.affine[1, 2] * z + verdict.affine[1, 3]
    volume = np.repeat(ras_y[None, :, :, None], 4, axis=3).astype(np.float32)
    made, affine = regularise(volume, frames, verdict.numbers["gap_median_mm"])
    inside = made[0, 3:-1, 6:-6, 1]
    zz, yy = np.meshgrid(np.arange(made.shape[1]), np.arange(made.shape[2]), indexing="ij")
    expected = (affine[1, 1] * yy + affine[1, 2] * zz + affine[1, 3])[3:-1, 6:-6]
    covered = inside > volume.min()
    assert covered.mean() > 0.5
    np.testing.assert_allclose(inside[covered], expected[covered], atol=1e-4)
    # The third axis is now the slices' normal.
    assert abs(affine[:3, 2] @ affine[:3, 1]) < 1e-9
