"""How a model of signals answers: a row for each beat or window, intervals of whole recordings."""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from medray.errors import DataError
from medray.formats.signal.context import physical
from medray.modalities.ask import ask
from medray.modalities.base import Answering, Asking, Trained
from medray.modalities.lot import Lot, Together
from medray.modalities.signal.inputs import (
    Signals,
    check_length,
    check_rate,
    leads_of,
    mismatch,
    numbers_of,
    scaled,
    standardised,
    steps_of,
)
from medray.modalities.signal.loader import tree
from medray.modalities.signal.plan import SignalPlan
from medray.modalities.signal.records import PROBABILITY, Records
from medray.modalities.signal.stored import read
from medray.storage.shards.reader import Shard
from medray.storage.shards.samples import Sample
from medray.storage.shards.schema import Arrays
from medray.storage.shards.stored import Stored


class SignalPredictor(Answering):
    """How a model of signals answers."""

    def __init__(self, trained: Trained, asked: Asking) -> None:
        super().__init__(trained, asked)
        self._records = Records(trained, asked)

    @property
    def arrays(self) -> Arrays:
        """Of tasks that answer sample by sample, probabilities (classes, time)."""
        return {"probability": PROBABILITY}

    @property
    def short(self) -> bool:
        """See Predictor: an answer sample by sample is as long as its signal."""
        return self.trained.task.answers != "place"

    @property
    def plan(self) -> SignalPlan:
        """Of the model's training."""
        return cast("SignalPlan", self.trained.plan)

    def prepare(self, stored: Stored, together: int) -> Sample:
        """The sample's row, its signal and context float32 (leads, time) in physical units, NaN
        where a sample is missing, and its columns float32 (columns,), standardised; of a recording
        how it is read."""
        plan, row, there = self.plan, stored.row, stored.names
        if "signal" not in there and "channels" in row:
            return self._records.prepare(stored)
        wanted = ("signal", "context") if plan.context else ("signal",)
        if not set(wanted) <= set(there):
            raise mismatch(f"the sample has no array {' and '.join(set(wanted) - set(there))}")
        check_rate(row, plan.rate)
        leads = leads_of(row, plan.leads)
        made = {}
        for name in wanted:
            array = stored.array(name)
            check_length(array.shape, plan.length)
            if max(leads) >= array.shape[0]:
                raise mismatch(f"a signal of {array.shape[0]} leads")
            made[name] = np.asarray(array[...])[leads]
        if not all(np.isfinite(one).all() for one in made.values()):
            raise DataError("a value is NaN or infinite", code="nonfinite-signal")
        made["signal"] = physical(made["signal"], *steps_of(row, leads))
        if np.isnan(made["signal"]).all():
            raise DataError("every sample of the signal is missing", code="no-signals")
        made["columns"] = self._columns(row)
        return Sample(stored.id, dict(row), dict(made))

    def _columns(self, row: dict[str, Any]) -> np.ndarray:
        plan = self.plan
        if not plan.columns:
            return np.zeros(0, np.float32)
        given = {name: np.asarray([_number(row.get(name))]) for name in plan.sources}
        values: np.ndarray = standardised(numbers_of(given, plan.columns, 1), plan)[0]
        return values

    def together(self, shard: Shard) -> Together:
        """See Predictor: beats and windows that lie in stacks, so none that are long."""
        stacked = shard.stacked("signal") and (not self.plan.context or shard.stacked("context"))
        return "samples" if self.short and stacked else None

    def of_shard(self, lot: Lot) -> np.ndarray:
        """See Predictor; refused is what `prepare` would refuse."""
        if self.together(lot.shard) is None:
            return super().of_shard(lot)
        made = [
            self._asked(read(lot.shard, lot.numbers[rows], self.plan))
            for rows in lot.parts(self.batch)
        ]
        return np.concatenate(made)

    def finish(self, sample: Sample, answer: np.ndarray) -> Sample:
        """See Answering."""
        if self.trained.task.answers != "place":
            return super().finish(sample, answer)
        return Sample(sample.id, dict(sample.row), {"probability": answer})

    def answers(self, samples: Sequence[Sample]) -> np.ndarray:
        """See Answering."""
        stacked = {
            name: np.stack([np.asarray(sample.arrays[name], np.float32) for sample in samples])
            for name in samples[0].arrays
        }
        signals = Signals(stacked["signal"], stacked.get("context"), stacked["columns"])
        return self._asked(signals)

    def _asked(self, signals: Signals) -> np.ndarray:
        trained = self.trained
        inputs = tree(scaled(signals, self.plan), trained.device)
        return ask(trained.network, inputs, trained.task, self.asked.precision)


def _number(value: object) -> float:
    """A column's value; NaN where it is missing.

    Raises:
        DataError: it is no number (code "model-mismatch").
    """
    if value is None:
        return float("nan")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise mismatch("a column that the model takes holds no number")
    return float(value)
