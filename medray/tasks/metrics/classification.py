"""Judge class probabilities: one row per case, then a summary over cases.

A case without a prediction gets the worst one there is (all probability on a wrong class; for
multi-label the opposite of every label), is marked `no-prediction` and counted, never left out.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from medray.errors import DataError
from medray.tasks.metrics import probability as metric
from medray.tasks.metrics.bootstrap import Bootstrap, Draws, Estimate, FloatArray, subjects

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]

UNKNOWN = -1
METRICS = (
    "auroc",
    "average_precision",
    "sensitivity",
    "specificity",
    "precision",
    "accuracy",
    "mcc",
    "brier",
    "ece",
)

CASE_SCHEMA = pa.schema(
    [
        ("status", pa.string()),
        ("actual", pa.list_(pa.int64())),
        ("called", pa.list_(pa.int64())),
        ("probability", pa.list_(pa.float64())),
        ("error", pa.float64()),
    ]
)


def score_classification(
    probabilities: FloatArray,
    targets: IntArray,
    classes: Sequence[str],
    *,
    missing: BoolArray | None = None,
    threshold: float = 0.5,
) -> list[dict[str, Any]]:
    """Score cases: a row each.

    Args:
        probabilities: (cases, classes), rows summing to 1; for multi-label, each 0 … 1 by itself.
        targets: (cases,) class numbers; or (cases, classes) of 0, 1 and UNKNOWN for multi-label.
        classes: their names.
        missing: (cases,), True where there is no prediction; that row of probabilities is ignored.
        threshold: above it a label of multi-label is called; else the most probable class is.

    Returns:
        Rows with the columns of CASE_SCHEMA: `actual` and `called` as 0/1 per class (UNKNOWN = -1),
        `error` the mean over known classes of |probability - actual|, 0 … 1.

    Raises:
        DataError: shapes that don't fit ("grid-mismatch"), a target that is no class
            ("unknown-label"), or a probability outside 0 … 1 ("nonfinite-output").
    """
    n, k = len(targets), len(classes)
    if probabilities.shape != (n, k) or targets.shape not in {(n,), (n, k)}:
        raise DataError(
            f"probabilities {probabilities.shape} and targets {targets.shape} for {k} classes",
            code="grid-mismatch",
        )
    multilabel = targets.ndim == 2
    low, high = (UNKNOWN, 1) if multilabel else (0, k - 1)
    if n and not (low <= targets.min() and targets.max() <= high):
        raise DataError(f"a target is outside {low}…{high}", code="unknown-label")
    gone = np.zeros(n, dtype=bool) if missing is None else missing
    given = probabilities[~gone]
    if not (np.isfinite(given).all() and (given >= 0).all() and (given <= 1).all()):
        raise DataError("a probability is outside 0…1", code="nonfinite-output")
    actual = targets if multilabel else np.eye(k, dtype=np.int64)[targets]
    worst = 1.0 - actual if multilabel else np.eye(k)[(targets + 1) % k]
    used = np.where(gone[:, None], np.where(actual == UNKNOWN, 0.5, worst), probabilities)
    called = used > threshold if multilabel else np.eye(k, dtype=bool)[used.argmax(axis=1)]
    known = actual != UNKNOWN
    error = (np.abs(used - actual) * known).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    if not multilabel:
        error *= k / 2  # 1 - probability of the truth, whatever the number of classes
    return [
        {
            "status": "no-prediction" if gone[i] else "scored",
            "actual": actual[i].tolist(),
            "called": called[i].astype(np.int64).tolist(),
            "probability": used[i].tolist(),
            "error": float(error[i]),
        }
        for i in range(n)
    ]


def summarise_classification(
    cases: pa.Table,
    classes: Sequence[str],
    bootstrap: Bootstrap | None = None,
    *,
    multilabel: bool = False,
    worst: int = 10,
) -> dict[str, Any]:
    """Metrics with 95 % intervals, overall and per class, curves and the worst cases.

    Two classes: the second is the positive one, and the metrics are its. More, or multi-label: each
    class against the rest, and the mean over the classes for which a metric is defined.

    Args:
        cases: rows of CASE_SCHEMA with `case`, and `subject` where cases share subjects.
        classes: names, in the order of the probabilities.
        bootstrap: how intervals are made.
        multilabel: whether a case may have several classes, or none.
        worst: how many of the worst cases to list.

    Returns:
        {"task", "kind", "cases", "counts", "metrics": {name: estimate}, "classes": {class: {name:
        estimate}}, "confusion": (actual, called) counts or None, "curves": {"roc", "reliability"},
        "worst": [row, …]}; JSON-able.
    """
    bootstrap = bootstrap or Bootstrap()
    actual, called, scores = (
        np.asarray(cases[name].to_pylist()) for name in ("actual", "called", "probability")
    )
    kind = "multilabel" if multilabel else "binary" if len(classes) == 2 else "multiclass"
    judged = [1] if kind == "binary" else range(len(classes))
    groups = subjects(cases)
    single = {
        classes[j]: _Label(scores[:, j], actual[:, j] == 1, called[:, j] == 1, actual[:, j] >= 0)
        for j in judged
    }
    labels = list(single.values())
    top, right = scores.max(axis=1), (called == actual).all(axis=1)
    everyone = np.ones(len(cases), dtype=bool)

    def statistics(w: FloatArray) -> dict[tuple[str, str], FloatArray]:
        each = {
            (name, key): values
            for name, label in single.items()
            for key, values in label.statistics(w).items()
        }
        if kind == "multiclass":  # of all classes at once; the class "" is all of them
            truth = (actual == 1).astype(np.float64)
            each["", "accuracy"] = metric.share(right, everyone, w)
            each["", "mcc"] = metric.matthews(called == 1, actual == 1, w)
            each["", "brier"] = metric.brier(scores, truth, w)
            each["", "ece"] = metric.calibration_error(top, right, w)
        return each

    drawn = bootstrap.draw(statistics, len(cases), groups)
    if kind == "multiclass":
        reliability = {"winning class": metric.reliability(top, right)}
    else:
        reliability = {
            name: metric.reliability(label.score[label.known], label.positive[label.known])
            for name, label in single.items()
        }

    def estimate(draws: Draws, behind: npt.ArrayLike) -> dict[str, Any]:
        found: Estimate = bootstrap.judge(draws, len(cases), groups, behind)
        return found.to_dict()

    def overall(key: str) -> Draws:
        own = drawn.get(("", key))
        return own or _macro([drawn[name, key] for name in single])

    anyone = np.any([label.known for label in labels], axis=0)

    return {
        "task": "classification",
        "kind": kind,
        "cases": len(cases),
        "counts": dict(Counter(cases["status"].to_pylist())),
        "metrics": {
            **{key: estimate(overall(key), anyone) for key in METRICS},
            **_sets(cases, bootstrap, groups),
        },
        "classes": {
            name: {
                "positives": int(label.positive.sum()),
                **{key: estimate(drawn[name, key], label.known) for key in METRICS},
            }
            for name, label in single.items()
        },
        "confusion": None if multilabel else (actual.T @ called).tolist(),
        "curves": {
            "roc": {
                name: metric.roc_curve(label.score[label.known], label.positive[label.known])
                for name, label in single.items()
            },
            "reliability": {
                name: {"confidence": r.confidence, "frequency": r.frequency, "cases": r.cases}
                for name, r in reliability.items()
            },
        },
        "worst": _worst(cases, worst),
    }


def _sets(
    cases: pa.Table, bootstrap: Bootstrap, groups: Sequence[str] | None
) -> dict[str, dict[str, Any]]:
    """Where cases have prediction sets: how many hold the truth, and how large they are. A case
    without a prediction has none that holds it."""
    if "covered" not in cases.column_names:
        return {}
    covered = np.array([one is True for one in cases["covered"].to_pylist()], np.float64)
    sizes = np.array([np.nan if one is None else one for one in cases["set_size"].to_pylist()])
    told = ~np.isnan(sizes)
    known, held = np.where(told, sizes, 0), told.astype(np.float64)
    size = bootstrap.estimate(
        lambda w: (w @ known) / np.maximum(w @ held, 1), len(cases), groups, told
    )
    return {"coverage": bootstrap.mean(covered, groups).to_dict(), "set_size": size.to_dict()}


class _Label:
    """One class against the rest, where its truth is known."""

    def __init__(
        self, score: FloatArray, positive: BoolArray, called: BoolArray, known: BoolArray
    ) -> None:
        self.score, self.positive, self.called, self.known = score, positive, called, known

    def statistics(self, weights: FloatArray) -> dict[str, FloatArray]:
        """Each metric under case weights; unknown cases weigh nothing."""
        score, positive, called, known = self.score, self.positive, self.called, self.known
        negative, truth = known & ~positive, positive.astype(np.float64)
        sides, sides_called = (np.stack([~one, one], 1) for one in (positive, called))
        w = weights if known.all() else weights * known
        ranked = metric.steps(score, positive, w)
        return {
            "auroc": metric.area(*ranked),
            "average_precision": metric.mean_precision(*ranked),
            "sensitivity": metric.share(called, positive, w),
            "specificity": metric.share(~called, negative, w),
            "precision": metric.share(positive, called & known, w),
            "accuracy": metric.share(called == positive, known, w),
            "mcc": metric.matthews(sides_called, sides, w),
            "brier": metric.brier(score, truth, w),
            "ece": metric.calibration_error(score, positive, w),
        }


def _macro(draws: Sequence[Draws]) -> Draws:
    """The mean of those statistics that the whole data defines."""
    defined = [one for one in draws if np.isfinite(one.value)]
    if not defined:
        return Draws(np.nan, np.empty(0))
    value = float(np.mean([one.value for one in defined]))
    return Draws(value, np.mean([one.resampled for one in defined], axis=0))


def _worst(cases: pa.Table, count: int) -> list[dict[str, Any]]:
    """The rows with the largest error."""
    rows: list[dict[str, Any]] = (
        cases.sort_by([("error", "descending")]).slice(0, count).to_pylist()
    )
    return rows
