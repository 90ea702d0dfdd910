"""The learning rate and the end of a run, as pure functions: nothing of them needs saving."""

import math
from collections.abc import Sequence
from typing import Any

from medray.spec.training import EarlyStopping, ScheduleSettings


def learning_rate(step: int, total: int, peak: float, schedule: ScheduleSettings) -> float:
    """The rate of a step: warm-up, then cosine (Loshchilov & Hutter 2017) or polynomial decay.

    Args:
        step: from 0.
        total: steps of the whole run.
        peak: the highest rate.
        schedule: its form.
    """
    warm = schedule.warmup * total
    if step < warm:
        return peak * (step + 1) / (warm + 1)
    done = (step - warm) / max(total - warm, 1)
    match schedule.name:
        case "cosine":
            left = 0.5 * (1 + math.cos(math.pi * done))
        case "poly":
            left = (1 - done) ** schedule.power
        case "constant":
            return peak
    return peak * (schedule.floor + (1 - schedule.floor) * left)


def best_of(
    validations: Sequence[dict[str, Any]],
    metric: str,
    *,
    higher_is_better: bool,
    min_delta: float = 0,
) -> int | None:
    """Index of the best validation: the first that no later one beats by more than `min_delta`.

    None if the metric was never defined.
    """
    sign = 1 if higher_is_better else -1
    best: int | None = None
    for index, row in enumerate(validations):
        value = row.get(metric)
        if value is None or math.isnan(value):
            continue
        if best is None or sign * (value - validations[best][metric]) > min_delta:
            best = index
    return best


def should_stop(
    validations: Sequence[dict[str, Any]],
    stopping: EarlyStopping | None,
    *,
    higher_is_better: bool,
) -> bool:
    """Whether `patience` validations have passed since the best one."""
    if stopping is None or not validations:
        return False
    best = best_of(
        validations,
        stopping.metric,
        higher_is_better=higher_is_better,
        min_delta=stopping.min_delta,
    )
    return len(validations) - 1 - (-1 if best is None else best) >= stopping.patience
