"""Judge a probability for every base: one row per sequence, then a summary over sequences.

A sequence's bases are kept as two histograms per class, of the scores of bases that are of the
class and of those that are not. Histograms add up, so pooled curves and their bootstrap over
sequences need no base again, however long the sequences. Bins are a sixteenth wide in the logit,
within 8: against exact areas that costs less than 0.001 where scores spread over several bins.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from medray.errors import DataError
from medray.tasks.metrics.bootstrap import Bootstrap, FloatArray, subjects
from medray.tasks.metrics.probability import auroc, average_precision

Statistic = Callable[[FloatArray], FloatArray]
IntArray = npt.NDArray[np.int64]

LIMIT, PER_LOGIT = 8, 16
BINS = 2 * LIMIT * PER_LOGIT
_TINY = 1e-7  # nearest that a float32 probability tells from 0 or 1

CASE_SCHEMA = pa.schema(
    [
        ("status", pa.string()),
        ("bases", pa.int64()),
        ("auroc", pa.list_(pa.float64())),
        ("average_precision", pa.list_(pa.float64())),
        ("f1", pa.list_(pa.float64())),
        ("true_positives", pa.list_(pa.int64())),
        ("false_positives", pa.list_(pa.int64())),
        ("positives", pa.list_(pa.list_(pa.int64()))),
        ("negatives", pa.list_(pa.list_(pa.int64()))),
    ]
)


def judged_classes(classes: int) -> list[int]:
    """Of two classes the second is judged, of more each against the rest."""
    return [1] if classes == 2 else list(range(classes))


def histograms(scores: FloatArray, positive: npt.NDArray[np.bool_]) -> tuple[IntArray, IntArray]:
    """Scores of positives and of negatives, counted in BINS bins from low to high.

    Args:
        scores: probabilities (bases,).
        positive: (bases,).
    """
    p = np.clip(scores.astype(np.float64), _TINY, 1 - _TINY)
    bins = np.floor((np.log(p / (1 - p)) + LIMIT) * PER_LOGIT).astype(np.int64)
    bins = np.clip(bins, 0, BINS - 1)
    return (
        np.bincount(bins[positive], minlength=BINS),
        np.bincount(bins[~positive], minlength=BINS),
    )


def pooled_auroc(positives: FloatArray, negatives: FloatArray) -> FloatArray:
    """Area under the ROC curve of histograms (repeats, BINS); bases of one bin are ties."""
    gains, losses = positives[:, ::-1], negatives[:, ::-1]
    above = np.cumsum(gains, axis=1) - 0.5 * gains
    return _ratio((losses * above).sum(1), gains.sum(1) * losses.sum(1))


def pooled_precision(positives: FloatArray, negatives: FloatArray) -> FloatArray:
    """Average precision of histograms (repeats, BINS): over bins, without interpolation."""
    gains, losses = positives[:, ::-1], negatives[:, ::-1]
    hits = np.cumsum(gains, axis=1)
    called = np.maximum(hits + np.cumsum(losses, axis=1), np.finfo(np.float64).tiny)
    return _ratio((gains * hits / called).sum(1), hits[:, -1])


def f1(true: FloatArray, false: FloatArray, positives: FloatArray) -> FloatArray:
    """2 TP / (called + positives), NaN where both are none. All (repeats,)."""
    return _ratio(2 * true, true + false + positives)


def score_tagging(
    probabilities: FloatArray | None, labels: IntArray, classes: Sequence[str], *, ignore: int
) -> dict[str, Any]:
    """The row of one sequence; without a prediction every base gets probability 0 of its class.

    Args:
        probabilities: (classes, bases); None: there is no prediction.
        labels: (bases,) class numbers, `ignore` where a base is not judged.
        classes: their names.
        ignore: label of bases that are not judged.

    Returns:
        A row of CASE_SCHEMA, with an entry per judged class in each list; areas and F1 are None
        where they are not defined.

    Raises:
        DataError: shapes that don't fit ("grid-mismatch"), a label that is no class
            ("unknown-label"), or a probability outside 0 … 1 ("nonfinite-output").
    """
    count = len(classes)
    known = labels != ignore
    truth = labels[known]
    if len(truth) and truth.max() >= count:
        raise DataError(f"a base has label {truth.max()} of {count}", code="unknown-label")
    if probabilities is None:
        given = 1.0 - np.eye(count)[:, truth]
    elif probabilities.shape != (count, len(labels)):
        raise DataError(
            f"probabilities {probabilities.shape} for {count} classes and {len(labels)} bases",
            code="grid-mismatch",
        )
    else:
        given = probabilities[:, known].astype(np.float64)
    if not ((given >= 0) & (given <= 1)).all():
        raise DataError("a probability is outside 0…1", code="nonfinite-output")
    called = given.argmax(0)
    if probabilities is None:
        called = (truth + 1) % count
    row: dict[str, Any] = {
        "status": "no-prediction" if probabilities is None else "scored",
        "bases": len(truth),
    }
    one = np.ones((1, len(truth)))
    for index in judged_classes(count):
        positive, hit = truth == index, called == index
        true, false = (hit & positive).sum(), (hit & ~positive).sum()
        some, rest = histograms(given[index], positive)
        measures = {"auroc": float("nan"), "average_precision": float("nan")}
        if len(truth):
            measures["auroc"] = float(auroc(given[index], positive, one)[0])
            measures["average_precision"] = float(average_precision(given[index], positive, one)[0])
        measures["f1"] = float(f1(*(np.array([float(n)]) for n in (true, false, some.sum())))[0])
        for name, value in measures.items():
            row.setdefault(name, []).append(None if np.isnan(value) else value)
        row.setdefault("true_positives", []).append(int(true))
        row.setdefault("false_positives", []).append(int(false))
        row.setdefault("positives", []).append(some.tolist())
        row.setdefault("negatives", []).append(rest.tolist())
    return row


def summarise_tagging(
    cases: pa.Table, classes: Sequence[str], bootstrap: Bootstrap | None = None, *, worst: int = 10
) -> dict[str, Any]:
    """Metrics with 95 % intervals by bootstrap over sequences: of all bases pooled, and the mean
    over sequences of each one's own.

    Args:
        cases: rows of CASE_SCHEMA with `case`, and `subject` where cases share subjects.
        classes: names of labels 0, 1, …
        bootstrap: how intervals are made.
        worst: how many of the worst cases to list.

    Returns:
        {"task", "cases", "bases", "counts", "metrics": {name: estimate}, "classes": {class: {name:
        estimate}}, "curves": {"roc"}, "worst"}; JSON-able. Names are auroc, average_precision, f1
        of the pooled bases, and with `_per_sample` the means; overall they are means over classes.
    """
    bootstrap = bootstrap or Bootstrap()
    groups, count = subjects(cases), len(cases)
    judged = [classes[index] for index in judged_classes(len(classes))]
    columns = {
        name: cases[name].to_pylist()
        for name in ("true_positives", "false_positives", "positives", "negatives")
    }
    each: dict[str, dict[str, Statistic]] = {}
    curves = {}
    for at, name in enumerate(judged):
        some, rest, true, false = (
            np.asarray([row[at] for row in columns[key]], np.float64)
            for key in ("positives", "negatives", "true_positives", "false_positives")
        )
        each[name] = _pooled(some, rest, true, false)
        for key in ("auroc", "average_precision", "f1"):
            values = np.asarray([row[at] for row in cases[key].to_pylist()], np.float64)
            each[name][f"{key}_per_sample"] = _mean(values)
        curves[name] = _curve(some.sum(0), rest.sum(0))
    even = np.ones((1, count))

    def estimate(statistic: Statistic) -> dict[str, Any]:
        return bootstrap.estimate(statistic, count, groups).to_dict()

    def mean_over_classes(key: str) -> Statistic:
        defined = [own[key] for own in each.values() if np.isfinite(own[key](even)[0])]
        if not defined:
            return lambda w: np.full(len(w), np.nan)
        return lambda w: np.mean([statistic(w) for statistic in defined], axis=0)

    shown = cases.drop_columns(["positives", "negatives"])
    return {
        "task": "tagging",
        "cases": count,
        "bases": int(np.sum(cases["bases"].to_pylist())),
        "counts": dict(Counter(cases["status"].to_pylist())),
        "metrics": {key: estimate(mean_over_classes(key)) for key in each[judged[0]]},
        "classes": {
            name: {key: estimate(statistic) for key, statistic in own.items()}
            for name, own in each.items()
        },
        "curves": {"roc": curves},
        "worst": _worst(shown, worst),
    }


def _pooled(
    some: FloatArray, rest: FloatArray, true: FloatArray, false: FloatArray
) -> dict[str, Statistic]:
    """Metrics of all bases as functions of case weights; counts are (cases, BINS) and (cases,)."""
    positives = some.sum(1)
    return {
        "auroc": lambda w: pooled_auroc(w @ some, w @ rest),
        "average_precision": lambda w: pooled_precision(w @ some, w @ rest),
        "f1": lambda w: f1(w @ true, w @ false, w @ positives),
    }


def _mean(values: FloatArray) -> Statistic:
    """Mean over the cases that define it."""
    known = ~np.isnan(values)
    return lambda w: _ratio(w[:, known] @ values[known], w[:, known].sum(1))


def _curve(some: FloatArray, rest: FloatArray) -> tuple[list[float], list[float]]:
    """False and true positive rates over falling thresholds, from (0, 0) to (1, 1)."""
    rates = [
        np.concatenate([[0.0], np.cumsum(part[::-1]) / max(part.sum(), 1.0)])
        for part in (rest, some)
    ]
    return rates[0].tolist(), rates[1].tolist()


def _worst(cases: pa.Table, count: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = cases.to_pylist()
    known = [row for row in rows if any(value is not None for value in row["f1"])]
    known.sort(key=lambda row: np.mean([value for value in row["f1"] if value is not None]))
    return known[:count]


def _ratio(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    """Quotient, NaN where the denominator is 0."""
    result = np.full(denominator.shape, np.nan)
    np.divide(numerator, denominator, out=result, where=denominator > 0)
    return result
