"""Tiles of a slide, read where they are wanted: a box of a level, scaled to the tile's size.

A level whose resolution is within 2 % of what is asked for is read as it is. Any other is scaled
down by Pillow's antialiased bilinear filter (a triangle as wide as the step), over the box's exact
edges, which need not fall between pixels.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from PIL import Image as Pillow

from medray.errors import DataError
from medray.formats.slide.arrays import SLAB_BYTES
from medray.formats.slide.levels import LIKE, Array, Slide
from medray.formats.slide.tissue import Tissue, find_tissue


@dataclass
class Grid:
    """The tiles of a slide at one resolution, from its upper left corner on, side by side.

    Args:
        slide: that is open.
        level: that is read.
        mpp: micrometres a pixel of a tile.
        tile: pixels along a tile's side.
        side: pixels of the finest level along it.
        finest: micrometres a pixel of the finest level.
    """

    slide: Slide
    level: int
    mpp: float
    tile: int
    side: float
    finest: float
    damaged: list[int] = field(default_factory=list)
    """Numbers of tiles, among those that were read, that could not be decoded; they are white."""

    @classmethod
    def of(cls, slide: Slide, finest: float, wanted: float | None, tile: int) -> "Grid":
        """The grid of a resolution.

        Args:
            slide: that is open.
            finest: micrometres a pixel of the finest level.
            wanted: that are asked for; None: those of the finest level.
            tile: pixels along a tile's side.

        Raises:
            DataError: no level is as fine (code "too-coarse").
        """
        level = slide.choose(finest, wanted)
        own = finest * slide.zoom(level)
        mpp = own if wanted is None or abs(own - wanted) <= LIKE * wanted else wanted
        return cls(slide, level, mpp, tile, tile * mpp / finest, finest)

    @property
    def rows(self) -> int:
        """Tiles from top to bottom, the last one maybe cut."""
        return math.ceil(self.slide.levels[0].height / self.side - 1e-6)

    @property
    def columns(self) -> int:
        """Tiles from left to right, the last one maybe cut."""
        return math.ceil(self.slide.levels[0].width / self.side - 1e-6)

    def tissue(self, threshold: float | None, least: float) -> Tissue:
        """See find_tissue."""
        return find_tissue(self.slide, self.side, threshold, least)

    def chosen(self, tissue: Tissue, least: float) -> Array:
        """Tiles with at least such a share of tissue, int32 (tiles, 2): row and column, by rows."""
        width = self.slide.levels[0].width
        share = tissue.share(self.side, self.rows, self.columns, width)
        made: Array = np.argwhere(share >= max(least, 1e-9)).astype(np.int32)
        return made

    def read(self, row: int, column: int) -> Array:
        """A tile, uint8 (3, tile, tile), white beyond the slide.

        Raises:
            DataError: a segment of the slide is damaged (code "damaged-tile").
        """
        side = self.side / self.slide.zoom(self.level)
        left, top = column * side, row * side
        if abs(side - self.tile) <= 1e-6 * self.tile:
            x, y = round(left), round(top)
            pixels = self.slide.levels[self.level].box(x, y, x + self.tile, y + self.tile)
        else:
            x, y = math.floor(left), math.floor(top)
            right, bottom = math.ceil(left + side), math.ceil(top + side)
            whole = Pillow.fromarray(self.slide.levels[self.level].box(x, y, right, bottom))
            exact = (left - x, top - y, left - x + side, top - y + side)
            size = (self.tile, self.tile)
            pixels = np.asarray(whole.resize(size, Pillow.Resampling.BILINEAR, exact))
        made: Array = np.ascontiguousarray(np.moveaxis(pixels, -1, 0))
        return made

    def slabs(self, places: Array) -> Iterator[Array]:
        """Tiles in order, uint8 (some, 3, tile, tile), about 16 MiB at a time; those that are
        damaged are white, and noted in `damaged`.

        Args:
            places: (tiles, 2), row and column of each.

        Raises:
            DataError: all of them are damaged (code "damaged-slide").
        """
        many = max(1, SLAB_BYTES // (3 * self.tile**2))
        for start in range(0, len(places), many):
            some = places[start : start + many].tolist()
            slab = np.full((len(some), 3, self.tile, self.tile), 255, np.uint8)
            for at, (row, column) in enumerate(some):
                try:
                    slab[at] = self.read(row, column)
                except DataError as error:
                    if error.code != "damaged-tile":
                        raise
                    self.damaged.append(start + at)
            if len(self.damaged) == len(places):
                raise DataError("every tile of the slide is damaged", code="damaged-slide")
            yield slab
