"""Stain normalisation of Macenko et al. (2009): a slide's two stains, and another's instead.

Optical density, -ln(I / 240), is linear in the amount of each stain (Beer and Lambert's law), so
densities of tissue stained twice lie in a plane. Its axes are the first two eigenvectors of their
covariance; the stains are the robust extremes of the angle in it (percentiles 1 and 99), of pixels
denser than 0.15 in each colour. Amounts follow by least squares; their 99th percentile is the scale
of each stain.
"""

from typing import NamedTuple

import numpy as np

from medray.errors import DataError

LIGHT = 240.0  # of what lets all light through
THIN = 0.15  # density of a colour that is no tissue's
EXTREME = 1.0  # percent of pixels beyond each stain's angle
FULL = 99.0  # percentile of amounts that is a stain's scale
LEAST_PIXELS = 500  # of tissue that tell two stains
LEAST_ANGLE = 0.05  # radians between them


class Stains(NamedTuple):
    """Two stains, haematoxylin first.

    Args:
        vectors: density of each colour for an amount of 1, float (2, 3), of length 1.
        amounts: at percentile 99 of pixels, float (2,).
    """

    vectors: np.ndarray
    amounts: np.ndarray


def density(pixels: np.ndarray) -> np.ndarray:
    """Optical density of colours uint8 (…, 3); black counts as 1 of 240."""
    made: np.ndarray = -np.log(np.maximum(pixels.astype(np.float32), 1) / LIGHT)
    return made


def find_stains(pixels: np.ndarray) -> Stains:
    """The stains of a slide.

    Args:
        pixels: of its tissue, uint8 (pixels, 3).

    Raises:
        DataError: too few are stained, or by one stain alone (code "no-stains").
    """
    found = density(pixels).astype(np.float64)
    dense = found[(found >= THIN).all(1)]
    if len(dense) < LEAST_PIXELS:
        raise _unstained()
    _, axes = np.linalg.eigh(np.cov(dense.T))
    plane = axes[:, :0:-1]  # the largest first
    plane = plane * np.where(plane.mean(0) < 0, -1, 1)  # so that angles don't wrap
    along = dense @ plane
    angles = np.arctan2(along[:, 1], along[:, 0])
    ends = np.percentile(angles, [EXTREME, 100 - EXTREME])
    if ends[1] - ends[0] < LEAST_ANGLE:
        raise _unstained()
    vectors = np.array([plane @ (np.cos(angle), np.sin(angle)) for angle in ends])
    if (vectors.sum(1) <= 0).any():
        raise _unstained()
    # Haematoxylin is blue, so it takes more of the red.
    vectors = vectors[np.argsort(-vectors[:, 0])]
    amounts = np.percentile(_amounts(dense, vectors), FULL, axis=0)
    if not (amounts > 0).all():
        raise _unstained()
    return Stains(vectors, amounts)


def normalised(tiles: np.ndarray, own: Stains, wanted: Stains) -> np.ndarray:
    """Tiles with the amounts of their own stains, scaled, in the colours of others.

    Args:
        tiles: uint8 (tiles, 3, height, width).
        own: of the slide.
        wanted: of the slide that it shall look like.
    """
    flat = density(np.moveaxis(tiles, 1, -1)).reshape(-1, 3)
    scale = wanted.amounts / own.amounts
    turn = (np.linalg.pinv(own.vectors) * scale @ wanted.vectors).astype(np.float32)
    light = LIGHT * np.exp(-(flat @ turn))
    whole = np.clip(np.rint(light), 0, 255).astype(np.uint8)
    colours_last = whole.reshape(len(tiles), *tiles.shape[2:], 3)
    return np.ascontiguousarray(np.moveaxis(colours_last, -1, 1))


def _amounts(dense: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    made: np.ndarray = dense @ np.linalg.pinv(vectors)
    return made


def _unstained() -> DataError:
    return DataError(
        "the slide's pixels don't tell two stains apart",
        code="no-stains",
        hint="leave the slide out, or learn from it as it is",
    )
