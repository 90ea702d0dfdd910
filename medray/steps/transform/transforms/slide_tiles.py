"""Tiles of slides as pictures of their own, for any network of images."""

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
from pydantic import Field

from medray.errors import DataError
from medray.formats.imaging.values import describe
from medray.formats.slide.arrays import sound
from medray.steps.transform.transforms.base import Transformation, TransformOptions
from medray.storage.shards.forms.ome import images
from medray.storage.shards.holds import Holds, Needs, named, names
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Sample
from medray.storage.shards.schema import Arrays
from medray.storage.shards.stored import Stored

KEPT = ("subject", "split", "fold", "target", "class_name", "mpp", "side", "slide_mpp")


class TileOptions(TransformOptions):
    """How many tiles."""

    most: int = Field(
        512, ge=1, le=4096, description="tiles of a slide, evenly spread; they are held in memory"
    )


class SlideTiles(Transformation):
    """A slide to its tiles, each an `image` (3, side, side) with the slide's class.

    Rows have `slide`, `row` and `column` of the tile in the slide's grid, `x` and `y` of its upper
    left corner in pixels of the finest level, and what the slide has of `subject`, `split`, `fold`,
    `target`, `class_name`, `mpp`, `side` and `slide_mpp`.
    """

    name: ClassVar[str] = "slide-tiles"
    Options: ClassVar[type[TransformOptions]] = TileOptions
    options: TileOptions

    @classmethod
    def needs(cls, options: TileOptions, role: str = "") -> Needs:
        """Slides."""
        return Needs(
            (names("tiles"), names("places")),
            names("side"),
            hint="ingest slides by the format `slide`",
        )

    @classmethod
    def arrays(cls, options: TileOptions, using: frozenset[str]) -> Arrays:
        """Pictures."""
        return images(labels=False, axes=2)

    @classmethod
    def holds(cls, options: TileOptions, using: frozenset[str]) -> Holds:
        """Columns of the slide go along, and only the data know which there are."""
        return Holds(named(cls.arrays(options, using)), axes=2)

    def apply(self, sample: Stored) -> Iterator[Sample | Refusal]:
        """Tiles of one slide, by rows; what is beyond `most` is told.

        Raises:
            DataError: none could be read (code "no-tiles").
        """
        tiles, row = sample.array("tiles"), sample.row
        numbers = sound(row.get("damaged"), tiles.shape[0])
        if not len(numbers):
            raise DataError("the slide has no tile that could be read", code="no-tiles")
        many = min(self.options.most, len(numbers))
        chosen = numbers[np.linspace(0, len(numbers) - 1, many).astype(int)]
        places = np.asarray(sample.array("places")[...])
        shared = {name: row[name] for name in KEPT if row.get(name) is not None}
        spacing = [float(row["mpp"]) / 1000] * 2
        for number in chosen.tolist():
            down, across = (int(n) for n in places[number])
            image = np.asarray(tiles[number : number + 1])[0]
            told = {
                "slide": sample.id,
                "row": down,
                "column": across,
                "x": across * row["side"],
                "y": down * row["side"],
                "spacing_mm": spacing,
            }
            name = f"{sample.id}:{down}:{across}"
            yield Sample(name, shared | told | describe(image), {"image": image})
        if len(numbers) > many:
            reason = f"{len(numbers) - many} tiles beyond `most`"
            about = f"{sample.id}:tiles-left-out"
            yield Refusal(sample.id, "tiles-left-out", reason, sample=about, kind="passed-over")
