"""Pictures of slides: ink lies where the attention is, whatever the overview's size."""

import numpy as np

from medray.modalities.slide.pages import INK, attended
from medray.storage.shards.samples import Sample


def test_ink_lies_on_the_tiles_that_are_attended() -> None:
    # A slide of 100 x 60 pixels in tiles of 20, seen at 50 x 30: a tile is ten pixels.
    overview = np.full((3, 30, 50), 200, np.uint8)
    overview[0] = 230
    heat = np.full((3, 3, 5), np.nan, np.float32)
    heat[0, 1, 3], heat[0, 2, 4], heat[0, 0, 0] = 4.0, 1.0, 0.0
    made = attended(overview, Sample("a", {"side": 20.0, "width": 100}, {"heat": heat}))
    assert made[:, 15, 35].tolist() == INK.tolist()
    assert (made[:, 10:20, 30:40] == made[:, 15:16, 35:36]).all()
    assert made[:, 0, 0].tolist() == [210, 210, 210]
    # A quarter of the way from 210 to (220, 30, 0).
    assert made[:, 29, 49].tolist() == [212, 165, 158]
    assert (made == 210).all(0).sum() == 30 * 50 - 200
