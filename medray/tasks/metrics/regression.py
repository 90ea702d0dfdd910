"""Judge predicted values: one row per case, then a summary over cases.

Metrics take case weights of shape (repeats, cases) and return (repeats,), NaN where they are not
defined; see bootstrap.py. A case without a prediction gets the truth of that case which is furthest
from its own, is marked `no-prediction` and counted, never left out.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from medray.errors import DataError
from medray.tasks.metrics.bootstrap import Bootstrap, FloatArray, subjects
from medray.tasks.metrics.concordance import concordance

CALIBRATION_GROUPS = 10

CASE_SCHEMA = pa.schema(
    [
        ("status", pa.string()),
        ("actual", pa.list_(pa.float64())),
        ("predicted", pa.list_(pa.float64())),
        ("error", pa.float64()),
    ]
)


def r2(predicted: FloatArray, actual: FloatArray, weights: FloatArray) -> FloatArray:
    """Share of the variance explained, 1 - sum (y - p)^2 / sum (y - mean y)^2; may be negative.

    Args:
        predicted: (cases,).
        actual: (cases,).
        weights: (repeats, cases).
    """
    left = weights @ (actual - predicted) ** 2
    return 1 - _ratio(left, _spread(actual, actual, weights))


def pearson(predicted: FloatArray, actual: FloatArray, weights: FloatArray) -> FloatArray:
    """Linear correlation; shapes as in `r2`."""
    both = _spread(predicted, actual, weights)
    own = _spread(predicted, predicted, weights) * _spread(actual, actual, weights)
    return _ratio(both, np.sqrt(np.maximum(own, 0)))


def spearman(predicted: FloatArray, actual: FloatArray, weights: FloatArray) -> FloatArray:
    """Correlation of ranks, ties at their middle rank; shapes as in `r2`.

    Ranks are those within a replicate, where a case drawn twice stands there twice.
    """
    first, second = _ranks(predicted, weights), _ranks(actual, weights)
    total = weights.sum(1)
    first -= (weights * first).sum(1, keepdims=True) / total[:, None]
    second -= (weights * second).sum(1, keepdims=True) / total[:, None]
    own = (weights * first**2).sum(1) * (weights * second**2).sum(1)
    return _ratio((weights * first * second).sum(1), np.sqrt(own))


def rmse(predicted: FloatArray, actual: FloatArray, weights: FloatArray) -> FloatArray:
    """Root of the mean squared error, in the values' unit; shapes as in `r2`."""
    return np.sqrt(mse(predicted, actual, weights))


def mse(predicted: FloatArray, actual: FloatArray, weights: FloatArray) -> FloatArray:
    """Mean squared error, in the square of the values' unit; shapes as in `r2`."""
    return _ratio(weights @ (actual - predicted) ** 2, weights.sum(1))


def mae(predicted: FloatArray, actual: FloatArray, weights: FloatArray) -> FloatArray:
    """Mean absolute error, in the values' unit; shapes as in `r2`."""
    return _ratio(weights @ np.abs(actual - predicted), weights.sum(1))


def mean(values: FloatArray, _: FloatArray, weights: FloatArray) -> FloatArray:
    """Of `values`, whatever the truth; shapes as in `r2`."""
    return _ratio(weights @ values, weights.sum(1))


METRICS: dict[str, Callable[[FloatArray, FloatArray, FloatArray], FloatArray]] = {
    "r2": r2,
    "pearson": pearson,
    "spearman": spearman,
    "ci": concordance,
    "rmse": rmse,
    "mse": mse,
    "mae": mae,
}


def score_regression(
    actual: FloatArray,
    predicted: FloatArray | None,
    interval: tuple[FloatArray, FloatArray] | None = None,
) -> dict[str, Any]:
    """The row of one case.

    Args:
        actual: (values,), NaN where a value is not known.
        predicted: (values,); None: there is no prediction.
        interval: lower and upper ends, (values,), where the answer has them.

    Returns:
        A row of CASE_SCHEMA; `error` is the mean absolute error over known values, None where there
        is none, or no prediction. With an interval `covered`, whether each known value lies in it,
        and `width`.

    Raises:
        DataError: not as many values as known ones ("grid-mismatch"), or a prediction that is no
            number ("nonfinite-output").
    """
    if predicted is None:
        given, error = [None] * len(actual), None
    else:
        if predicted.shape != actual.shape:
            raise DataError(
                f"{len(predicted)} predicted values for {len(actual)}", code="grid-mismatch"
            )
        if not np.isfinite(predicted).all():
            raise DataError("a predicted value is NaN or Inf", code="nonfinite-output")
        known = ~np.isnan(actual)
        given, error = predicted.tolist(), None
        if known.any():
            error = float(np.abs(predicted - actual)[known].mean())
    row = {
        "status": "no-prediction" if predicted is None else "scored",
        "actual": [None if np.isnan(value) else float(value) for value in actual],
        "predicted": given,
        "error": error,
    }
    if interval is not None:
        low, high = interval
        inside = (low <= actual) & (actual <= high)
        told = zip(inside.tolist(), np.isnan(actual).tolist(), strict=True)
        row["covered"] = [None if unknown else one for one, unknown in told]
        row["width"] = (high - low).tolist()
    return row


