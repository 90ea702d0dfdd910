"""Where on a slide there is tissue: a small overview, and Otsu's threshold on its saturation.

Glass is grey or white, stained tissue is coloured. Saturation is that of HSV, (max - min) / max of
a pixel's colours (Smith 1978); the threshold parts its histogram into two classes that differ most
(Otsu 1979), and is never below a floor, so that the noise of empty glass is no tissue.
"""

from dataclasses import dataclass

import numpy as np

from medray.formats.slide.levels import Array, Box, Level, Slide

CELL = 8  # pixels of the overview along a tile, at least
OVERVIEW_PIXELS = 2**22  # of an overview at most: 2048 x 2048
BAND_BYTES = 32 * 2**20  # of a level that are held while they are averaged


@dataclass(frozen=True)
class Tissue:
    """What an overview says.

    Args:
        overview: the slide, small, uint8 (height, width, 3).
        mask: where there is tissue, bool (height, width).
        threshold: saturation from which on a pixel is tissue, 0 to 1.
    """

    overview: Array
    mask: Array
    threshold: float

    def share(self, tile: float, rows: int, columns: int, width: float) -> Array:
        """Share of tissue of each tile of a grid, float64 (rows, columns), tiles being cut at the
        slide's edge.

        Args:
            tile: side of a tile, in pixels of the finest level.
            rows: of the grid.
            columns: of the grid.
            width: of the finest level, in its pixels.
        """
        scale = self.mask.shape[1] / width
        sums = np.zeros((self.mask.shape[0] + 1, self.mask.shape[1] + 1))
        sums[1:, 1:] = self.mask.cumsum(0).cumsum(1)

        def edges(count: int, most: int) -> tuple[Array, Array]:
            ends = np.arange(count + 1) * tile * scale
            low = np.clip(np.floor(ends[:-1]).astype(int), 0, most - 1)
            return low, np.clip(np.ceil(ends[1:]).astype(int), low + 1, most)

        top, bottom = (one[:, None] for one in edges(rows, self.mask.shape[0]))
        left, right = edges(columns, self.mask.shape[1])
        found = sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]
        made: Array = found / ((bottom - top) * (right - left))
        return made


def find_tissue(slide: Slide, tile: float, threshold: float | None, least: float) -> Tissue:
    """Tissue of a slide, by the coarsest level that is fine enough.

    Args:
        slide: that is open.
        tile: side of a tile, in pixels of the finest level; 8 pixels of the overview, or more.
        threshold: of saturation; None: Otsu's.
        least: what Otsu's is never below.

    What of that level is damaged counts as tissue: nobody knows that it is none.
    """
    base = slide.levels[0]
    step = max(1.0, tile / CELL, (base.width * base.height / OVERVIEW_PIXELS) ** 0.5)
    level = max(
        (n for n in range(len(slide.levels)) if slide.zoom(n) <= step * 1.01), key=slide.zoom
    )
    by, lost = max(1, int(step / slide.zoom(level))), list[Box]()
    overview = shrunk(slide.levels[level], by, lost)
    coloured = saturation(overview)
    found = max(otsu(coloured), least) if threshold is None else threshold
    mask = coloured >= found * 255
    for left, top, right, bottom in lost:
        mask[top // by : -(-bottom // by), left // by : -(-right // by)] = True
    return Tissue(overview, mask, found)


def shrunk(level: Level, by: int, lost: list[Box]) -> Array:
    """A level with means of `by` x `by` pixels for one, read band by band, uint8 (h, w, 3); what is
    left over at the right and at the bottom is averaged by itself. `lost` is as of Level.box."""
    height, width = -(-level.height // by), -(-level.width // by)
    out = np.empty((height, width, 3), np.uint8)
    deep = max(1, BAND_BYTES // (3 * by * by * width))
    for start in range(0, height, deep):
        stop = min(start + deep, height)
        top, bottom = start * by, min(stop * by, level.height)
        pixels = level.box(0, top, level.width, bottom, lost).astype(np.float32)
        rows, columns = np.arange(0, bottom - top, by), np.arange(0, level.width, by)
        sums = np.add.reduceat(np.add.reduceat(pixels, rows, 0), columns, 1)
        tall = np.diff([*rows, bottom - top])[:, None, None]
        wide = np.diff([*columns, level.width])[None, :, None]
        out[start:stop] = np.rint(sums / (tall * wide))
    return out


def saturation(pixels: Array) -> Array:
    """Of HSV, uint8 (…,) of 0 to 255, of colours uint8 (…, 3); of black it is 0."""
    most = pixels.max(-1).astype(np.float32)
    spread = most - pixels.min(-1)
    made: Array = np.rint(255 * spread / np.maximum(most, 1)).astype(np.uint8)
    return made


def otsu(values: Array) -> float:
    """The lowest value of the upper class, ÷ 255, where the variance between both classes of
    values uint8 is largest (Otsu 1979); 1 where all are equal."""
    counts = np.bincount(values.reshape(-1), minlength=256).astype(float)
    below = counts.cumsum()[:-1]
    above = counts.sum() - below
    weighed = counts * np.arange(256)
    low = weighed.cumsum()[:-1]
    high = weighed.sum() - low
    apart = np.zeros(255)
    both = (below > 0) & (above > 0)
    apart[both] = (below * above)[both] * (low[both] / below[both] - high[both] / above[both]) ** 2
    return float(apart.argmax() + 1) / 255 if both.any() else 1.0
