"""Judge surprises: does what is no normal case surprise more, and how many normal ones alarm.

A false alarm is a normal case above the threshold; how often there are any is told per hour of
normal cases, or per normal case where none says how long it is.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from medray.tasks.metrics.bootstrap import Bootstrap, FloatArray, subjects
from medray.tasks.metrics.probability import auroc, average_precision, roc_curve, share

BoolArray = npt.NDArray[np.bool_]
Statistic = Callable[[FloatArray], FloatArray]

HOUR = 3600.0

CASE_SCHEMA = pa.schema(
    [
        ("status", pa.string()),
        ("surprise", pa.float64()),
        ("anomalous", pa.int64()),
        ("alarm", pa.int64()),
        ("seconds", pa.float64()),
    ]
)


def threshold_of(surprises: FloatArray, amounts: FloatArray, rate: float) -> float:
    """The lowest threshold above which normal cases are no more than the rate allows.

    Args:
        surprises: of normal cases, (n,).
        amounts: what each stands for, in hours or in cases, (n,).
        rate: false alarms per hour, or per case.

    Returns:
        A value such that `surprise > value` holds for at most rate * amounts.sum() cases; NaN where
        there is no case. With less than one alarm allowed it is the largest surprise.
    """
    if not len(surprises):
        return float("nan")
    falling = np.sort(surprises)[::-1]
    allowed = int(np.floor(rate * amounts.sum() + 1e-9))
    return float(falling[allowed]) if allowed < len(falling) else float(falling[-1] - 1e-9)


def sensitivity_at(
    surprises: FloatArray,
    anomalous: BoolArray,
    amounts: FloatArray,
    rate: float,
    weights: FloatArray,
) -> FloatArray:
    """Share of anomalies above the threshold that the normal cases of each replicate allow.

    Args:
        surprises: (cases,).
        anomalous: (cases,); all others are normal.
        amounts: hours, or cases, that each stands for; of normal ones they are counted.
        rate: false alarms per hour, or per case.
        weights: (repeats, cases).
    """
    order = np.argsort(-surprises, kind="stable")
    truth, ordered = anomalous[order], weights[:, order]
    false = np.cumsum(ordered * ~truth, axis=1)
    hits = np.cumsum(ordered * truth, axis=1)
    allowed = rate * (weights @ (amounts * ~anomalous)) + 1e-9
    # Alarms end in front of the first normal case that is one too many, and of its ties.
    ends = (false <= allowed[:, None]).sum(1)
    falling = -surprises[order]
    ends = np.where(
        ends < len(order),
        np.searchsorted(falling, falling[np.minimum(ends, len(order) - 1)]),
        len(order),
    )
    before = np.concatenate([np.zeros((len(hits), 1)), hits], axis=1)
    found = before[np.arange(len(hits)), ends]
    return _ratio(found, hits[:, -1])


def false_alarms(
    alarm: BoolArray, anomalous: BoolArray, amounts: FloatArray, weights: FloatArray
) -> FloatArray:
    """Normal cases that alarm, per hour or case of normal ones; shapes as of `sensitivity_at`."""
    return _ratio(weights @ (alarm & ~anomalous), weights @ (amounts * ~anomalous))


def summarise_anomaly(
    cases: pa.Table, rate: float, hourly: bool, bootstrap: Bootstrap | None = None
) -> dict[str, Any]:
    """Metrics with 95 % intervals over the cases that are normal or anomalous.

    Args:
        cases: rows of CASE_SCHEMA with `case`, and `subject` where cases share subjects.
        rate: false alarms that are allowed.
        hourly: per hour, by `seconds`; else per case.
        bootstrap: how intervals are made.

    Returns:
        {"task", "cases", "counts", "metrics": {name: estimate}, "curves": {"roc"}, "worst":
        normal cases that surprise most}.
    """
    bootstrap = bootstrap or Bootstrap()
    judged = _judged(cases)
    counts = dict(Counter(cases["status"].to_pylist()))
    surprises, anomalous, alarm, told, seconds = _columns(judged)
    amounts = seconds / HOUR if hourly else np.ones(len(surprises))
    groups = subjects(judged)
    statistics: dict[str, Statistic] = {
        "auroc": lambda w: auroc(surprises, anomalous, w),
        "average_precision": lambda w: average_precision(surprises, anomalous, w),
        "sensitivity_at_rate": lambda w: sensitivity_at(surprises, anomalous, amounts, rate, w),
    }
    if told:
        name = "false_alarms_per_hour" if hourly else "false_alarms_per_case"
        statistics["sensitivity"] = lambda w: share(alarm, anomalous, w)
        statistics[name] = lambda w: false_alarms(alarm, anomalous, amounts, w)
    some = len(judged) > 0
    return {
        "task": "anomaly",
        "cases": len(judged),
        "counts": counts,
        "metrics": {
            name: bootstrap.estimate(one, len(judged), groups).to_dict()
            for name, one in statistics.items()
        },
        "curves": {"roc": {"surprise": roc_curve(surprises, anomalous) if some else ([], [])}},
        "worst": _worst(judged, 10),
    }


def _judged(cases: pa.Table) -> pa.Table:
    """Those that are normal or anomalous."""
    return cases.filter(pa.array([one is not None for one in cases["anomalous"].to_pylist()]))


def _columns(
    judged: pa.Table,
) -> tuple[FloatArray, BoolArray, BoolArray, bool, FloatArray]:
    """Surprises, which are anomalous, which alarm, whether that is known, and seconds.

    Without a prediction a normal case surprises most and an anomaly least, and alarms as wrong.
    """
    anomalous = np.asarray(judged["anomalous"].to_pylist(), np.int64) == 1
    given = np.asarray(judged["surprise"].to_pylist(), np.float64)  # None is NaN
    gone = np.isnan(given)
    most = float(given[~gone].max()) if (~gone).any() else 0.0
    least = float(given[~gone].min()) if (~gone).any() else 0.0
    surprises = np.where(gone, np.where(anomalous, least - 1, most + 1), given)
    calls = judged["alarm"].to_pylist()
    told = any(call is not None for call in calls)
    called = np.asarray([bool(call) for call in calls], bool)
    alarm = np.where(gone, ~anomalous, called)
    seconds = np.nan_to_num(np.asarray(judged["seconds"].to_pylist(), np.float64))
    return surprises, anomalous, alarm, told, seconds


def by_owner(cases: pa.Table, names: Sequence[str], hourly: bool) -> list[dict[str, Any]]:
    """Each record's, or subject's, own counts, AUROC and alarms.

    Args:
        cases: as of `summarise_anomaly`.
        names: whose each of them is.
        hourly: see `summarise_anomaly`.

    Returns:
        Rows with `owner`, `hours` (where they are counted), `normal`, `anomalies`, `auroc`, and
        with a threshold `sensitivity`, `alarms` and `false_alarms`, both per hour or case: all
        alarms of all time that is judged, the false ones of that which is normal.
    """
    judged = _judged(cases)
    told_of = dict(zip(cases["case"].to_pylist(), names, strict=True))
    owners = np.asarray([told_of[case] for case in judged["case"].to_pylist()], object)
    surprises, anomalous, alarm, told, seconds = _columns(judged)
    amounts = seconds / HOUR if hourly else np.ones(len(surprises))
    rows = []
    for name in dict.fromkeys(names):
        mine = owners == name
        own, truth, much = surprises[mine], anomalous[mine], amounts[mine]
        one = np.ones((1, len(own)))
        row: dict[str, Any] = {"owner": name}
        if hourly:
            row["hours"] = float(much.sum())
        row |= {"normal": int((~truth).sum()), "anomalies": int(truth.sum())}
        row["auroc"] = _plain(auroc(own, truth, one))
        if told:
            calls = alarm[mine]
            row["sensitivity"] = _plain(share(calls, truth, one))
            row["alarms"] = _plain(_ratio(one @ calls, one @ much))
            row["false_alarms"] = _plain(false_alarms(calls, truth, much, one))
        rows.append(row)
    return rows


def _worst(judged: pa.Table, count: int) -> list[dict[str, Any]]:
    """Normal cases that surprise most."""
    rows: list[dict[str, Any]] = judged.to_pylist()
    normal = [row for row in rows if row["anomalous"] == 0 and row["surprise"] is not None]
    return sorted(normal, key=lambda row: (-row["surprise"], row["case"]))[:count]


def _plain(value: FloatArray) -> float | None:
    return float(value[0]) if np.isfinite(value[0]) else None


def _ratio(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    """Quotient, NaN where the denominator is 0."""
    result = np.full(denominator.shape, np.nan)
    np.divide(numerator, denominator, out=result, where=denominator > 0)
    return result
