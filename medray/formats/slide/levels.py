"""A slide as its levels: the same picture at several resolutions, read box by box."""

import math
import struct
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from medray.errors import DataError

Array = np.ndarray[Any, Any]
Box = tuple[int, int, int, int]
"""Left, top, right and bottom, the last two behind it, in pixels of a level."""

WHITE = 255  # where a slide stores nothing: background, as glass without tissue is
SEGMENT_PIXELS = 2**24  # of a stored tile or strip at most: 48 MiB of colours
CACHE_BYTES = 128 * 2**20  # of decoded segments: a row of them at a width of 170,000 pixels
LIKE = 0.02  # by which resolutions may differ and still count as the same
# Whatever parsers and decoders raise on damaged files.
DAMAGE = (
    OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, EOFError, OverflowError,
    AttributeError, AssertionError, RuntimeError, ZeroDivisionError, MemoryError, struct.error,
)  # fmt: skip


class Level(ABC):
    """One resolution, stored in segments (tiles or strips) of one size.

    Args:
        width: pixels.
        height: pixels.
        segment: (height, width) of a segment, in pixels.

    Raises:
        DataError: it has no pixels, or segments no reader should allocate ("damaged-slide").
    """

    def __init__(self, width: int, height: int, segment: tuple[int, int]) -> None:
        if min(width, height, *segment) < 1 or math.prod(segment) > SEGMENT_PIXELS:
            raise DataError("a level's sizes are out of range", code="damaged-slide")
        self.width, self.height, self.segment = width, height, segment
        self._kept: OrderedDict[tuple[int, int], Array] = OrderedDict()

    @abstractmethod
    def decode(self, row: int, column: int) -> Array | None:
        """A segment's pixels, uint8 (height, width, 3), which may be cut at the level's edge; None
        where the slide stores nothing.

        Raises:
            DataError: it is damaged (code "damaged-tile").
        """

    def box(
        self, left: int, top: int, right: int, bottom: int, lost: list[Box] | None = None
    ) -> Array:
        """Pixels of a box, uint8 (bottom - top, right - left, 3), white beyond the level.

        Args:
            left: first column of pixels.
            top: first row.
            right: first column behind it.
            bottom: first row below it.
            lost: takes the boxes of damaged segments, which are white then.

        Raises:
            DataError: a segment is damaged (code "damaged-tile"), and nothing takes it.
        """
        out = np.full((bottom - top, right - left, 3), WHITE, np.uint8)
        tall, wide = self.segment
        x0, y0 = max(0, left), max(0, top)
        x1, y1 = min(right, self.width), min(bottom, self.height)
        for row in range(y0 // tall, -(-y1 // tall)):
            for column in range(x0 // wide, -(-x1 // wide)):
                at_y, at_x = row * tall, column * wide
                try:
                    pixels = self._segment(row, column)
                except DataError:
                    if lost is None:
                        raise
                    lost.append((at_x, at_y, at_x + wide, at_y + tall))
                    continue
                low_y, low_x = max(y0, at_y), max(x0, at_x)
                high_y = min(y1, at_y + pixels.shape[0])
                high_x = min(x1, at_x + pixels.shape[1])
                if high_y > low_y and high_x > low_x:
                    out[low_y - top : high_y - top, low_x - left : high_x - left] = pixels[
                        low_y - at_y : high_y - at_y, low_x - at_x : high_x - at_x
                    ]
        return out

    def _segment(self, row: int, column: int) -> Array:
        key = row, column
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        found = self.decode(row, column)
        pixels = np.full((1, 1, 3), WHITE, np.uint8) if found is None else found
        self._kept[key] = pixels
        most = max(1, CACHE_BYTES // (3 * math.prod(self.segment)))
        while len(self._kept) > most:
            self._kept.popitem(last=False)
        return pixels


@dataclass(frozen=True)
class Slide:
    """An opened slide.

    Args:
        levels: the finest first.
        mpp: micrometres a pixel of the finest; None: the file does not tell.
        kind: what the file is, for people.
    """

    levels: Sequence[Level]
    mpp: float | None
    kind: str

    def zoom(self, level: int) -> float:
        """Pixels of the finest level along one of a level."""
        return self.levels[0].width / self.levels[level].width

    def choose(self, finest: float, wanted: float | None) -> int:
        """The level that is read for a resolution: the coarsest that is as fine, or 2 % coarser.

        Args:
            finest: micrometres a pixel of the finest level.
            wanted: micrometres a pixel that are asked for; None: the finest level.

        Raises:
            DataError: no level is as fine (code "too-coarse").
        """
        if wanted is None:
            return 0
        fine = [n for n in range(len(self.levels)) if finest * self.zoom(n) <= wanted * (1 + LIKE)]
        if not fine:
            raise DataError(
                f"the slide has {finest:.4g} micrometres a pixel, which is coarser than {wanted:g}",
                code="too-coarse",
                hint="ask for a coarser `mpp`, or leave the slide out",
            )
        return max(fine, key=self.zoom)


def spacing(x: float | None, y: float | None) -> float | None:
    """Micrometres a pixel of a slide, by those along both axes; None where it is not told.

    Raises:
        DataError: pixels are not square (code "uneven-pixels").
    """
    if x is None or y is None or not all(math.isfinite(n) and 1e-3 < n < 1e3 for n in (x, y)):
        return None
    if abs(x - y) > LIKE * max(x, y):
        raise DataError(
            "the slide's pixels are not square",
            code="uneven-pixels",
            hint="resample it at the source",
        )
    return (x + y) / 2


@contextmanager
def damage(code: str = "damaged-slide") -> Iterator[None]:
    """Turn what parsers raise into a DataError of this code; what they quote is left out."""
    try:
        yield
    except DAMAGE as error:
        what = "a tile of the slide" if code == "damaged-tile" else "the slide"
        reason = f"{what} is damaged or cut short ({type(error).__name__})"
        raise DataError(reason, code=code) from error
