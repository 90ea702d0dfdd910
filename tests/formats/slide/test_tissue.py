"""Tissue by saturation and Otsu's threshold, against values worked out by hand."""

import numpy as np
import pytest

from medray.errors import DataError
from medray.formats.slide.levels import Array, Level, Slide
from medray.formats.slide.tissue import Tissue, find_tissue, otsu, saturation, shrunk


class Held(Level):
    """A level that is held; segments in `broken` can't be decoded."""

    def __init__(self, pixels: Array, segment: tuple[int, int], broken: set[tuple[int, int]]):
        super().__init__(pixels.shape[1], pixels.shape[0], segment)
        self.pixels, self.broken = pixels, broken

    def decode(self, row: int, column: int) -> Array | None:
        if (row, column) in self.broken:
            raise DataError("damaged", code="damaged-tile")
        tall, wide = self.segment
        return self.pixels[row * tall : (row + 1) * tall, column * wide : (column + 1) * wide]


def held(pixels: Array, segment: tuple[int, int] = (5, 7), broken: tuple = ()) -> Held:
    return Held(pixels, segment, set(broken))


def test_saturation_is_that_of_hsv() -> None:
    # 255 * (max - min) / max: red 255, grey 0, black 0, (200, 150, 100) 127.5 → 128.
    colours = np.array([[255, 0, 0], [90, 90, 90], [0, 0, 0], [200, 150, 100]], np.uint8)
    assert saturation(colours).tolist() == [255, 0, 0, 128]


def test_otsu_by_hand() -> None:
    # Values 0, 1, 4, 5 once each. Variance between classes, weights x squared distance of means:
    # cut at 1: 1·3·(10/3)² = 33.3; at 2..4: 2·2·4² = 64; at 5: 3·1·(10/3)² = 33.3. First: 2.
    assert otsu(np.array([0, 1, 4, 5], np.uint8)) == 2 / 255
    # Weights count: 0 five times, 10 once, 12 once. At 1: 5·2·11² = 1210; at 11: 6·1·(10.33)² = 641
    assert otsu(np.array([0] * 5 + [10, 12], np.uint8)) == 1 / 255
    assert otsu(np.full(9, 7, np.uint8)) == 1.0


def test_a_box_is_the_pixels_and_white_beyond() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (23, 31, 3), np.uint8)
    padded = np.full((63, 71, 3), 255, np.uint8)
    padded[20:43, 20:51] = pixels
    level = held(pixels)
    for left, top, right, bottom in (
        (0, 0, 31, 23),
        (-9, -3, 4, 6),
        (25, 20, 40, 30),
        (6, 4, 8, 6),
    ):
        wanted = padded[top + 20 : bottom + 20, left + 20 : right + 20]
        np.testing.assert_array_equal(level.box(left, top, right, bottom), wanted)


def test_a_level_shrinks_to_means_with_its_rest() -> None:
    pixels = np.zeros((5, 7, 3), np.uint8)
    pixels[:2, :2] = 100
    pixels[4, 6] = 30
    pixels[0, 6], pixels[1, 6] = 10, 20
    made = shrunk(held(pixels), 2, [])
    assert made.shape == (3, 4, 3)
    assert made[0, 0].tolist() == [100] * 3
    assert made[0, 3].tolist() == [15] * 3  # one column is left
    assert made[2, 3].tolist() == [30] * 3  # one pixel is left


def test_shares_count_the_tissue_below_tiles() -> None:
    mask = np.zeros((4, 6), bool)
    mask[:2, :2] = True
    mask[2, 2] = True
    tissue = Tissue(np.zeros((4, 6, 3), np.uint8), mask, 0.5)
    # Tiles of 20 pixels of a slide 60 wide: 2 x 2 pixels of the mask each.
    assert tissue.share(20, 2, 3, 60).tolist() == [[1.0, 0.0, 0.0], [0.0, 0.25, 0.0]]


def test_empty_glass_has_no_tissue_and_damage_counts_as_tissue() -> None:
    rng = np.random.default_rng(1)
    glass = rng.integers(240, 246, (64, 64, 3)).astype(np.uint8)
    clean = find_tissue(Slide([held(glass, (16, 16))], 0.5, "TIFF"), 16, None, 0.05)
    assert clean.threshold == 0.05
    assert not clean.mask.any()
    broken = held(glass, (16, 16), ((1, 2),))
    mask = find_tissue(Slide([broken], 0.5, "TIFF"), 16, None, 0.05).mask
    assert mask.shape == (32, 32)
    assert mask[8:16, 16:24].all()
    assert mask.sum() == 64


def test_the_overview_comes_of_the_coarsest_level_that_is_fine_enough() -> None:
    fine, coarse = np.zeros((64, 64, 3), np.uint8), np.full((16, 16, 3), 9, np.uint8)
    slide = Slide([held(fine), held(coarse)], 0.5, "TIFF")
    assert find_tissue(slide, 32, 0.5, 0).overview[0, 0].tolist() == [9] * 3
    assert find_tissue(slide, 16, 0.5, 0).overview[0, 0].tolist() == [0] * 3


@pytest.mark.parametrize(
    ("wanted", "level"), [(None, 0), (0.25, 0), (0.49, 0), (0.495, 1), (0.5, 1), (1.9, 1), (2, 2)]
)
def test_the_level_is_the_coarsest_that_is_as_fine(wanted: float | None, level: int) -> None:
    levels = [held(np.zeros((n, n, 3), np.uint8)) for n in (64, 32, 8)]
    assert Slide(levels, 0.25, "TIFF").choose(0.25, wanted) == level


def test_what_no_level_has_is_refused() -> None:
    with pytest.raises(DataError, match="too-coarse"):
        Slide([held(np.zeros((8, 8, 3), np.uint8))], 0.5, "TIFF").choose(0.5, 0.25)
