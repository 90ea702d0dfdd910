"""Models of several networks: of the same samples, or one for each value of a column, trained on
all others.

A sample of the data they were trained on is answered by the network that has not seen it; one of
other data by the networks that learnt nothing of its subject; all others by the mean of all.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np
import pyarrow as pa

from medray.errors import DataError, SpecError
from medray.modalities.base import Answering, Asking, Predictor, Trained, giving
from medray.modalities.learnt import Learnt
from medray.modalities.loaded import LoadedModel
from medray.modalities.lot import Lot, Together
from medray.modalities.streamed import Streamed
from medray.models.precision import check_precision
from medray.storage.shards.reader import Shard
from medray.storage.shards.samples import Sample
from medray.storage.shards.schema import Arrays
from medray.storage.shards.stored import Stored
from medray.tasks import build_task


def predictor_of(model: LoadedModel, asked: Asking) -> Predictor:
    """How a model answers, of one network or of several.

    Args:
        model: as it was loaded.
        asked: how.

    Raises:
        SpecError: the mean of answers that are not averaged is asked for (code "folds-of-masks"),
            or a precision that the device has not (code "bf16-unsupported").

    Which networks have not seen a sample is told by its value in the column of folds ("fold"), or
    by its subject's name, of which a package keeps hashes ("subject").
    """
    members = list(model.members.values())
    check_precision(asked.precision, members[0].device, [one.network for one in members])
    if len(members) == 1:
        return model.only.modality.predictor(model.only, asked)
    if asked.held_out == "fold":
        each = {key: one.modality.predictor(one, asked) for key, one in model.members.items()}
        return HeldOut(members[0], asked, each, model.folds)
    together = _united(model, range(len(members)))
    if together is None:
        return Mean(model, asked)
    if asked.held_out:
        return Unseen(model, asked)
    return together.modality.predictor(together, asked)


def _united(model: LoadedModel, chosen: Iterable[int]) -> Trained | None:
    """Networks of a model, by their numbers, as one; None: their answers are averaged.

    Of the mean it is decided by options of all networks together.
    """
    members = list(model.members.values())
    some = [members[at] for at in chosen]
    task = build_task(model.package.config["task"], members[0].plan.frequencies)
    networks, plans = [one.network for one in some], [one.plan for one in some]
    network = some[0].modality.united(networks, plans, task)
    return None if network is None else replace(some[0], network=network, task=task)


class HeldOut(Predictor):
    """Each sample by the network of the fold that held it out.

    Args:
        first: any of the networks.
        asked: how.
        members: predictors by the value of their fold.
        column: that holds it.
    """

    def __init__(
        self, first: Trained, asked: Asking, members: dict[Any, Answering], column: str
    ) -> None:
        super().__init__(first, asked)
        self._members, self._column = members, column

    @property
    def arrays(self) -> Arrays:
        """As its members."""
        return next(iter(self._members.values())).arrays

    @property
    def batch(self) -> int:
        """As its members."""
        return next(iter(self._members.values())).batch

    @property
    def rows(self) -> int:
        """As its members."""
        return next(iter(self._members.values())).rows

    def together(self, shard: Shard) -> Together:
        """As its members."""
        return next(iter(self._members.values())).together(shard)

    def of_shard(self, lot: Lot) -> np.ndarray:
        """See Predictor."""
        made = self._each(lot, lambda member, mine: member.of_shard(mine))
        return np.stack([made[at] for at in range(len(lot))])

    def decided(self, lot: Lot) -> list[dict[str, Any]]:
        """See Predictor; each network decides by options of its own."""
        made = self._each(lot, lambda member, mine: member.decided(mine))
        return [made[at] for at in range(len(lot))]

    def _each(self, lot: Lot, ask: Callable[[Answering, Lot], Iterable[Any]]) -> dict[int, Any]:
        """What each row's own network says, by the row's place in the lot."""
        folds = lot.shard.table[self._column].take(pa.array(lot.numbers)).to_pylist()
        made: dict[int, Any] = {}
        for value in dict.fromkeys(folds):
            mine = [at for at, fold in enumerate(folds) if fold == value]
            answers = ask(self._member(value), lot.take(np.array(mine)))
            made.update(zip(mine, answers, strict=True))
        return made

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
        for value, member in list(self._members.items()):  # a thread that prepares may add one
            mine = [at for at, fold in enumerate(folds) if fold == value]
            if mine:
                answered = member.compute([samples[at] for at in mine])
                made.update(zip(mine, answered, strict=True))
        yield from (made[at] for at in range(len(samples)))

    def _fold(self, one: Stored | Sample) -> Any:
        """The value of its fold; its id is no part of a sample's row."""
        return one.id if self._column == "sample_id" else one.row.get(self._column)


