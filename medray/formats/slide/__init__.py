"""Slides of stained tissue: SVS, pyramidal TIFF, OME-TIFF and DICOM, as tiles of their tissue."""

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field, field_validator, model_validator

from medray.errors import DataError
from medray.formats.base import Format, FormatOptions, Found, Input, Source
from medray.formats.files import open_path
from medray.formats.imaging.values import check_pattern, subject_of
from medray.formats.packed import grouped
from medray.formats.slide.arrays import ARRAYS, SLAB_BYTES, summed
from medray.formats.slide.sources import DICOM, plan_slides
from medray.formats.slide.tiff import open_tiff
from medray.formats.slide.tiles import Grid
from medray.formats.slide.wsi import open_wsi
from medray.storage.shards.holds import Holds, named, names
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Sample, Slabs
from medray.storage.shards.schema import Arrays

MOST_TILES = 4_000_000

__all__ = ["Slides"]


class SlideOptions(FormatOptions):
    """Which tiles of slides are taken, and what is known of slides."""

    mpp: float | None = Field(
        0.5, gt=0, le=100, description="micrometres a pixel of tiles; null: the finest level's"
    )
    slide_mpp: float | None = Field(
        None, gt=0, le=100, description="micrometres a pixel of slides that do not tell"
    )
    tile: int = Field(256, ge=8, le=2048, description="pixels along a tile's side")
    saturation: float | None = Field(
        None, ge=0, le=1, description="from which on a pixel is tissue; null: by Otsu's method"
    )
    least_saturation: float = Field(
        0.05, ge=0, le=1, description="what Otsu's threshold is never below: glass has noise"
    )
    min_tissue: float = Field(
        0.25, ge=0, le=1, description="share of tissue from which on a tile is taken"
    )
    layout: Literal["plain", "folders", "csv"] = "plain"
    classes: tuple[str, ...] = Field((), description="folders, csv: names of the classes, in order")
    table: str = Field("labels.csv", description="csv: the table, below the source")
    file_column: str = Field("file", description="csv: column with the slide's path")
    label_column: str = Field("label", description="csv: column with the class's name")
    subject_pattern: str = Field(
        "", description="regular expression whose first group in a slide's name is its subject"
    )

    _pattern = field_validator("subject_pattern")(check_pattern)

    @model_validator(mode="after")
    def _labelled(self) -> "SlideOptions":
        if self.layout == "csv" and not self.classes:
            raise ValueError("`csv` needs `classes`, by the names in the table")
        return self


