"""Cross-validated models: one network for each value of a column, trained on all other samples.

A sample of the data they were trained on is answered by the network that has not seen it; any
other by the mean of all.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from medray.errors import DataError, SpecError
from medray.modalities.base import Answering, Asking, Predictor, giving
from medray.modalities.loaded import LoadedModel
from medray.storage.shards.reader import Shard
from medray.storage.shards.samples import Sample
from medray.storage.shards.schema import Arrays
from medray.storage.shards.stored import Stored


def predictor_of(model: LoadedModel, asked: Asking) -> Predictor:
    """How a model answers, of one network or of folds.

    Args:
        model: as it was loaded.
        asked: how.

    Raises:
        SpecError: the mean of answers that are not averaged is asked for (code "folds-of-masks").
    """
    if not model.folds:
        return model.only.modality.predictor(model.only, asked)
    return (HeldOut if asked.held_out else Mean)(model, asked)


class HeldOut(Predictor):
    """Each sample by the network of the fold that held it out."""

    def __init__(self, model: LoadedModel, asked: Asking) -> None:
        super().__init__(next(iter(model.members.values())), asked)
        self._column = model.folds
        self._members = {
            value: one.modality.predictor(one, asked) for value, one in model.members.items()
        }
        self.columnar = next(iter(self._members.values())).columnar

    @property
    def arrays(self) -> Arrays:
        """As its members."""
        return next(iter(self._members.values())).arrays

    @property
    def batch(self) -> int:
        """As its members."""
        return next(iter(self._members.values())).batch

    def of_shard(self, shard: Shard, numbers: np.ndarray) -> np.ndarray:
        """See Predictor."""
        folds = shard.columns([self._column])[self._column].take(numbers).to_pylist()
        made: dict[int, np.ndarray] = {}
        for value in dict.fromkeys(folds):
            mine = [at for at, fold in enumerate(folds) if fold == value]
            made.update(zip(mine, self._member(value).of_shard(shard, numbers[mine]), strict=True))
        return np.stack([made[at] for at in range(len(numbers))])

    def prepare(self, stored: Stored, together: int) -> Sample:
        """Prepared as in the sample's own fold."""
        return self._member(self._fold(stored)).prepare(stored, together)

    def _member(self, value: Any) -> Answering:
        if value not in self._members:
            raise DataError(
                "no network was trained for its fold",
                code="unknown-fold",
                about=self._column,
                hint="train again, on this version of the data",
            )
        return self._members[value]

    def compute(self, samples: Sequence[Sample]) -> Iterator[Sample]:
        """See Predictor."""
        made: dict[int, Sample] = {}
        folds = [self._fold(one) for one in samples]
        for value, member in self._members.items():
            mine = [at for at, fold in enumerate(folds) if fold == value]
            if mine:
                answered = member.compute([samples[at] for at in mine])
                made.update(zip(mine, answered, strict=True))
        yield from (made[at] for at in range(len(samples)))

    def _fold(self, one: Stored | Sample) -> Any:
        """The value of its fold; its id is no part of a sample's row."""
        return one.id if self._column == "sample_id" else one.row.get(self._column)


class Mean(Answering):
    """Each sample by all networks: the mean of their answers."""

    def __init__(self, model: LoadedModel, asked: Asking) -> None:
        super().__init__(next(iter(model.members.values())), asked)
        self._model = model
        if not self.trained.modality.averages(self.trained.task.answers):
            raise SpecError(
                "masks of several networks are not averaged",
                code="folds-of-masks",
                about=model.package.reference,
                hint="train one network on all samples to predict others",
            )
        self._members = [one.modality.predictor(one, asked) for one in model.members.values()]
        self.columnar = self._members[0].columnar

    def giving(self, outputs: str) -> "Mean":
        """See Answering."""
        return Mean(self._model, giving(self.asked, outputs))

    @property
    def short(self) -> bool:
        """As its members."""
        return self._members[0].short

    @property
    def arrays(self) -> Arrays:
        """As its members."""
        return self._members[0].arrays

    @property
    def batch(self) -> int:
        """As its members."""
        return self._members[0].batch

    def of_shard(self, shard: Shard, numbers: np.ndarray) -> np.ndarray:
        """See Predictor; the mean over the networks."""
        made: np.ndarray = np.mean([one.of_shard(shard, numbers) for one in self._members], 0)
        return made

    def prepare(self, stored: Stored, together: int) -> Sample:
        """The row, and for each network the arrays that it takes."""
        prepared = [member.prepare(stored, together) for member in self._members]
        arrays = {
            f"{at}/{name}": array
            for at, sample in enumerate(prepared)
            for name, array in sample.arrays.items()
        }
        return Sample(prepared[0].id, prepared[0].row, arrays)

    def answers(self, samples: Sequence[Sample]) -> np.ndarray:
        """The mean over the networks."""
        made = [
            member.answers([_part(sample, at) for sample in samples])
            for at, member in enumerate(self._members)
        ]
        mean: np.ndarray = np.mean(made, 0)
        return mean

    def finish(self, sample: Sample, answer: np.ndarray) -> Sample:
        """As the first network does; they differ in weights alone."""
        return self._members[0].finish(Sample(sample.id, sample.row), answer)


def _part(sample: Sample, at: int) -> Sample:
    own = f"{at}/"
    arrays = {
        name.removeprefix(own): array
        for name, array in sample.arrays.items()
        if name.startswith(own)
    }
    return Sample(sample.id, sample.row, arrays)
