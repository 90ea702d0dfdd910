"""Contours of structure sets as masks: which voxels, holes, planes between slices, refusals."""

from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from scipy.ndimage import binary_erosion

from medray.errors import DataError
from medray.formats.dicom import Dicom
from medray.formats.dicom.rois.contours import fill, region
from tests.formats.dicom.test_rois import mm, structures

pytestmark = pytest.mark.filterwarnings("ignore")

SQUARE = [(0.5, 0.5), (3.5, 0.5), (3.5, 2.5), (0.5, 2.5)]  # x, y: voxels 1 … 3, 1 … 2
CLOSED = "CLOSED_PLANAR"


def at(z: float, outline: list[tuple[float, float]] = SQUARE) -> tuple[str, np.ndarray]:
    return CLOSED, mm([(x, y, z) for x, y in outline])


def block(*slices: int) -> np.ndarray:
    mask = np.zeros((4, 4, 6), np.uint8)
    mask[list(slices), 1:3, 1:4] = 1
    return mask


@pytest.fixture
def masks(write_series, ingest, tmp_path) -> Any:
    def read(rois: dict[str, Any], classes=("GTV",), frame: str = "1.2.3.9", **options: Any) -> Any:
        write_series(4)
        structures(tmp_path / "source" / "structures", rois, frame)
        return ingest(labels="contours", classes=list(classes), **options)

    return read


def test_a_voxel_belongs_where_its_middle_lies_inside() -> None:
    random = np.random.default_rng(3)
    points = random.uniform(-2, 14, (9, 2))  # a polygon that crosses itself and leaves the picture
    made = fill([points], (12, 10))
    # By rays: to the right an odd number of edges is crossed.
    for row, column in np.ndindex(made.shape):
        crossed = 0
        for (y, x), (to_y, to_x) in zip(points, np.roll(points, -1, 0), strict=True):
            if (y <= row) != (to_y <= row):
                crossed += x + (row - y) * (to_x - x) / (to_y - y) > column
        assert made[row, column] == crossed % 2, (row, column)


def test_regions_that_share_an_edge_share_no_voxel() -> None:
    left = np.array([(0, 0), (0, 2), (3, 2), (3, 0)], float)  # edges on the middles of pixels
    right = left + np.array([0, 2])
    one, other = fill([left], (5, 6)), fill([right], (5, 6))
    assert not (one & other).any()
    assert (one | other).sum() == 12
    assert one[0, 0]
    assert not one[3, 2]  # towards higher rows and columns


def test_a_disc_has_the_volume_of_a_disc() -> None:
    turn = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    disc = 40.3 + 30.2 * np.column_stack([np.sin(turn), np.cos(turn)])
    assert fill([disc], (90, 90)).sum() == pytest.approx(np.pi * 30.2**2, rel=2e-3)


def test_regions_are_classes_and_later_ones_lie_above(masks) -> None:
    inner = [(0.5, 0.5), (1.5, 0.5), (1.5, 1.5), (0.5, 1.5)]
    rois = {"core": [at(1, inner)], "GTV": [at(1), at(2)], "spine": [at(0)]}
    found = masks(rois, ["GTV", "core"])
    (sample,) = found.samples
    wanted = block(1, 2)
    wanted[1, 1, 1] = 2
    np.testing.assert_array_equal(sample.arrays["label"], wanted)
    assert sample.arrays["label"].dtype == np.uint8
    assert sample.row["has_label"]
    assert sample.row["contours_interpolated"] == 0
    assert found.plan.attributes == {"labels": {"background": 0, "GTV": 1, "core": 2}}
    (passed,) = found.refused
    assert (passed.sample, passed.code, passed.kind) == (
        "1.2.3.4:3",
        "unknown-class",
        "passed-over",
    )


def test_holes_by_contours_of_their_own_and_by_keyholes(masks) -> None:
    outer = [(-0.5, -0.5), (4.5, -0.5), (4.5, 3.5), (-0.5, 3.5)]
    inner = [(0.5, 0.5), (3.5, 0.5), (3.5, 2.5), (0.5, 2.5)]
    keyhole = [*outer, outer[0], *reversed(inner), inner[-1]]
    xor = [("CLOSEDPLANAR_XOR", mm([(x, y, 2) for x, y in one])) for one in (outer, inner)]
    found = masks({"GTV": [at(0, outer), at(0, inner), at(1, keyhole), *xor]})
    ring = np.zeros((4, 6), np.uint8)
    ring[:, :5], ring[1:3, 1:4] = 1, 0
    for z in range(3):
        np.testing.assert_array_equal(found.samples[0].arrays["label"][z], ring, str(z))
    assert not found.samples[0].arrays["label"][3].any()


def test_planes_go_to_the_nearest_slice_and_of_several_the_nearest_counts(masks) -> None:
    small = [(0.5, 0.5), (1.5, 0.5), (1.5, 1.5), (0.5, 1.5)]
    # Contours three to a slice: joined they would cut each other out.
    found = masks({"GTV": [at(0.7, small), at(1.1), at(1.4, small), at(2.3)]})
    np.testing.assert_array_equal(found.samples[0].arrays["label"], block(1, 2))


def test_planes_in_the_middle_between_slices_are_one_slice_each(masks) -> None:
    found = masks({"GTV": [at(0.5), at(1.5 + 1e-7)]})
    np.testing.assert_array_equal(found.samples[0].arrays["label"], block(0, 1))
    found = masks({"GTV": [at(-0.5), at(1.5), at(3.5)]})  # and those between are interpolated
    np.testing.assert_array_equal(found.samples[0].arrays["label"], block(0, 1, 2, 3))
    assert found.samples[0].row["contours_interpolated"] == 2