class Unseen(HeldOut):
    """Each sample by those networks as one that learnt from nobody of its subject."""

    def __init__(self, model: LoadedModel, asked: Asking) -> None:
        self._model, self._learnt = model, Learnt(model.package)
        every = tuple(range(len(model.members)))
        super().__init__(next(iter(model.members.values())), asked, {}, "subject")
        self._member(every)

    def _member(self, value: tuple[int, ...]) -> Answering:
        if value not in self._members:
            made = cast("Trained", _united(self._model, value))
            self._members[value] = made.modality.predictor(made, self.asked)
        return self._members[value]

    def _fold(self, one: Stored | Sample) -> tuple[int, ...]:
        """The numbers of the networks that are asked."""
        if not self._learnt.members:
            return tuple(range(len(self._model.members)))
        asked = self._learnt.left_out([str(one.row.get("subject") or "")])
        return tuple(np.flatnonzero(asked[0]).tolist())


@dataclass
class Parts(Sample):
    """A sample as several networks have prepared it, by their numbers."""

    parts: dict[int, Sample] = field(kw_only=True)


class Mean(Answering):
    """Each sample by all networks that have not seen it: the mean of their answers."""

    def __init__(self, model: LoadedModel, asked: Asking) -> None:
        super().__init__(next(iter(model.members.values())), asked)
        self._model = model
        if not self.trained.modality.averages(self.trained.task.answers):
            raise SpecError(
                "such answers of several networks are not averaged",
                code="folds-of-masks",
                about=model.package.reference,
                hint="train one network on all samples to predict others",
            )
        # Of the mean it is decided by options of all networks together.
        options = model.package.config["task"]
        together = [
            replace(one, task=build_task(options, one.plan.frequencies))
            for one in model.members.values()
        ]
        self._members = [one.modality.predictor(one, asked) for one in together]
        self.trained = together[0]
        self._learnt = Learnt(model.package) if asked.held_out else None

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

    @property
    def rows(self) -> int:
        """As its members."""
        return self._members[0].rows

    def together(self, shard: Shard) -> Together:
        """As its members."""
        return self._members[0].together(shard)

    def of_shard(self, lot: Lot) -> np.ndarray:
        """See Predictor; the mean over the networks."""
        return _mean(
            self._asked_of(lot),
            lambda at, mine: self._members[at].of_shard(lot.take(mine)),
            ragged=self._members[0].ragged,
        )

    def behind_in_shard(self, lot: Lot, answers: np.ndarray) -> np.ndarray:
        """See Answering; the mean of what each network says of the mean of all answers."""
        return _mean(
            self._asked_of(lot),
            lambda at, mine: self._members[at].behind_in_shard(lot.take(mine), answers[mine]),
        )

    def _asked_of(self, lot: Lot) -> np.ndarray:
        rows: list[dict[str, Any]] = [{}] * len(lot)
        if self._learnt is not None and "subject" in lot.shard.table.column_names:
            rows = lot.shard.table.select(["subject"]).take(pa.array(lot.numbers)).to_pylist()
        return self._asked(rows)

    def columns_of(self, answer: np.ndarray) -> dict[str, Any]:
        """See Predictor."""
        return self._members[0].columns_of(answer)

    def prepare(self, stored: Stored, together: int) -> Sample:
        """The sample as each network takes it that is to be asked."""
        (asked,) = self._asked([stored.row])
        parts = {
            at: self._members[at].prepare(stored, together) for at in np.flatnonzero(asked).tolist()
        }
        first, *others = parts.values()
        if isinstance(first, Streamed):
            return first.beside([cast("Streamed", one) for one in others])
        return Parts(first.id, first.row, parts=parts)

    def answers(self, samples: Sequence[Sample]) -> np.ndarray:
        """The mean over the networks."""
        return _mean(
            self._prepared_for(samples),
            lambda at, mine: self._members[at].answers(_parts(samples, at, mine)),
            ragged=self._members[0].ragged,
        )

    def behind(self, samples: Sequence[Sample], answers: np.ndarray) -> np.ndarray:
        """See Answering; the mean of what each network says of the mean of all answers."""
        return _mean(
            self._prepared_for(samples),
            lambda at, mine: self._members[at].behind(_parts(samples, at, mine), answers[mine]),
        )

    def _prepared_for(self, samples: Sequence[Sample]) -> np.ndarray:
        """Which networks samples have been prepared for, bool (samples, networks)."""
        each = [cast("Parts", one).parts for one in samples]
        return np.array([[at in one for at in range(len(self._members))] for one in each])

    def finish(self, sample: Sample, answer: np.ndarray) -> Sample:
        """As the first network does; they differ in weights alone."""
        (first, *_) = cast("Parts", sample).parts.values()
        return self._members[0].finish(first, answer)

    def _asked(self, rows: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """Which networks are asked about samples, bool (samples, networks)."""
        if self._learnt is None or not self._learnt.members:
            return np.ones((len(rows), len(self._members)), bool)
        return self._learnt.left_out([str(row.get("subject") or "") for row in rows])


def _parts(samples: Sequence[Sample], at: int, mine: np.ndarray) -> list[Sample]:
    """Some samples, by their places, as the network `at` takes them."""
    return [cast("Parts", samples[one]).parts[at] for one in mine.tolist()]


def _mean(
    asked: np.ndarray, ask: Callable[[int, np.ndarray], np.ndarray], *, ragged: bool = False
) -> np.ndarray:
    """The mean of what the networks answer that are asked.

    Args:
        asked: bool (samples, networks).
        ask: a network, by its number, about some samples.
        ragged: see Answering.
    """
    total: Any = None
    told = np.zeros(len(asked), bool)
    for at in range(asked.shape[1]):
        mine = np.flatnonzero(asked[:, at])
        if len(mine):
            answers = ask(at, mine)
            if total is None:
                total = np.zeros((len(asked), *answers.shape[1:]), answers.dtype)
            if total.shape[1:] != answers.shape[1:] and ragged:
                shape = np.maximum(total.shape[1:], answers.shape[1:])
                total = _filled(total, shape, np.where(told, np.nan, 0))
                answers = _filled(answers, shape, np.full(len(mine), np.nan))
            if total.shape[1:] != answers.shape[1:]:
                raise SpecError(
                    "the networks' answers are of different sizes, and have no mean",
                    code="folds-differ",
                    hint="fix in `plan` what each fold chose for itself: of images `patch`",
                )
            total[mine] += answers
            told[mine] = True
    counts = asked.sum(1).reshape(-1, *[1] * (total.ndim - 1)).astype(total.dtype)
    mean: np.ndarray = total / counts
    return mean


def _filled(answers: np.ndarray, shape: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Answers (samples, …) as (samples, *shape), each with its own value behind its end."""
    made = np.empty((len(answers), *shape), answers.dtype)
    made[:] = values.reshape(-1, *[1] * len(shape))
    made[(slice(None), *map(slice, answers.shape[1:]))] = answers
    return made
