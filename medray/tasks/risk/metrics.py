"""What risks are worth: discrimination, calibration, net benefit, and each operating point."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from medray.tasks.metrics import probability as metric
from medray.tasks.metrics.bootstrap import Bootstrap, subjects
from medray.tasks.risk.calibration import logit, recalibrated
from medray.tasks.risk.points import Points

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

TENTHS = 10  # groups of a calibration curve
BARS = 20  # of the histogram of risks
RISKS = tuple(at / 100 for at in range(1, 100))  # of a decision curve
ROC_POINTS = 200
OF_POINT = ("sensitivity", "specificity", "ppv", "npv", "alert_rate", "net_benefit")


def statistics(risks: FloatArray, events: BoolArray) -> Callable[[FloatArray], dict[str, Any]]:
    """Metrics of no threshold under case weights (repeats, cases), each (repeats,).

    Calibration is logistic (Cox 1958; Van Calster et al. 2019): the slope of events on the risks'
    logit, 1 where risks are as far apart as they should be, and the intercept where the slope is
    1, below 0 where risks are too high.

    Args:
        risks: 0 … 1, (cases,).
        events: (cases,).
    """
    truth, scores = events.astype(np.float64), logit(risks)

    def of(weights: FloatArray) -> dict[str, Any]:
        ranked = metric.steps(risks, events, weights)
        large = recalibrated(scores, truth, weights, slope=False)[:, 0]
        slope = recalibrated(scores, truth, weights)[:, 1]
        # Where all cases of a resample are events, or none is, nothing is defined.
        mixed = ((weights @ truth) > 0) & ((weights @ (1 - truth)) > 0)
        return {
            "auroc": metric.area(*ranked),
            "average_precision": metric.mean_precision(*ranked),
            "brier": metric.brier(risks, truth, weights),
            "log_loss": metric.log_loss(risks, truth, weights),
            "calibration_slope": np.where(mixed, slope, np.nan),
            "calibration_intercept": np.where(mixed, large, np.nan),
        }

    return of


def net_benefit(
    called: BoolArray, events: BoolArray, risk: float, weights: FloatArray
) -> FloatArray:
    """True alerts less false ones, these counted at the odds of the risk, a case (Vickers and Elkin
    2006): (repeats,).

    Args:
        called: which cases have an alert, (cases,).
        events: (cases,).
        risk: from which on an alert is worth its price, 0 … 1.
        weights: (repeats, cases).
    """
    true, false = weights @ (called & events), weights @ (called & ~events)
    made: FloatArray = (true - false * risk / (1 - risk)) / weights.sum(axis=1)
    return made


def at_point(
    called: BoolArray, events: BoolArray, risk: float | None, weights: FloatArray
) -> dict[str, FloatArray]:
    """Metrics OF_POINT of an operating point under case weights, each (repeats,).

    Args:
        called: which cases have an alert, (cases,).
        events: (cases,).
        risk: from which on there is an alert; None: it differs, and there is no net benefit.
        weights: (repeats, cases).
    """
    everyone = np.ones(len(events), bool)
    found = {
        "sensitivity": metric.share(called, events, weights),
        "specificity": metric.share(~called, ~events, weights),
        "ppv": metric.share(events, called, weights),
        "npv": metric.share(~events, ~called, weights),
        "alert_rate": metric.share(called, everyone, weights),
    }
    if risk is not None and 0 < risk < 1:
        found["net_benefit"] = net_benefit(called, events, risk, weights)
        found["treat_all"] = net_benefit(everyone, events, risk, weights)
    return found


def summarise(cases: pa.Table, points: Points, bootstrap: Bootstrap) -> dict[str, Any]:
    """Metrics with 95 % intervals, operating points and curves.

    Args:
        cases: rows of `Risk.score` with `case`, and `subject` where cases share subjects.
        points: operating points, in the order of the rows' `alerts`.
        bootstrap: how intervals are made.

    Returns:
        As Task.conclude, with `events`, `points` (a row each, of estimates) and `curves`.
    """
    count, groups = len(cases), subjects(cases)
    risks = np.asarray(cases["risk"].to_pylist(), np.float64)
    events = np.asarray(cases["event"].to_pylist()) == 1
    alerts = cases["alerts"].to_pylist()
    rows = points.told()
    called = {
        at: np.asarray([one[at] for one in alerts]) == 1
        for at in range(len(rows))
        if all(one[at] is not None for one in alerts)
    }
    plain = statistics(risks, events)
    # Of folds each network has its own cutoff, and a net benefit would be of no one risk.
    stated = len(points.thresholds)
    priced = {at: rows[at]["risk"] if at < stated else None for at in called}

    def all_of(weights: FloatArray) -> dict[tuple[str, int], FloatArray]:
        found = {(name, -1): values for name, values in plain(weights).items()}
        for at, own in called.items():
            values = at_point(own, events, priced[at], weights)
            found |= {(name, at): value for name, value in values.items()}
        return found

    drawn = bootstrap.draw(all_of, count, groups)

    def estimate(name: str, at: int) -> dict[str, Any] | None:
        if (name, at) not in drawn:
            return None
        return bootstrap.judge(drawn[name, at], count, groups).to_dict()

    for at, row in enumerate(rows):
        row |= {name: estimate(name, at) for name in (*OF_POINT, "treat_all")}
        if at in called:
            row |= {"alerts": int(called[at].sum()), "found": int((called[at] & events).sum())}
    metrics = {name: estimate(name, -1) for name, at in drawn if at == -1}
    if 0 in called:
        metrics |= {name: estimate(name, 0) for name in OF_POINT if (name, 0) in drawn}
    return {
        "cases": count,
        "events": int(events.sum()),
        "counts": dict(Counter(cases["status"].to_pylist())),
        "metrics": metrics,
        "points": rows,
        "curves": {
            "roc": metric.roc_curve(risks, events, ROC_POINTS),
            "precision": _precision(risks, events),
            "calibration": _tenths(risks, events, groups, bootstrap),
            "histogram": np.histogram(risks, BARS, (0, 1))[0].tolist(),
            "decision": _decision(risks, events, groups, bootstrap),
        },
    }


def _precision(risks: FloatArray, events: BoolArray) -> tuple[list[float], list[float]]:
    """Recall and precision over falling thresholds, at most about ROC_POINTS of them."""
    gains, losses = (
        one[0].cumsum() for one in metric.steps(risks, events, np.ones((1, len(risks))))
    )
    keep = np.unique(np.linspace(0, len(gains) - 1, ROC_POINTS).round().astype(int))
    recall = gains[keep] / max(gains[-1], 1.0)
    return recall.tolist(), (gains[keep] / (gains[keep] + losses[keep])).tolist()


def _tenths(
    risks: FloatArray, events: BoolArray, groups: Sequence[str] | None, bootstrap: Bootstrap
) -> dict[str, list[Any]]:
    """Mean risk and share of events of groups of equal size by risk, with intervals where enough
    subjects are in them; equal risks are never parted."""
    ranks = np.searchsorted(np.sort(risks), risks, side="left")
    _, group = np.unique(ranks * TENTHS // len(risks), return_inverse=True)
    found: dict[str, list[Any]] = {
        name: [] for name in ("confidence", "frequency", "low", "high", "cases", "events")
    }
    for at in range(int(group.max()) + 1):
        own = group == at
        share = bootstrap.estimate(partial(metric.share, events, own), len(risks), groups, own)
        found["confidence"].append(float(risks[own].mean()))
        found["frequency"].append(share.value)
        found["low"].append(share.low)
        found["high"].append(share.high)
        found["cases"].append(int(own.sum()))
        found["events"].append(int((own & events).sum()))
    return found


def _decision(
    risks: FloatArray, events: BoolArray, groups: Sequence[str] | None, bootstrap: Bootstrap
) -> Mapping[str, list[Any]]:
    """Net benefit at each of RISKS, with its interval, and that of alerts for all."""
    price = np.array(RISKS) / (1 - np.array(RISKS))
    alerts = risks[:, None] >= np.array(RISKS)
    worth = np.where(events[:, None], 1.0, -price)

    def of(weights: FloatArray) -> dict[int, FloatArray]:
        total = weights.sum(axis=1, keepdims=True)
        values = weights @ (alerts * worth) / total
        return dict(enumerate(values.T))

    drawn = bootstrap.draw(of, len(risks), groups)
    each = [bootstrap.judge(drawn[at], len(risks), groups) for at in range(len(RISKS))]
    return {
        "risk": list(RISKS),
        "value": [one.value for one in each],
        "low": [one.low for one in each],
        "high": [one.high for one in each],
        "all": worth.mean(axis=0).tolist(),
    }
