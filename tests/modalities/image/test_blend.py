"""Blending on its own: weights, slabs, refusals."""

import pytest
import torch
from monai.data.utils import compute_importance_map

from medray.errors import DataError, FatalError
from medray.modalities.image.sliding.blend import blend_windows, gaussian_weights
from medray.modalities.image.sliding.grid import Grid, plan_grid


@pytest.mark.parametrize("roi", [(7,), (8, 13), (16, 5, 9)])
def test_weights_are_monais(roi: tuple[int, ...]) -> None:
    expected = compute_importance_map(roi, mode="gaussian", sigma_scale=0.125)
    assert torch.equal(gaussian_weights(roi), torch.as_tensor(expected))


def _constant(grid: Grid, value: float = 2.5) -> list[tuple[tuple[int, ...], torch.Tensor]]:
    return [(start, torch.full((3, *grid.roi), value)) for start in grid.windows()]


def test_a_constant_stays_that_constant_and_slabs_come_as_soon_as_they_can() -> None:
    grid = plan_grid((21, 10, 5), (8, 8, 8), 0.5)
    taken = 0

    def windows() -> object:
        nonlocal taken
        for window in _constant(grid):
            taken += 1
            yield window

    depths = []
    for slab in blend_windows(windows(), grid):
        torch.testing.assert_close(slab, torch.full_like(slab, 2.5))
        assert slab.shape[2:] == (10, 5)
        depths.append((slab.shape[1], taken))
    # Rows of 2 windows start at 0, 4, 8, 12, 13; the first window of the next row frees a slab.
    assert depths == [(4, 3), (4, 5), (4, 7), (1, 9), (3, 10), (5, 10)]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("normalise", [True, False])
def test_one_nonfinite_logit_is_an_error(bad: float, normalise: bool) -> None:
    grid = plan_grid((20, 12), (8, 8), 0.5)
    windows = _constant(grid)
    windows[3][1][1, 0, 7] = bad
    with pytest.raises(DataError) as caught:
        list(blend_windows(windows, grid, normalise=normalise))
    assert caught.value.code == "nonfinite-output"


def test_logits_of_another_size_are_fatal() -> None:
    grid = plan_grid((20, 12), (8, 8), 0.5)
    with pytest.raises(FatalError) as caught:
        list(blend_windows([((0, 0), torch.zeros(3, 4, 8))], grid))
    assert caught.value.code == "network-output"


def test_without_normalising_the_argmax_is_the_same() -> None:
    grid = plan_grid((19, 14), (8, 6), 0.4)
    generator = torch.Generator().manual_seed(1)
    windows = [(start, torch.randn(4, 8, 6, generator=generator)) for start in grid.windows()]
    plain = [slab.argmax(0) for slab in blend_windows(windows, grid, normalise=False)]
    divided = [slab.argmax(0) for slab in blend_windows(windows, grid)]
    assert torch.equal(torch.cat(plain), torch.cat(divided))
