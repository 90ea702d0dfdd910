"""How a model of slides answers: a row for each slide, and a map of what its tiles say."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import cast

import numpy as np

from medray.errors import DataError
from medray.formats.slide.arrays import sound
from medray.modalities.base import Answering
from medray.modalities.slide.heat import HEAT, heat_of
from medray.modalities.slide.plan import LIKE, SlidePlan
from medray.modalities.slide.reading import Reading, read_slide
from medray.modalities.streamed import Streamed
from medray.models.slide.base import SlideNetwork
from medray.storage.shards.samples import Sample
from medray.storage.shards.schema import Arrays
from medray.storage.shards.stored import Sliceable, Stored


@dataclass
class Bag(Streamed):
    """A slide that is prepared: its tiles are yet to be read.

    Args:
        tiles: of it, uint8 (tiles, 3, side, side).
        places: row and column of each, int32 (tiles, 2); None: they lie nowhere.
        predictors: whose networks are asked, for the mean of what they say.
    """

    tiles: Sliceable = field(kw_only=True)
    places: np.ndarray | None = field(kw_only=True)
    predictors: tuple["SlidePredictor", ...] = field(kw_only=True)

    def answer(self) -> Sample:
        """See SlidePredictor.answer."""
        return self.predictors[0].answer(self)

    def beside(self, others: "Sequence[Bag]") -> "Bag":
        """See Streamed."""
        more = [one for other in others for one in other.predictors]
        return replace(self, predictors=(*self.predictors, *more))


class SlidePredictor(Answering):
    """How a model of slides answers."""

    @property
    def plan(self) -> SlidePlan:
        """Of the model's training."""
        return cast("SlidePlan", self.trained.plan)

    @property
    def arrays(self) -> Arrays:
        """A map of the slide, a pixel a tile."""
        return {"heat": HEAT}

    @property
    def short(self) -> bool:
        """See Predictor: a slide is as large as it likes."""
        return False

    def prepare(self, stored: Stored, together: int) -> Bag:
        """The row, and how tiles are read.

        Raises:
            DataError: it has no tiles, or tiles of another size or resolution than the model's
                (code "model-mismatch"), or none that could be read ("no-tiles").
        """
        row = dict(stored.row)
        tiles = stored.array("tiles") if "tiles" in stored.names else None
        side = self.plan.tile
        if tiles is None or tiles.ndim != 4 or tiles.shape[1:] != (3, side, side):
            raise _mismatch(stored.id, f"the sample has no tiles of {side} x {side} pixels")
        mpp = float(row.get("mpp") or self.plan.mpp)
        if abs(mpp - self.plan.mpp) > LIKE * self.plan.mpp:
            reason = f"tiles of {mpp:.3g} micrometres a pixel, for a model of {self.plan.mpp:.3g}"
            raise _mismatch(stored.id, reason)
        if not len(sound(row.get("damaged"), tiles.shape[0])):
            raise DataError("the slide has no tile that could be read", code="no-tiles")
        places = np.asarray(stored.array("places")[...]) if "places" in stored.names else None
        return Bag(stored.id, row, tiles=tiles, places=places, predictors=(self,))

    def answer(self, bag: Bag) -> Sample:
        """The columns of the task; where tiles have places the array `heat` besides, see
        medray.modalities.slide.heat.

        Raises:
            DataError: the network's output is NaN or Inf (code "nonfinite-output").
        """
        readings = [one.read(bag) for one in bag.predictors]
        task = self.trained.task
        whole = np.mean([task.probabilities(one.logits).numpy()[0] for one in readings], 0)
        made = Sample(bag.id, bag.row | self.columns_of(whole))
        if bag.places is not None and self.asked.options.heat:
            each = [task.probabilities(one.tiles).numpy() for one in readings]
            attention = np.mean([one.attention for one in readings], 0)
            heat_of(made, bag.places[readings[0].numbers], attention, np.mean(each, 0), self.plan)
        return made

    def read(self, bag: Bag) -> Reading:
        """What this predictor's network says of a slide."""
        trained = self.trained
        numbers = sound(bag.row.get("damaged"), bag.tiles.shape[0])
        return read_slide(
            cast("SlideNetwork", trained.network),
            bag.tiles,
            numbers,
            self.asked.options.tiles,
            self.plan,
            trained.device,
            self.asked.precision,
        )

    def answers(self, samples: Sequence[Sample]) -> np.ndarray:
        """Nobody asks: each slide is streamed."""
        raise _mismatch("", "a slide is answered by itself")


def _mismatch(about: str, reason: str) -> DataError:
    return DataError(
        reason,
        code="model-mismatch",
        about=about,
        hint="ingest slides by the format `slide`, as those that the model was trained on",
    )
