"""How a model of texts answers."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, cast

import numpy as np
import pyarrow as pa

from medray.modalities.ask import ask
from medray.modalities.base import Answering, Asking, Trained
from medray.modalities.lot import Lot, Together
from medray.modalities.text.plan import TextPlan
from medray.modalities.text.readings import reading_of
from medray.storage.shards.reader import Shard
from medray.storage.shards.samples import Sample
from medray.storage.shards.stored import Stored

TOGETHER = {"cpu": 32, "cuda": 256}  # texts at once, at least
ROWS = 4096  # of a shard that are answered together, dealt out by length


@dataclass
class Prepared(Sample):
    """A sample with its text as numbers."""

    encoded: Any = field(kw_only=True)


class TextPredictor(Answering):
    """How a model of texts answers: by columns, in place of a document's own where it has some."""

    ragged: ClassVar[bool] = True

    def __init__(self, trained: Trained, asked: Asking) -> None:
        super().__init__(trained, asked)
        self.reading = reading_of(cast("TextPlan", trained.plan), trained.task)

    @property
    def batch(self) -> int:
        """See Predictor."""
        return max(self.asked.batch, TOGETHER[self.trained.device.type])

    @property
    def rows(self) -> int:
        """See Predictor."""
        return ROWS

    def together(self, shard: Shard) -> Together:
        """See Predictor."""
        return "rows"

    def prepare(self, stored: Stored, together: int) -> Prepared:
        """The row, with its text as numbers."""
        encoded = self.reading.encode(stored.row, learnt=False)
        return Prepared(stored.id, dict(stored.row), encoded=encoded)

    def answers(self, samples: Sequence[Sample]) -> np.ndarray:
        """What the task makes of the answers, one behind the other, NaN where one is shorter."""
        made = self._each([cast("Prepared", one).encoded for one in samples])
        shape = np.max([one.shape for one in made], axis=0)
        whole = np.full((len(made), *shape), np.nan, np.float32)
        for at, one in enumerate(made):
            whole[at][tuple(map(slice, one.shape))] = one
        return whole

    def finish(self, sample: Sample, answer: np.ndarray) -> Sample:
        """See Answering."""
        return Sample(sample.id, sample.row | self.reading.columns(answer, sample.row))

    def columns_of(self, answer: np.ndarray) -> dict[str, Any]:
        """See Predictor."""
        return self.reading.columns(answer, {})

    def decided(self, lot: Lot) -> list[dict[str, Any]]:
        """See Predictor; texts of like lengths are asked about together."""
        table = lot.shard.table
        wanted = [name for name in self.reading.columns_read if name in table.column_names]
        rows = table.select(wanted).take(pa.array(lot.numbers)).to_pylist()
        answers = self._each(self.reading.encode_all(rows))
        return [self.reading.columns(*pair) for pair in zip(answers, rows, strict=True)]

    def of_shard(self, lot: Lot) -> np.ndarray:
        """See Predictor."""
        return self.answers([self.prepare(one, self.batch) for one in lot.each()])

    def _each(self, encoded: Sequence[Any]) -> list[np.ndarray]:
        """The answer to each text, in order."""
        trained, reading = self.trained, self.reading
        order = np.argsort([reading.size(one) for one in encoded], kind="stable")
        made: list[np.ndarray] = [np.zeros(0)] * len(encoded)
        for start in range(0, len(order), self.batch):
            some = order[start : start + self.batch].tolist()
            several = [encoded[at] for at in some]
            inputs = reading.inputs(several, trained.device)
            found = ask(trained.network, inputs, trained.task, self.asked.precision)
            for at, answer in zip(some, reading.each(found, several), strict=True):
                made[at] = reading.placed(encoded[at], answer)
        return made
