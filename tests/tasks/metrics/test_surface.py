import numpy as np
import pytest
import torch
from monai.metrics import compute_hausdorff_distance
from scipy import ndimage

from medray.tasks.metrics.surface import surface_distances, volume_diagonal_mm, weighted_percentile


def blobs(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal(shape)
    smooth = ndimage.gaussian_filter(noise, 2)
    return smooth > np.quantile(smooth, 0.85)


@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")
@pytest.mark.parametrize(
    ("shape", "spacing"),
    [((14, 18, 16), (1.0, 1.0, 1.0)), ((9, 24, 20), (5.0, 0.7, 0.9)), ((40, 36), (0.5, 1.25))],
)
def test_distances_agree_with_monai(shape: tuple[int, ...], spacing: tuple[float, ...]) -> None:
    predicted, actual = blobs(0, shape), blobs(1, shape)
    got = surface_distances(predicted, actual, spacing)
    assert len(got.predicted_mm) == (predicted & ~ndimage.binary_erosion(predicted)).sum()
    assert len(got.actual_mm) == (actual & ~ndimage.binary_erosion(actual)).sum()
    # MONAI counts voxels; with equal weights the convention is the same up to interpolation.
    for percent in (95.0, 100.0):
        theirs = compute_hausdorff_distance(
            torch.from_numpy(predicted)[None, None],
            torch.from_numpy(actual)[None, None],
            include_background=True,
            percentile=percent,
            spacing=list(spacing),
        ).item()
        ours = max(np.percentile(d, percent) for d in (got.predicted_mm, got.actual_mm))
        assert ours == pytest.approx(theirs, abs=1e-4)


def test_agrees_with_brute_force() -> None:
    predicted, actual = blobs(3, (7, 9, 8)), blobs(4, (7, 9, 8))
    spacing = (3.0, 0.8, 1.1)
    got = surface_distances(predicted, actual, spacing)

    def border(mask: np.ndarray) -> np.ndarray:
        return np.argwhere(mask & ~ndimage.binary_erosion(mask)) * spacing

    points_p, points_a = border(predicted), border(actual)
    table = np.linalg.norm(points_p[:, None] - points_a[None], axis=2)
    np.testing.assert_allclose(got.predicted_mm, table.min(axis=1))
    np.testing.assert_allclose(got.actual_mm, table.min(axis=0))
    assert got.hausdorff(100.0) == pytest.approx(
        max(table.min(axis=0).max(), table.min(axis=1).max())
    )


def test_shifted_box_by_hand() -> None:
    actual = np.zeros((20, 30, 30), bool)
    actual[5:15, 5:25, 5:25] = True
    predicted = np.roll(actual, 2, axis=0)
    got = surface_distances(predicted, actual, (3.0, 1.0, 1.0))
    # Two of six faces are 6 mm away, and they are more than 5 % of the area.
    assert got.hausdorff() == 6.0
    assert got.hausdorff(50.0) == 0.0
    same = surface_distances(actual, actual, (3.0, 1.0, 1.0))
    assert same.hausdorff() == 0.0
    assert same.dice(0.0) == 1.0
    assert 0.5 < got.dice(1.0) < got.dice(3.1) < 1.0
    assert got.dice(6.0) == 1.0


def test_area_is_that_of_the_surface() -> None:
    box = np.zeros((12, 22, 22), bool)
    box[1:11, 1:21, 1:21] = True
    area = surface_distances(box, box, (4.0, 1.0, 1.0)).actual_area.sum()
    # 2 * 400 + 4 * 800 mm²; edge voxels carry sqrt(a² + b²) instead of a + b, a little less.
    assert area == pytest.approx(4000, rel=0.06)
    assert area < 4000
    plate = np.zeros((10, 30, 30), bool)
    plate[5] = True
    assert surface_distances(plate, plate, (7.0, 0.5, 0.5)).actual_area[0] > 0.25
    inner = surface_distances(plate, plate, (7.0, 0.5, 0.5)).actual_area.reshape(30, 30)[15, 15]
    assert inner == pytest.approx(0.25)


def test_weights_are_areas_not_voxels() -> None:
    """The flat top of a thick-sliced column is 17 % of the border voxels, but 2 % of the area."""
    actual = np.zeros((30, 24, 24), bool)
    actual[2:22, 4:20, 4:20] = True
    predicted = actual.copy()
    predicted[22:24, 4:20, 4:20] = True
    got = surface_distances(predicted, actual, (10.0, 1.0, 1.0))
    assert np.percentile(got.actual_mm, 95) == 3.0
    assert weighted_percentile(got.actual_mm, got.actual_area, 95.0) == 0.0


def test_a_shift_by_the_tolerance_is_within_it() -> None:
    """In floats, voxels 0.7 mm apart can be more than 0.7 mm apart."""
    actual = np.zeros((3, 40, 40), bool)
    actual[1, 6:30, 6:30] = True
    got = surface_distances(np.roll(actual, 1, axis=1), actual, (1.0, 0.7, 0.7))
    assert max(got.actual_mm.max(), got.predicted_mm.max()) > 0.7
    assert got.dice(0.7) == 1.0


def test_an_empty_mask_is_refused_and_the_worst_is_the_diagonal() -> None:
    empty, full = np.zeros((3, 4, 5), bool), np.ones((3, 4, 5), bool)
    with pytest.raises(ValueError, match="no surface"):
        surface_distances(empty, full, (1.0, 1.0, 1.0))
    assert volume_diagonal_mm((3, 4, 12), (1.0, 1.0, 1.0)) == 13.0
    assert volume_diagonal_mm((2, 4, 12), (1.5, 1.0, 1.0)) == 13.0


@pytest.mark.parametrize("percent", [5.0, 50.0, 95.0, 99.0, 100.0])
def test_weighted_percentile_is_that_of_repeated_values(percent: float) -> None:
    random = np.random.default_rng(8)
    values, times = random.random(60), random.integers(1, 9, 60)
    repeated = np.repeat(values, times)
    want = np.percentile(repeated, percent, method="inverted_cdf")
    assert weighted_percentile(values, times.astype(float), percent) == want