class Slides(Format):
    """One sample a slide: its tiles with tissue, and where they lie.

    Arrays: `tiles` uint8 (tile, 3, side, side); `places` int32 (tile, 2), row and column of each in
    the grid of tiles; `overview` uint8 (3, height, width), the slide, small, and `tissue` uint8
    (height, width), 1 where there is some. Rows have `width` and `height` of the finest level in
    pixels, its `slide_mpp`; `level`, `mpp`, `tile` and `side` (of a tile, in pixels of the finest
    level); `rows`, `columns`, `tiles` taken, `tiles_without_tissue`, `damaged` (numbers of tiles
    that could not be read, which are white); `saturation`, the threshold; `tile_mean` and
    `tile_std` of each colour over all tiles that could be read; and `target`, `class_name`, `split`
    where they are told. Nothing else of the file is kept, and pictures of its label never.
    """

    name: ClassVar[str] = "slide"
    Options: ClassVar[type[FormatOptions]] = SlideOptions
    libraries: ClassVar[tuple[str, ...]] = ("tifffile", "imagecodecs", "pydicom")
    options: SlideOptions

    def arrays(self) -> Arrays:
        """See the class."""
        return ARRAYS

    def holds(self) -> Holds:
        """Tiles, with classes where the layout says so."""
        told = () if self.options.layout == "plain" else ("target", "class_name", "split")
        own = names(
            ("subject", "has_label", "kind", "width", "height", "slide_mpp", "level", "mpp"),
            ("tile", "side", "rows", "columns", "tiles", "tiles_without_tissue", "damaged"),
            ("saturation", "tissue_share", "tile_mean", "tile_std"),
        )
        classes = self.options.classes or None
        return Holds(named(self.arrays()), own | names(told), classes=classes)

    def named(self) -> list[tuple[str, str]]:
        """The table, where there is one."""
        return [("table", self.options.table)] if self.options.layout == "csv" else []

    def plan(self, source: Source) -> Found:
        """Slides by name; each is a unit of its own."""
        options = self.options
        columns = (options.file_column, options.label_column)
        table = options.table if options.layout == "csv" else None
        found, refused = plan_slides(
            source, options.classes, table, columns, folders=options.layout == "folders"
        )
        return Found(grouped(found, samples=1), refused)

    def read(self, source: Source, item: Input) -> Iterator[Sample | Refusal]:
        """The sample, and a refusal of each tile that is damaged.

        Raises:
            DataError: "no-mpp", "too-coarse", "no-tissue", "too-many-tiles", "damaged-slide", and
                what medray.formats.slide.tiff and wsi add.
        """
        name = str(item.extra["id"])
        paths = [open_path(source, path) for path in item.paths]
        dicom = paths[0].name.lower().endswith(DICOM)
        with open_wsi(paths) if dicom else open_tiff(paths[0]) as slide:
            grid = self._grid(slide.mpp, slide)
            sample = self._sample(name, grid, item.extra)
            yield sample
        for number in grid.damaged:
            row, column = (int(n) for n in np.asarray(sample.arrays["places"])[number])
            error = DataError(
                f"the tile in row {row}, column {column} is damaged",
                code="damaged-tile",
                hint="it is left out; copy the slide again from the scanner's archive",
            )
            yield Refusal.of(item.key, error, sample=f"{name}:{row}:{column}")

    def _grid(self, told: float | None, slide: Any) -> Grid:
        finest = self.options.slide_mpp if told is None else told
        if finest is None:
            raise DataError(
                "the slide does not tell the size of its pixels",
                code="no-mpp",
                hint="give it by `slide_mpp`, in micrometres",
            )
        grid = Grid.of(slide, finest, self.options.mpp, self.options.tile)
        if grid.rows * grid.columns > MOST_TILES:
            raise DataError(
                f"the slide has {grid.rows * grid.columns} tiles",
                code="too-many-tiles",
                hint="ask for a coarser `mpp` or a larger `tile`",
            )
        return grid

    def _sample(self, name: str, grid: Grid, extra: dict[str, Any]) -> Sample:
        options, base = self.options, grid.slide.levels[0]
        tissue = grid.tissue(options.saturation, options.least_saturation)
        places = grid.chosen(tissue, options.min_tissue)
        if not len(places):
            raise DataError(
                "no tile of the slide has enough tissue",
                code="no-tissue",
                hint="lower `min_tissue` or `saturation` if there is some",
            )
        row: dict[str, Any] = {
            "subject": subject_of(name, options.subject_pattern),
            "has_label": "target" in extra,
            "kind": grid.slide.kind,
            "width": base.width,
            "height": base.height,
            "slide_mpp": grid.finest,
            "level": grid.level,
            "mpp": grid.mpp,
            "tile": grid.tile,
            "side": grid.side,
            "rows": grid.rows,
            "columns": grid.columns,
            "tiles": len(places),
            "tiles_without_tissue": grid.rows * grid.columns - len(places),
            "saturation": tissue.threshold,
            "tissue_share": float(tissue.mask.mean()),
            **{key: extra[key] for key in ("target", "class_name", "split") if key in extra},
        }
        shape = (len(places), 3, grid.tile, grid.tile)
        parts = summed(grid.slabs(places), grid.damaged, row)
        tiles = Slabs(shape, np.dtype(np.uint8), 0, parts)
        # In memory where they are few; all of them are read before the row is looked at, else.
        few = 3 * grid.tile**2 * len(places) <= SLAB_BYTES
        arrays: dict[str, np.ndarray | Slabs] = {
            "tiles": np.concatenate(list(parts)) if few else tiles,
            "places": places,
            "overview": np.ascontiguousarray(np.moveaxis(tissue.overview, -1, 0)),
            "tissue": tissue.mask.astype(np.uint8),
        }
        return Sample(name, row, arrays)
