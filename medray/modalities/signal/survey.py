"""Look at the training signals, and plan."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from medray.errors import SpecError
from medray.modalities.plan import Wanted, planned_fields
from medray.modalities.signal.cases import (
    SignalCases,
    check_any,
    labels_of,
    numeric,
    rows_of,
    targets_of,
)
from medray.modalities.signal.inputs import moments, numbers_of, spread
from medray.modalities.signal.plan import SignalPlan, SignalPlanOptions
from medray.storage.catalog.datasets import Dataset
from medray.tasks.base import NO_LABEL

if TYPE_CHECKING:
    from medray.tasks.base import Task

BATCH = 128  # signals in a step at most, unless the job says
ALONG = ("dataset", "none")  # scales of tasks that answer sample by sample
LOOKED_AT = 4096  # signals whose mean and deviation are those of all


def make_plan(dataset: Dataset, indices: Sequence[int], task: "Task", wanted: Wanted) -> SignalPlan:
    """What the first training sample is like; how columns are spread over all of them.

    Raises:
        SpecError: there are no signals, or a column that is not there is asked for.
    """
    check_any(dataset, indices)
    given: SignalPlanOptions = wanted.given
    number, row = dataset.place(indices[0])
    shard = dataset.shards[number]
    told = shard.table.slice(row, 1).to_pylist()[0]
    leads, length = _shape(dataset, shard.array(row, "signal").shape)
    rate = given.rate if told.get("rate") is None else told["rate"]
    if rate is None:
        raise SpecError(
            "the samples do not say their rate",
            code="no-rate",
            about=dataset.reference,
            hint="give it as the plan's `rate`, in samples a second",
        )
    there = "context" in shard.names(row)
    if given.context and not there:
        raise SpecError(
            "the samples have no context",
            code="no-context",
            about=dataset.reference,
            hint="ingest with `context: median-beat`, or leave the plan's `context` out",
        )
    by_sample = task.answers == "place"
    labels = labels_of(dataset, indices, length) if by_sample else None
    targets = targets_of(task, rows_of(dataset, indices), labels).numpy()
    if labels is not None:
        targets = labels[labels != NO_LABEL]
    found: dict[str, Any] = {
        "answers": task.answers,
        "classes": task.classes,
        "frequencies": task.statistics(targets),
        "batch_size": wanted.settings.batch_size or max(2, min(BATCH, len(indices) // 10)),
        "samples": len(indices),
        "rate": float(rate),
        "length": length,
        "leads": tuple(told.get("leads") or [str(at + 1) for at in range(leads)]),
        "context": there,
        "scale": "record" if there and given.context is not False else "window",
    }
    if by_sample:  # along a record there are no windows to be scaled by
        found |= {"context": False, "scale": "dataset"}
    reasons = {
        "batch_size": f"at most {BATCH} and a tenth of the samples",
        "scale": "by its record, where its median is known; else by itself",
    }
    plan = planned_fields(SignalPlan, given, found, reasons)
    if by_sample and (plan.context or plan.columns or plan.scale not in ALONG):
        raise SpecError(
            "along a record there is no context, no column and no window to scale by",
            code="task-mismatch",
            about=task.name,
            hint="take scale dataset or none",
        )
    return _measured(plan, dataset, indices)


def _shape(dataset: Dataset, shape: tuple[int, ...]) -> tuple[int, int]:
    if len(shape) != 2:
        raise SpecError("signals are (lead, time)", code="no-signals", about=dataset.reference)
    return shape[0], shape[1]


def _measured(plan: SignalPlan, dataset: Dataset, indices: Sequence[int]) -> SignalPlan:
    """The plan with the means and deviations of its columns and leads."""
    more: dict[str, tuple[float, ...]] = {}
    if plan.columns:
        table = numeric(dataset, plan, indices)
        means, deviations = spread(numbers_of(table, plan.columns, len(indices)))
        more |= {"column_mean": tuple(means), "column_std": tuple(deviations)}
    if plan.scale == "dataset":
        some = [indices[at] for at in _even(len(indices))]
        signal = SignalCases(dataset, some, plan.model_copy(update=more), 0).take(range(len(some)))
        mean, deviation = (one.ravel() for one in moments(signal.signal.astype(np.float64), (0, 2)))
        deviation = np.maximum(deviation, 1e-9)
        more |= {"mean": tuple(mean.tolist()), "std": tuple(deviation.tolist())}
    return plan.model_copy(update=more)


def _even(count: int) -> list[int]:
    places = np.linspace(0, count - 1, min(count, LOOKED_AT)).astype(int)
    return [int(one) for one in np.unique(places)]
