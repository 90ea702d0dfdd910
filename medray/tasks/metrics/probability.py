"""Metrics of a score against a yes-or-no truth, of labels against labels, and of calibration.

Each takes case weights of shape (repeats, cases) and returns (repeats,), so that a bootstrap is one
call (see bootstrap.py); `np.ones((1, cases))` gives the plain value. What isn't defined (no
positive case, a class that nobody has) is NaN here and null in a report.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

CALIBRATION_BINS = 15
SUREST = (
    1e-7  # probability below which a logarithm takes this: one bad case is not all that is told
)


def auroc(scores: FloatArray, positive: BoolArray, weights: FloatArray) -> FloatArray:
    """Area under the ROC curve: the chance that a positive outranks a negative, ties counting half.

    Args:
        scores: (cases,), higher means more likely positive.
        positive: (cases,).
        weights: (repeats, cases).
    """
    return area(*steps(scores, positive, weights))


def average_precision(scores: FloatArray, positive: BoolArray, weights: FloatArray) -> FloatArray:
    """Sum over thresholds of (gain in recall) x precision, without interpolation, as scikit-learn.

    Shapes as in `auroc`.
    """
    return mean_precision(*steps(scores, positive, weights))


def area(gains: FloatArray, losses: FloatArray) -> FloatArray:
    """`auroc` of `steps`, which ranking metrics of the same scores can share."""
    above = np.cumsum(gains, axis=1) - 0.5 * gains
    return _ratio((losses * above).sum(axis=1), gains.sum(axis=1) * losses.sum(axis=1))


def mean_precision(gains: FloatArray, losses: FloatArray) -> FloatArray:
    """`average_precision` of `steps`."""
    hits = np.cumsum(gains, axis=1)
    called = np.maximum(hits + np.cumsum(losses, axis=1), np.finfo(np.float64).tiny)
    return _ratio((gains * hits / called).sum(axis=1), hits[:, -1])


def share(correct: BoolArray, among: BoolArray, weights: FloatArray) -> FloatArray:
    """Weighted share of the cases in `among` that are `correct`; both (cases,).

    Accuracy is the share of right labels among all, sensitivity among the positives, specificity
    among the negatives.
    """
    return _ratio(weights @ (correct & among), weights @ among)


def matthews(called: BoolArray, actual: BoolArray, weights: FloatArray) -> FloatArray:
    """Matthews' correlation of called and actual classes; of more than two, Gorodkin's (2004) R_K.

    1 is perfect, 0 no better than chance; not defined where all cases are, or are called, the same.

    Args:
        called: (cases, classes), one True in each row; a row of no case is left out by its weight.
        actual: the same shape.
        weights: (repeats, cases).
    """
    total = weights.sum(axis=1)
    right = weights @ (called & actual).any(axis=1)
    given, there = weights @ called, weights @ actual
    spread = (total**2 - (given**2).sum(axis=1)) * (total**2 - (there**2).sum(axis=1))
    return _ratio(right * total - (given * there).sum(axis=1), np.sqrt(spread))


def brier(probabilities: FloatArray, truth: FloatArray, weights: FloatArray) -> FloatArray:
    """Mean squared error of probabilities (Brier 1950); 0 is perfect.

    Args:
        probabilities: (cases,) of one label, error (p - y)², 0 … 1; or (cases, classes), where the
            squares are summed over classes, 0 … 2.
        truth: 0 or 1, the same shape.
        weights: (repeats, cases).
    """
    squares = (probabilities - truth) ** 2
    per_case = squares if squares.ndim == 1 else squares.sum(axis=1)
    return _ratio(weights @ per_case, weights.sum(axis=1))


def log_loss(probabilities: FloatArray, truth: FloatArray, weights: FloatArray) -> FloatArray:
    """Mean of -log of the probability that was given to what is so; 0 is perfect.

    Args:
        probabilities: of one label, (cases,); none counts as surer than 1e-7, whose loss is 16.1.
        truth: 0 or 1, (cases,).
        weights: (repeats, cases).
    """
    given = np.clip(np.where(truth > 0.5, probabilities, 1 - probabilities), SUREST, None)
    return _ratio(weights @ -np.log(given), weights.sum(axis=1))


def calibration_error(confidence: FloatArray, hit: BoolArray, weights: FloatArray) -> FloatArray:
    """Expected calibration error (Guo et al. 2017): 15 equal bins, weighted by their cases.

    Args:
        confidence: (cases,), 0 … 1: the probability of the label, or of the winning class.
        hit: (cases,), whether the label is there, or the winning class right.
        weights: (repeats, cases).
    """
    in_bin = np.eye(CALIBRATION_BINS)[_bins(confidence)]
    gap = weights @ (in_bin * (hit - confidence)[:, None])
    return _ratio(np.abs(gap).sum(axis=1), weights.sum(axis=1))


@dataclass(frozen=True, slots=True)
class Reliability:
    """Of each filled calibration bin: mean confidence, share of hits, number of cases."""

    confidence: list[float]
    frequency: list[float]
    cases: list[int]


def reliability(confidence: FloatArray, hit: BoolArray) -> Reliability:
    """The points of a reliability diagram, with the bins of `calibration_error`."""
    bins = _bins(confidence)
    count = np.bincount(bins, minlength=CALIBRATION_BINS)
    filled = count > 0
    sums = (np.bincount(bins, w, minlength=CALIBRATION_BINS) for w in (confidence, hit))
    mean_confidence, frequency = (s[filled] / count[filled] for s in sums)
    return Reliability(mean_confidence.tolist(), frequency.tolist(), count[filled].tolist())


def roc_curve(
    scores: FloatArray, positive: BoolArray, points: int = 200
) -> tuple[list[float], list[float]]:
    """False and true positive rates over falling thresholds, from (0, 0) to (1, 1).

    At most about `points` are kept, evenly by rank, so that a page doesn't grow with the data.
    """
    gains, losses = steps(scores, positive, np.ones((1, len(scores))))
    rates = [
        np.concatenate([[0.0], np.cumsum(step[0]) / max(step[0].sum(), 1.0)])
        for step in (losses, gains)
    ]
    keep = np.unique(np.linspace(0, len(rates[0]) - 1, points).round().astype(int))
    return rates[0][keep].tolist(), rates[1][keep].tolist()


def steps(
    scores: FloatArray, positive: BoolArray, weights: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Weight of positives and of negatives at each distinct score, falling: (repeats, scores)."""
    order = np.argsort(-scores, kind="stable")
    falling = scores[order]
    first_of_tie = np.flatnonzero(np.r_[True, falling[1:] != falling[:-1]])
    ordered, truth = weights[:, order], positive[order]
    gains = ordered * truth
    losses = ordered - gains
    if len(first_of_tie) < len(falling):
        gains, losses = (np.add.reduceat(one, first_of_tie, axis=1) for one in (gains, losses))
    return gains, losses


def _bins(confidence: FloatArray) -> npt.NDArray[np.intp]:
    """The bin of each confidence; bins are (k/15, (k+1)/15], the first one closed."""
    bins = np.ceil(confidence * CALIBRATION_BINS).astype(np.intp) - 1
    return np.clip(bins, 0, CALIBRATION_BINS - 1)


def _ratio(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    """Quotient, NaN where the denominator is 0."""
    result = np.full(denominator.shape, np.nan)
    np.divide(numerator, denominator, out=result, where=denominator > 0)
    return result
