"""Slides in the colours of one stain, each by its own."""

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
from pydantic import Field, model_validator

from medray.formats.slide.arrays import ARRAYS, SLAB_BYTES, sound, summed
from medray.formats.slide.stain import Stains, find_stains, normalised
from medray.steps.transform.transforms.base import Transformation, TransformOptions
from medray.storage.shards.holds import Holds, Needs, named, names
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Sample, Slabs
from medray.storage.shards.schema import Arrays
from medray.storage.shards.stored import Sliceable, Stored

LOOKED_AT = 64  # tiles of a slide that tell its stains
PIXELS = 4096  # of each of them
Vector = tuple[float, float, float]


class StainOptions(TransformOptions):
    """The stains that all slides get: by default those of the slide that the method's authors
    normalised to, as their programs hand them on."""

    vectors: tuple[Vector, Vector] = Field(
        ((0.5626, 0.7201, 0.4062), (0.2159, 0.8012, 0.5581)),
        description="density of red, green and blue of haematoxylin and of eosin; as the method's "
        "authors have them",
    )
    amounts: tuple[float, float] = Field(
        (1.9705, 1.0308),
        description="of each stain, at percentile 99 of a slide's pixels",
    )

    @model_validator(mode="after")
    def _positive(self) -> "StainOptions":
        flat = [*self.vectors[0], *self.vectors[1], *self.amounts]
        if min(flat) < 0 or not all(sum(one) > 0 for one in (*self.vectors, self.amounts)):
            raise ValueError("densities and amounts are above 0")
        return self


class Stain(Transformation):
    """A slide to the same slide with its stains normalised by Macenko's method, tile by tile.

    Its stains are found in 4,096 pixels of each of 64 tiles, evenly spread, and stand in the row as
    `stain_vectors` and `stain_amounts`. All else is as it was.
    """

    name: ClassVar[str] = "stain"
    Options: ClassVar[type[TransformOptions]] = StainOptions
    options: StainOptions

    @classmethod
    def needs(cls, options: StainOptions, role: str = "") -> Needs:
        """Slides."""
        return Needs((names("tiles"), names("places")), hint="ingest slides by the format `slide`")

    @classmethod
    def arrays(cls, options: StainOptions, using: frozenset[str]) -> Arrays:
        """Those of slides."""
        return ARRAYS

    @classmethod
    def holds(cls, options: StainOptions, using: frozenset[str]) -> Holds:
        """Columns of the slide go along, and only the data know which there are."""
        return Holds(named(ARRAYS))

    def apply(self, sample: Stored) -> Iterator[Sample | Refusal]:
        """The slide.

        Raises:
            DataError: its pixels don't tell two stains (code "no-stains").
        """
        tiles = sample.array("tiles")
        damaged = list(sample.row.get("damaged") or ())
        own = find_stains(_pixels(tiles, sound(damaged, tiles.shape[0])))
        wanted = Stains(*(np.array(one) for one in (self.options.vectors, self.options.amounts)))
        told = {
            "stain_vectors": own.vectors.reshape(-1).tolist(),
            "stain_amounts": own.amounts.tolist(),
        }
        row = {**sample.row, **told}
        parts = summed(_slabs(tiles, own, wanted), damaged, row)
        made: dict[str, Any] = {
            name: np.asarray(sample.array(name)[...]) for name in sample.names if name != "tiles"
        }
        made["tiles"] = Slabs(tiles.shape, np.dtype(np.uint8), 0, parts)
        yield Sample(sample.id, row, made)


def _pixels(tiles: Sliceable, numbers: np.ndarray) -> np.ndarray:
    """Some of a slide, uint8 (pixels, 3)."""
    chosen = numbers[np.linspace(0, len(numbers) - 1, min(LOOKED_AT, len(numbers))).astype(int)]
    parts = []
    for number in chosen.tolist():
        flat = np.asarray(tiles[number : number + 1])[0].reshape(3, -1)
        places = np.linspace(0, flat.shape[1] - 1, min(PIXELS, flat.shape[1])).astype(int)
        parts.append(flat[:, places].T)
    return np.concatenate(parts)


def _slabs(tiles: Sliceable, own: Stains, wanted: Stains) -> Iterator[np.ndarray]:
    size = int(np.prod(tiles.shape[1:]))
    many = max(1, SLAB_BYTES // (8 * size))  # densities take as many times the room
    for start in range(0, tiles.shape[0], many):
        yield normalised(np.asarray(tiles[start : start + many]), own, wanted)
