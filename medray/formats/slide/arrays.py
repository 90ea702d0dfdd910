"""What samples of slides hold, and what is summed up while their tiles pass."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from medray.storage.shards.schema import ArraySpec, Axis

SLAB_BYTES = 16 * 2**20
_Y, _X, _C = Axis("y", "index"), Axis("x", "index"), Axis("c", "channel")
_TILE = Axis("tile")
ARRAYS = {
    "tiles": ArraySpec((_TILE, _C, _Y, _X), ("uint8",), chunk=(1, None, None, None)),
    "places": ArraySpec((_TILE, Axis("axis")), ("int32",), chunk=(2**16, None)),
    "overview": ArraySpec((_C, _Y, _X), ("uint8",), chunk=(None, None, None)),
    "tissue": ArraySpec((_Y, _X), ("uint8",), chunk=(None, None)),
}


def sound(damaged: Sequence[int] | None, tiles: int) -> np.ndarray:
    """Numbers of the tiles that could be read, int64, of as many; `damaged` as a row has it."""
    keep = np.ones(tiles, bool)
    keep[list(damaged or ())] = False
    return np.flatnonzero(keep)


def summed(
    slabs: Iterable[np.ndarray], damaged: Sequence[int], row: dict[str, Any]
) -> Iterator[np.ndarray]:
    """The slabs of a slide's tiles as they are; once they have passed, `row` holds `damaged`, and
    `tile_mean` and `tile_std` of each colour over the tiles that could be read.

    Args:
        slabs: uint8 (some, 3, side, side), all tiles in order.
        damaged: numbers of tiles that could not be read; those of a slab are in it when it comes.
        row: of the sample.
    """
    pixels, sums, squares, seen = 0, np.zeros(3), np.zeros(3), 0
    values = np.arange(256.0)
    for slab in slabs:
        bad = {number - seen for number in damaged}
        good = slab[[at not in bad for at in range(len(slab))]]
        seen += len(slab)
        for colour in range(3):
            counts = np.bincount(good[:, colour].reshape(-1), minlength=256)
            sums[colour] += counts @ values
            squares[colour] += counts @ values**2
        pixels += good.size // 3
        yield slab
    mean = sums / pixels
    row["damaged"] = list(damaged)
    row["tile_mean"] = mean.tolist()
    row["tile_std"] = np.sqrt(np.maximum(squares / pixels - mean**2, 0)).tolist()