def summarise_regression(
    cases: pa.Table, names: Sequence[str], bootstrap: Bootstrap | None = None, *, worst: int = 10
) -> dict[str, Any]:
    """Metrics with 95 % intervals, of each value and their mean over values.

    Args:
        cases: rows of CASE_SCHEMA with `case`, and `subject` where cases share subjects.
        names: of the values.
        bootstrap: how intervals are made.
        worst: how many of the worst cases to list.

    Returns:
        {"task", "cases", "counts", "metrics": {name: estimate}, "classes": {value: {"known",
        metric: estimate}}, "curves": {"calibration": {value: {"predicted", "actual", "cases"}}},
        "worst"}; JSON-able. The curve has tenths of the cases by their prediction: mean prediction
        and mean truth. Where cases have intervals, `coverage` (a case without a prediction has
        none that holds it) and mean `width` are among the metrics.
    """
    bootstrap = bootstrap or Bootstrap()
    groups, count = subjects(cases), len(cases)
    actual, predicted = (_matrix(cases[name], len(names)) for name in ("actual", "predicted"))
    missing = np.asarray(cases["status"].to_pylist()) == "no-prediction"
    inside, width = (
        _matrix(cases[name], len(names)) if name in cases.column_names else None
        for name in ("covered", "width")
    )
    single: list[dict[str, Callable[[FloatArray], FloatArray]]] = []
    curves = {}
    for index, name in enumerate(names):
        truth, given = actual[:, index], predicted[:, index]
        told = ~np.isnan(truth)
        truth = np.where(told, truth, 0.0)
        if told.any():
            low, high = truth[told].min(), truth[told].max()
            given = np.where(missing, np.where(truth - low > high - truth, low, high), given)
        single.append({key: _bound(metric, given, truth, told) for key, metric in METRICS.items()})
        if inside is not None and width is not None:
            held = np.nan_to_num(inside[:, index])
            single[-1]["coverage"] = _bound(mean, held, truth, told)
            single[-1]["width"] = _bound(mean, width[:, index], truth, told & ~missing)
        curves[name] = _calibration(given[told], truth[told])

    known = ~np.isnan(actual)

    def estimate(
        statistic: Callable[[FloatArray], FloatArray], behind: npt.ArrayLike
    ) -> dict[str, Any]:
        return bootstrap.estimate(statistic, count, groups, behind).to_dict()

    def mean_of(key: str) -> Callable[[FloatArray], FloatArray]:
        return lambda w: np.mean([statistics[key](w) for statistics in single], axis=0)

    each = {
        name: {
            "known": int(known[:, index].sum()),
            **{key: estimate(one, known[:, index]) for key, one in single[index].items()},
        }
        for index, name in enumerate(names)
    }
    return {
        "task": "regression",
        "cases": count,
        "counts": dict(Counter(cases["status"].to_pylist())),
        "metrics": {
            key: each[names[0]][key] if len(names) == 1 else estimate(mean_of(key), known.any(1))
            for key in single[0]
        },
        "classes": each,
        "curves": {"calibration": curves},
        "worst": _worst(cases, worst),
    }


def _worst(cases: pa.Table, count: int) -> list[dict[str, Any]]:
    """The rows without a prediction, then those with the largest error; none without a truth."""
    missing = pc.equal(cases["status"], "no-prediction")
    cases = cases.filter(pc.or_(missing, pc.is_valid(cases["error"])))
    error = pc.fill_null(cases["error"], float("inf"))
    order = pc.sort_indices(error, sort_keys=[("", "descending")])
    rows: list[dict[str, Any]] = cases.take(order[:count]).to_pylist()
    return rows


def _bound(
    metric: Callable[[FloatArray, FloatArray, FloatArray], FloatArray],
    predicted: FloatArray,
    actual: FloatArray,
    known: np.ndarray,
) -> Callable[[FloatArray], FloatArray]:
    if not known.any():
        return lambda w: np.full(len(w), np.nan)
    return lambda w: metric(predicted[known], actual[known], w[:, known])


def _calibration(predicted: FloatArray, actual: FloatArray) -> dict[str, list[Any]]:
    parts = np.array_split(np.argsort(predicted, kind="stable"), CALIBRATION_GROUPS)
    filled = [part for part in parts if len(part)]
    return {
        "predicted": [float(predicted[part].mean()) for part in filled],
        "actual": [float(actual[part].mean()) for part in filled],
        "cases": [len(part) for part in filled],
    }


def _matrix(column: pa.ChunkedArray, width: int) -> FloatArray:
    unknown = [None] * width
    rows = [[np.nan if v is None else v for v in row or unknown] for row in column.to_pylist()]
    return np.asarray(rows, np.float64).reshape(len(rows), width)


def _spread(first: FloatArray, second: FloatArray, weights: FloatArray) -> FloatArray:
    """Weighted sum of products of deviations from the weighted means: (repeats,)."""
    # About the plain means first: the sums below would lose digits where values are far from 0.
    first, second = first - first.mean(), second - second.mean()
    total = np.maximum(weights.sum(1), np.finfo(np.float64).tiny)
    spread: FloatArray = weights @ (first * second)
    spread -= (weights @ first) * (weights @ second) / total
    return spread


def _ranks(values: FloatArray, weights: FloatArray) -> FloatArray:
    """Middle rank of each case among the cases as often as they are drawn: (repeats, cases)."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    tie = np.cumsum(np.r_[False, ordered[1:] != ordered[:-1]])
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    drawn = np.add.reduceat(weights[:, order], starts, axis=1)
    middle = np.cumsum(drawn, axis=1) - drawn / 2
    ranks = np.empty_like(weights)
    ranks[:, order] = middle[:, tie]
    return ranks


def _ratio(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    """Quotient, NaN where the denominator is 0."""
    result = np.full(denominator.shape, np.nan)
    np.divide(numerator, denominator, out=result, where=denominator > 0)
    return result
