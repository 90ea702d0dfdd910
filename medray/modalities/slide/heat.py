"""Maps of slides: what a model says of each tile, a pixel a tile, where the tile lies."""

import numpy as np

from medray.modalities.slide.plan import SlidePlan
from medray.storage.shards.forms.ome import C, X, Y
from medray.storage.shards.samples import Sample
from medray.storage.shards.schema import ArraySpec

HEAT = ArraySpec((C, Y, X), ("float32",), form="ome")
ATTENTION = "attention"


def heat_of(
    sample: Sample,
    places: np.ndarray,
    attention: np.ndarray,
    probability: np.ndarray,
    plan: SlidePlan,
) -> None:
    """Give a prediction its map: `heat` float32 (1 + classes, rows, columns), NaN where no tile was
    read. The first channel is a tile's attention, of which 1 is an even share; the others are the
    probability of each class for the tile alone. The row says `heat_channels`, and by `spacing_mm`
    how large a tile is.

    Args:
        sample: the prediction; its row has the slide's `rows`, `columns`, `side` and `slide_mpp`.
        places: row and column of each tile, int32 (tiles, 2).
        attention: of each tile, adding up to 1.
        probability: (tiles, classes).
        plan: of the model.
    """
    row = sample.row
    heat = np.full((1 + len(plan.classes), row["rows"], row["columns"]), np.nan, np.float32)
    down, across = places.T
    heat[0, down, across] = attention * len(attention)
    heat[1:, down, across] = probability.T
    sample.arrays["heat"] = heat
    row["heat_channels"] = [ATTENTION, *plan.classes]
    row["spacing_mm"] = [row["side"] * row["slide_mpp"] / 1000] * 2
