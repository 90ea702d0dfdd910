"""The grid is MONAI's, and cutting windows from slabs equals cutting them from the whole image."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data.utils import dense_patch_slices
from monai.inferers.utils import _get_scan_interval

from medray.errors import SpecError
from medray.modalities.image.sliding.grid import gather_windows, plan_grid

AXIS = st.tuples(st.integers(1, 90), st.integers(1, 40), st.floats(0, 0.95))


@settings(max_examples=200, deadline=None)
@given(st.lists(AXIS, min_size=2, max_size=3))
def test_windows_start_where_monai_starts_them(axes: list[tuple[int, int, float]]) -> None:
    shape, roi, overlap = (list(values) for values in zip(*axes, strict=True))
    grid = plan_grid(shape, roi, overlap)
    interval = _get_scan_interval(grid.padded, roi, len(roi), overlap)
    expected = dense_patch_slices(grid.padded, roi, interval)
    assert list(grid.windows()) == [tuple(part.start for part in window) for window in expected]
    assert len(grid) == len(expected)


def test_last_window_ends_at_the_border_and_small_axes_are_padded() -> None:
    grid = plan_grid((50, 9), (16, 12), 0.5)
    assert grid.starts == ((0, 8, 16, 24, 32, 34), (0,))
    assert grid.padded == (50, 12)
    assert grid.before == (0, 1)


@pytest.mark.parametrize(
    ("shape", "roi", "overlap"),
    [((8, 8), (4,), 0.5), ((8, 8), (4, 0), 0.5), ((8, 8), (4, 4), 1.0), ((0, 8), (4, 4), 0.5)],
)
def test_impossible_grids_are_refused(
    shape: tuple[int, ...], roi: tuple[int, ...], overlap: float
) -> None:
    with pytest.raises(SpecError) as caught:
        plan_grid(shape, roi, overlap)
    assert caught.value.code == "window-grid"


@pytest.mark.parametrize("depth", [1, 3, 7, 40])
@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("shape", [(40, 13, 11), (5, 13, 4), (40, 13)])
def test_windows_from_slabs_equal_windows_of_the_padded_image(
    shape: tuple[int, ...], batch: int, depth: int
) -> None:
    image = torch.arange(2.0 * torch.Size(shape).numel()).view(2, *shape)
    roi = (8, 9, 6)[: len(shape)]
    grid = plan_grid(shape, roi, 0.6)
    pads = [
        (before, padded - size - before)
        for before, padded, size in zip(grid.before, grid.padded, shape, strict=True)
    ]
    padded = F.pad(image, [side for pad in reversed(pads) for side in pad])
    seen = []
    for starts, windows in gather_windows(image.split(depth, dim=1), grid, batch):
        for start, window in zip(starts, windows, strict=True):
            box = tuple(slice(at, at + size) for at, size in zip(start, roi, strict=True))
            assert torch.equal(window, padded[:, *box])
            seen.append(start)
    assert seen == list(grid.windows())
