"""Maps of slides as files: what a model says of each tile, where the tile lies."""

from typing import Any, NamedTuple

import numpy as np

from medray.errors import DataError
from medray.storage.shards.holds import Needs, names
from medray.storage.shards.samples import Sample, Slabs

HEAT = "heat"
NEEDS = Needs(
    (names(HEAT),),
    names("heat_channels", "side", "width", "height", "slide_mpp"),
    hint="predict slides with a model of slides, with `heat: true`",
)


class Map(NamedTuple):
    """A map of a slide.

    Args:
        values: float32 (channels, rows, columns), NaN where no tile was read.
        channels: their names: the attention, then classes.
        side: of a tile, in pixels of the slide's finest level.
        size: width and height of that level in pixels.
        mpp: micrometres a pixel of it.
    """

    values: np.ndarray
    channels: list[str]
    side: float
    size: tuple[int, int]
    mpp: float


def map_of(sample: Sample) -> Map:
    """The map of a prediction.

    Raises:
        DataError: it has none (code "no-heat").
    """
    values, row = sample.arrays.get(HEAT), sample.row
    told: list[Any] = [row.get(name) for name in ("side", "width", "height", "slide_mpp")]
    names = row.get("heat_channels") or []
    whole = isinstance(values, np.ndarray) and values.ndim == 3 and len(values) == len(names)
    if values is None or isinstance(values, Slabs) or not whole or None in told:
        raise DataError(
            "the sample has no map of a slide",
            code="no-heat",
            about=sample.id,
            hint="predict slides with a model of slides, with `heat: true`",
        )
    side, width, height, mpp = told
    return Map(values, list(names), float(side), (int(width), int(height)), float(mpp))
