"""Resampling slab by slab equals torch's interpolation of the whole image."""

from itertools import product

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from medray.errors import SpecError
from medray.modalities.image.sliding import resample
from medray.modalities.image.sliding.resample import Mode, grid_shape, resample_slabs

SIZES = st.lists(st.tuples(st.integers(1, 24), st.integers(1, 24)), min_size=2, max_size=3)


def _whole(image: torch.Tensor, new: tuple[int, ...], mode: Mode) -> torch.Tensor:
    linear = "trilinear" if len(new) == 3 else "bilinear"
    name = linear if mode == "linear" else "nearest-exact"
    return F.interpolate(image[None], size=new, mode=name)[0]


def _streamed(image: torch.Tensor, new: tuple[int, ...], mode: Mode, depth: int) -> torch.Tensor:
    def slabs() -> object:
        for slab in image.split(depth, dim=1):
            view = slab.clone()
            yield view
            view.fill_(float("nan"))  # slabs may be views of a buffer that is used again

    parts = resample_slabs(slabs(), image.shape[1:], new, mode)
    return torch.cat([part.clone() for part in parts], dim=1)


@settings(max_examples=150, deadline=None)
@given(SIZES, st.integers(1, 30), st.sampled_from(["linear", "nearest"]))
def test_equal_to_the_whole_image(sizes: list[tuple[int, int]], depth: int, mode: Mode) -> None:
    old, new = (tuple(values) for values in zip(*sizes, strict=True))
    image = torch.randn(3, *old, generator=torch.Generator().manual_seed(0))
    streamed = _streamed(image, new, mode, depth)
    torch.testing.assert_close(streamed, _whole(image, new, mode), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("old", "new"), [((9, 8, 6), (5, 4, 3)), ((8, 12), (4, 6))])
def test_halves_are_means_of_two(old: tuple[int, ...], new: tuple[int, ...]) -> None:
    image = torch.randn(2, *old, generator=torch.Generator().manual_seed(0))
    modes: tuple[Mode, ...] = ("linear", "nearest")
    for mode, depth in product(modes, (3, 4, old[0])):
        streamed = _streamed(image, new, mode, depth)
        torch.testing.assert_close(streamed, _whole(image, new, mode), atol=1e-6, rtol=0)


@pytest.mark.parametrize("mode", ["linear", "nearest"])
@pytest.mark.parametrize(("old", "new"), [(1500, 977), (613, 1500)])
def test_equal_for_deep_images_where_coordinates_round(old: int, new: int, mode: Mode) -> None:
    image = torch.randn(2, old, 6, 5, generator=torch.Generator().manual_seed(0))
    streamed = _streamed(image, (new, 7, 4), mode, 48)
    torch.testing.assert_close(streamed, _whole(image, (new, 7, 4), mode), atol=1e-5, rtol=0)


def test_pieces_are_small_however_big_the_slab(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resample, "PIECE_BYTES", 2 * 16 * 16 * 4)
    image = torch.randn(2, 12, 8, 8, generator=torch.Generator().manual_seed(0))
    slabs = list(resample_slabs([image], (12, 8, 8), (12, 16, 16)))
    assert max(slab.shape[1] for slab in slabs) == 2  # the piece, and one that lacked a neighbour
    torch.testing.assert_close(
        torch.cat(slabs, dim=1), _whole(image, (12, 16, 16), "linear"), atol=1e-5, rtol=0
    )


def test_grid_shape_keeps_the_extent() -> None:
    assert grid_shape((28, 512, 512), (4.002, 0.45, 0.45), (2.0, 0.9, 0.9)) == (56, 256, 256)
    assert grid_shape((1, 4), (0.1, 1.0), (5.0, 3.0)) == (1, 1)


@pytest.mark.parametrize("spacing", [(1.0, 0.0), (1.0, float("nan")), (1.0,)])
def test_spacings_must_be_positive(spacing: tuple[float, ...]) -> None:
    with pytest.raises(SpecError) as caught:
        grid_shape((10, 10), spacing, (1.0, 1.0))
    assert caught.value.code == "spacing"
