"""Judge intervals of whole recordings: by their overlap with true ones, and by time.

A true interval is found where one of its class is called over any of it; a called one is right
where any of it is true. The first class is the background, of which nobody tells intervals.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from medray.tasks.metrics.bootstrap import Bootstrap, FloatArray, subjects

HOUR = 3600.0
COUNTS = ("true", "found", "called", "right")
TIMES = ("true_s", "called_s", "both_s")
OF_INTERVALS = "both_s"  # a column that only such rows have
Told = Sequence[tuple[float, float, str]]
BoolArray = npt.NDArray[np.bool_]
Statistic = Callable[[FloatArray], FloatArray]


def score_intervals(
    truth: Told, given: Told | None, classes: Sequence[str], seconds: float
) -> dict[str, Any]:
    """The row of one recording, with a list over all classes but the first in each column.

    Args:
        truth: (onset_s, end_s, class), those of a class not beyond each other.
        given: that were called; None: there is no prediction.
        classes: names; intervals of the first, and of others, do not count.
        seconds: how long the recording is.
    """
    row: dict[str, Any] = {
        "status": "no-prediction" if given is None else "scored",
        "seconds": seconds,
    }
    for name in (*COUNTS, *TIMES):
        row[name] = []
    for kind in classes[1:]:
        actual = [(onset, end) for onset, end, name in truth if name == kind]
        called = [(onset, end) for onset, end, name in given or () if name == kind]
        row["true"].append(len(actual))
        row["found"].append(int(met(actual, called).sum()))
        row["called"].append(len(called))
        row["right"].append(int(met(called, actual).sum()))
        row["true_s"].append(sum(end - onset for onset, end in actual))
        row["called_s"].append(sum(end - onset for onset, end in called))
        row["both_s"].append(_shared(actual, called))
    return row


def summarise_intervals(
    cases: pa.Table, classes: Sequence[str], bootstrap: Bootstrap
) -> dict[str, Any]:
    """Metrics with 95 % intervals by bootstrap over recordings, of all of them pooled.

    Args:
        cases: rows of `score_intervals` with `case`, and `subject` where cases share subjects.
        classes: names.
        bootstrap: how intervals are made.

    Returns:
        As Task.conclude without `task`; overall values are means over the classes that define them.
    """
    count, groups = len(cases), subjects(cases)
    hours = np.asarray(cases["seconds"].to_pylist(), np.float64) / HOUR
    columns = {
        name: np.asarray(cases[name].to_pylist(), np.float64).reshape(count, -1)
        for name in (*COUNTS, *TIMES)
    }
    each = {
        kind: _statistics({name: values[:, at] for name, values in columns.items()}, hours)
        for at, kind in enumerate(classes[1:])
    }
    even = np.ones((1, count))

    def over_classes(name: str) -> Statistic:
        known = [own[name] for own in each.values() if np.isfinite(own[name](even)[0])]
        if not known:
            return lambda w: np.full(len(w), np.nan)
        return lambda w: np.mean([one(w) for one in known], axis=0)

    def estimate(statistic: Statistic) -> dict[str, Any]:
        return bootstrap.estimate(statistic, count, groups).to_dict()

    return {
        "cases": count,
        "counts": dict(Counter(cases["status"].to_pylist())),
        "metrics": {name: estimate(over_classes(name)) for name in each[classes[1]]},
        "classes": {
            kind: {name: estimate(one) for name, one in own.items()} for kind, own in each.items()
        },
    }


def _statistics(of: dict[str, FloatArray], hours: FloatArray) -> dict[str, Statistic]:
    return {
        "interval_sensitivity": lambda w: _ratio(w @ of["found"], w @ of["true"]),
        "interval_precision": lambda w: _ratio(w @ of["right"], w @ of["called"]),
        "time_f1": lambda w: _ratio(2 * (w @ of["both_s"]), w @ (of["true_s"] + of["called_s"])),
        "false_alarms_per_hour": lambda w: _ratio(w @ (of["called"] - of["right"]), w @ hours),
    }


def met(some: Sequence[tuple[float, float]], others: Sequence[tuple[float, float]]) -> BoolArray:
    """Which of some (onset_s, end_s) overlap any other, bool (some,)."""
    if not some or not others:
        return np.zeros(len(some), bool)
    onsets, ends = (np.sort(np.asarray(one)) for one in zip(*others, strict=True))
    # Of others that begin before one ends, so many have ended before it begins.
    begun = np.searchsorted(onsets, [end for _, end in some], side="left")
    ended = np.searchsorted(ends, [onset for onset, _ in some], side="right")
    found: BoolArray = begun > ended
    return found


def _shared(some: Sequence[tuple[float, float]], others: Sequence[tuple[float, float]]) -> float:
    """Seconds that both cover, each without overlaps of its own."""
    marks = sorted(
        [(onset, 1) for onset, _ in (*some, *others)] + [(end, -1) for _, end in (*some, *others)]
    )
    total, depth, since = 0.0, 0, 0.0
    for at, step in marks:
        if depth == 2:
            total += at - since
        depth, since = depth + step, at
    return total


def _ratio(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    """Quotient, NaN where the denominator is 0."""
    result = np.full(denominator.shape, np.nan)
    np.divide(numerator, denominator, out=result, where=denominator > 0)
    return result
