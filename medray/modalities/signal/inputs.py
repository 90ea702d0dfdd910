"""From a sample to what a network takes: leads by name, physical units, one scale.

The same for what is trained on, predicted in bulk and brought by a request.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from medray.errors import DataError
from medray.modalities.signal.plan import OVER, SignalPlan

MOST = 20.0  # of a scaled value: an electrode that came off says no more than that it did
APART = 6.0  # of a standardised column


@dataclass(frozen=True)
class Signals:
    """Some samples, in physical units.

    Args:
        signal: float32 (B, leads, time); NaN where there is no sample.
        context: of the same shape; None: the plan has none.
        columns: float32 (B, columns), standardised.
    """

    signal: np.ndarray
    context: np.ndarray | None
    columns: np.ndarray

    def part(self, at: slice) -> "Signals":
        """Some of them."""
        context = None if self.context is None else self.context[at]
        return Signals(self.signal[at], context, self.columns[at])


def leads_of(row: Mapping[str, Any], wanted: Sequence[str]) -> list[int]:
    """Where a sample has the leads that are wanted.

    Raises:
        DataError: it lacks one (code "model-mismatch").
    """
    there = list(row.get("leads") or wanted)
    if not set(wanted) <= set(there):
        raise mismatch("the sample has not the leads that the model takes")
    return [there.index(one) for one in wanted]


def steps_of(
    row: Mapping[str, Any], leads: Sequence[int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What digital values of these leads mean: gain and baseline, float32 (leads,), of physical
    ones 1 and 0; and the value that stands for no sample, float64 (leads,), NaN where none does.

    Raises:
        DataError: a gain is none (code "bad-gain").
    """
    made = []
    for name, usual in (("gain", 1.0), ("baseline", 0.0)):
        given = row.get(name)
        made.append(np.asarray([given[at] for at in leads] if given else [usual] * len(leads)))
    if not (np.isfinite(made[0]) & (made[0] != 0)).all():
        raise DataError("a gain is 0 or no number", code="bad-gain")
    told = row.get("missing") or [None] * (max(leads, default=0) + 1)
    missing = [np.nan if told[at] is None else float(told[at]) for at in leads]
    return made[0].astype(np.float32), made[1].astype(np.float32), np.asarray(missing)


def check_rate(row: Mapping[str, Any], rate: float) -> None:
    """Refuse a sample of another rate; one that does not say is taken at its word.

    Raises:
        DataError: code "model-mismatch".
    """
    own = row.get("rate")
    if own is not None and abs(own - rate) > 1e-6 * rate:
        raise mismatch(f"{own:g} samples a second for a model of {rate:g}")


def check_length(shape: tuple[int, ...], length: int) -> None:
    """Refuse a signal of another length.

    Raises:
        DataError: code "model-mismatch".
    """
    if len(shape) != 2 or shape[1] != length:
        raise mismatch(f"a signal of shape {shape} for a model of {length} samples of time")


def mismatch(what: str) -> DataError:
    """What is raised where a sample is not of the kind that a model takes."""
    return DataError(
        what,
        code="model-mismatch",
        hint="select samples like those the model was trained on, or resample and cut them so",
    )


def numbers_of(table: Mapping[str, np.ndarray], columns: Sequence[str], count: int) -> np.ndarray:
    """The columns' numbers, ratios divided, float64 (samples, columns); NaN where one is missing.

    Args:
        table: float64 (samples,) of each column that they are made of, NaN where it is missing.
        columns: as the plan names them; there may be none.
        count: of the samples.
    """
    made = [np.zeros((count, 0))]
    with np.errstate(divide="ignore", invalid="ignore"):
        for one in columns:
            above, _, below = one.partition(OVER)
            values = table[above] / table[below] if below else table[above]
            made.append(np.where(np.isfinite(values), values, np.nan)[:, None])
    return np.concatenate(made, 1)


def standardised(numbers: np.ndarray, plan: SignalPlan) -> np.ndarray:
    """Columns at mean 0 and deviation 1, float32 (samples, columns); what is missing is at 0."""
    scaled = (numbers - np.asarray(plan.column_mean)) / np.asarray(plan.column_std)
    made: np.ndarray = np.clip(np.nan_to_num(scaled), -APART, APART).astype(np.float32)
    return made


def spread(numbers: np.ndarray) -> tuple[list[float], list[float]]:
    """Mean and deviation of each column, float64 (samples, columns), without its rarest hundredth:
    a pause of 100 s would hide all others. A column of one value, or none, has deviation 1."""
    means, deviations = [], []
    for column in numbers.T:
        known = column[np.isfinite(column)]
        if not len(known):
            means.append(0.0)
            deviations.append(1.0)
            continue
        low, high = np.quantile(known, (0.005, 0.995))
        kept = np.clip(known, low, high)
        means.append(float(kept.mean()))
        deviations.append(float(kept.std()) if kept.std() > 1e-9 else 1.0)
    return means, deviations


def scaled(given: Signals, plan: SignalPlan) -> Signals:
    """Signals and contexts as the plan scales them; neither is changed in place. Samples that are
    missing have no say in a scale, and are at 0, which is the mean, after it."""
    signal, context = given.signal, given.context
    if plan.scale != "none":
        mean, std = _scale(given, plan)
        signal = np.clip((signal - mean) / std, -MOST, MOST)
        if context is not None:
            context = np.clip((context - mean) / std, -MOST, MOST)
    return Signals(_whole(signal), None if context is None else _whole(context), given.columns)


def _scale(given: Signals, plan: SignalPlan) -> tuple[np.ndarray, np.ndarray]:
    if plan.scale == "dataset":
        mean, std = (np.asarray(one, np.float32)[:, None] for one in (plan.mean, plan.std))
        return mean, std
    by = given.context if plan.scale == "record" and given.context is not None else given.signal
    mean, std = moments(by, 2)
    return mean, np.where(std > 1e-6, std, np.float32(1))


def moments(values: np.ndarray, axis: int | tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation along axes, which stay with a length of 1, of what is not NaN; of nothing
    0 and 0."""
    there = ~np.isnan(values)
    if there.all():
        return values.mean(axis, keepdims=True), values.std(axis, keepdims=True)
    count = np.maximum(there.sum(axis, keepdims=True), 1).astype(values.dtype)
    mean = np.where(there, values, 0).sum(axis, keepdims=True) / count
    squares = np.where(there, values - mean, 0) ** 2
    return mean, np.sqrt(squares.sum(axis, keepdims=True) / count)


def _whole(values: np.ndarray) -> np.ndarray:
    gone = np.isnan(values)
    return np.where(gone, values.dtype.type(0), values) if gone.any() else values