def test_a_contour_that_is_drawn_twice_is_no_hole(masks) -> None:
    found = masks({"GTV": [at(1), at(1), at(2)]})
    np.testing.assert_array_equal(found.samples[0].arrays["label"], block(1, 2))


@pytest.mark.parametrize("stray", [[(1, 1)], [(1, 1), (3, 2)], [(1, 1), (2, 1), (3, 1), (2, 1)]])
def test_a_contour_that_encloses_nothing_is_no_plane(
    masks, stray: list[tuple[float, float]]
) -> None:
    found = masks({"GTV": [at(0), at(1, stray), at(1.5), at(3)]})
    assert np.array_equal(found.samples[0].arrays["label"], block(0, 1, 2, 3))
    assert found.samples[0].row["contours_interpolated"] == 1
    (refused,) = masks({"GTV": [at(1, stray)]}).refused
    assert refused.code == "empty-region"


def test_where_contours_are_on_every_other_slice_those_between_are_interpolated() -> None:
    def disc(z: float, radius: float) -> np.ndarray:
        turn = np.linspace(0, 2 * np.pi, 90, endpoint=False)
        rim = 16 + radius * np.column_stack([np.sin(turn), np.cos(turn)])
        return np.column_stack([np.full(90, z), rim])

    sizes = {0: 6.0, 2: 10.0, 4: 8.0, 8: 6.0}
    inside, between = region([disc(*one) for one in sizes.items()], (10, 32, 32), (1.0, 1.0))
    assert between == 2  # 1 and 3; from 4 to 8 nothing was drawn
    assert [bool(one.any()) for one in inside] == [True] * 5 + [False] * 3 + [True, False]
    assert inside[1].sum() == pytest.approx(np.pi * 8**2, rel=0.05)
    assert inside[3].sum() == pytest.approx(np.pi * 9**2, rel=0.05)
    assert (inside[1] <= binary_erosion(inside[2])).all()
    # Two planes do not tell how far apart contours were drawn.
    assert region([disc(0, 6), disc(4, 6)], (10, 32, 32), (1.0, 1.0))[1] == 0


def test_what_is_no_mask_refuses_the_series(masks) -> None:
    upright = mm([(2, 0, 0), (2, 2, 0), (2, 2, 3)])
    cases = {
        "missing-region": {"other": [at(1)]},
        "unsupported-region": {"GTV": [("POINT", mm([(1, 1, 1)]))]},
        "empty-region": {"GTV": [at(9)]},
    }
    for code, rois in cases.items():
        found = masks(rois)
        assert not found.samples
        assert [one.code for one in found.errors] == [code]
    assert [one.code for one in masks({"GTV": []}).errors] == ["missing-region"]
    assert [one.code for one in masks({"GTV": [(CLOSED, upright)]}).errors] == [
        "unsupported-region"
    ]
    assert [one.code for one in masks({"GTV": [at(1)]}, frame="1.2.5").errors] == ["other-frame"]


def test_what_a_structure_set_lacks_is_named(masks, ingest, tmp_path) -> None:
    masks({"GTV": [at(1)]})
    path = tmp_path / "source" / "structures"
    data = dcmread(path)
    del data.ROIContourSequence[0].ReferencedROINumber
    data.save_as(path)
    (error,) = ingest(labels="contours", classes=["GTV"]).errors
    assert error.code == "bad-label"
    assert "lacks ReferencedROINumber" in str(error)


def test_two_regions_of_one_name_are_refused(masks) -> None:
    found = masks({"GTV": [at(1)], "GTV ": [at(2)]})
    assert [one.code for one in found.errors] == ["ambiguous-label"]


@pytest.mark.parametrize("part", ["StructureSetROISequence", "ROIContourSequence"])
def test_two_regions_of_one_number_are_refused(masks, ingest, tmp_path, part: str) -> None:
    masks({"GTV": [at(1)], "core": [at(2)]})
    path = tmp_path / "source" / "structures"
    data = dcmread(path)
    (item,) = (one for one in data[part].value[1] if one.keyword.endswith("ROINumber"))
    item.value = 1
    data.save_as(path)
    found = ingest(labels="contours", classes=["GTV", "core"])
    assert [one.code for one in found.errors] == ["ambiguous-label"]
    assert [one.code for one in ingest(labels="rtstruct").errors] == ["ambiguous-label"]


def test_a_series_without_a_structure_set(write_series, ingest) -> None:
    write_series(4)
    assert ingest(labels="contours", classes=["GTV"]).codes == {"no-label": 4}
    found = ingest(labels="contours", classes=["GTV"], require_labels=False)
    assert "label" not in found.samples[0].arrays
    assert not found.samples[0].row["has_label"]


def test_contours_need_names() -> None:
    for classes in ((), ("GTV", "GTV")):
        with pytest.raises(ValueError, match="name `classes`, each once"):
            Dicom.Options(labels="contours", classes=classes, deidentify={"method": "none"})


def test_contours_that_cut_no_row_are_empty() -> None:
    line = np.array([(0, 1.2, 1), (0, 1.2, 4), (0, 1.2, 2)], float)
    with pytest.raises(DataError) as caught:
        region([line], (2, 4, 6), (1.0, 1.0))
    assert caught.value.code == "empty-region"
