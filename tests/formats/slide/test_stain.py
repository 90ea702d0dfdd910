"""Stains by Macenko's method: of colours that were made of known stains by Beer and Lambert."""

import numpy as np
import pytest

from medray.errors import DataError
from medray.formats.slide.stain import Stains, density, find_stains, normalised

# Ruifrok and Johnston (2001), table 1: haematoxylin and eosin.
KNOWN = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11]])
KNOWN /= np.linalg.norm(KNOWN, axis=1, keepdims=True)
SOFT = np.array([[0.60, 0.70, 0.38], [0.25, 0.90, 0.36]])
SOFT /= np.linalg.norm(SOFT, axis=1, keepdims=True)
OTHER = np.array([[0.75, 0.60, 0.28], [0.35, 0.80, 0.49]])
OTHER /= np.linalg.norm(OTHER, axis=1, keepdims=True)
# As the method's authors hand them on: the default of the transformation.
REFERENCE = Stains(
    np.array([[0.5626, 0.7201, 0.4062], [0.2159, 0.8012, 0.5581]]), np.array([1.9705, 1.0308])
)


def amounts(many: int = 20_000, seed: int = 0) -> np.ndarray:
    """Of both stains; a tenth of the pixels has one of them alone, and much of it."""
    rng = np.random.default_rng(seed)
    made = rng.uniform(0.3, 1.2, (many, 2))
    alone = many // 20
    made[: 2 * alone] = rng.uniform(0.95, 1.2, (2 * alone, 2))
    made[:alone, 1] = 0
    made[alone : 2 * alone, 0] = 0
    return made


def coloured(held: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    return np.rint(240 * np.exp(-held @ vectors)).astype(np.uint8)


def test_density_is_the_logarithm_of_what_is_let_through() -> None:
    assert density(np.array([[240, 24, 0]], np.uint8))[0] == pytest.approx(
        [0, 2.302585, 5.480639], abs=1e-5
    )


def test_stains_are_found_again() -> None:
    # A tenth of the light is let through of an amount where eosin absorbs: rounding to 8 bits is
    # small. Eosin of Ruifrok has little red, so its pixels would be thin; this one has more.
    found = find_stains(coloured(amounts(), SOFT))
    cosines = (found.vectors * SOFT).sum(1)
    assert (cosines > 0.999).all()
    assert np.linalg.norm(found.vectors, axis=1) == pytest.approx([1, 1])
    assert found.amounts == pytest.approx(np.percentile(amounts(), 99, 0), rel=0.05)


def test_two_slides_of_the_same_tissue_become_one() -> None:
    held = amounts()
    one, other = coloured(held, SOFT), coloured(0.8 * held * [1, 0.9], OTHER)
    made = []
    for pixels in (one, other):
        tiles = np.moveaxis(pixels.reshape(2, 100, 100, 3), -1, 1)
        made.append(normalised(tiles, find_stains(pixels), REFERENCE).astype(int))
    before = np.abs(one.astype(int) - other).mean()
    assert before > 10
    assert np.abs(made[0] - made[1]).mean() < before / 5


def test_the_formula_of_one_pixel() -> None:
    # Amounts 0.5 and 0.8 of own stains, whose scales are 1 and 2; wanted are 2 and 1: amounts
    # become 1 and 0.4.
    own = Stains(SOFT, np.array([1.0, 2.0]))
    wanted = Stains(KNOWN, np.array([2.0, 1.0]))
    tile = coloured(np.array([[0.5, 0.8]]), SOFT).reshape(1, 3, 1, 1)
    expected = 240 * np.exp(-(1.0 * KNOWN[0] + 0.4 * KNOWN[1]))
    assert normalised(tile, own, wanted)[0, :, 0, 0] == pytest.approx(expected, abs=2.5)


def test_a_slide_in_the_references_stains_stays() -> None:
    held = amounts()
    held *= REFERENCE.amounts / np.percentile(held, 99, 0)
    pixels = coloured(held, REFERENCE.vectors)
    tiles = np.moveaxis(pixels.reshape(2, 100, 100, 3), -1, 1)
    made = normalised(tiles, find_stains(pixels), REFERENCE)
    assert np.abs(made.astype(int) - tiles).mean() < 4


@pytest.mark.parametrize(
    "pixels",
    [
        np.full((2000, 3), 240, np.uint8),
        np.full((2000, 3), 90, np.uint8),
        np.tile(np.array([[100, 60, 120]], np.uint8), (400, 1)),
    ],
)
def test_what_tells_no_two_stains_is_refused(pixels: np.ndarray) -> None:
    with pytest.raises(DataError, match="no-stains"):
        find_stains(pixels)
