"""Linear baselines: what logistic or ridge regression makes of the same samples.

A network that is no better than these has learnt nothing they had not; so they stand beside it.
Regularisation is chosen within the training samples alone. All is deterministic.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from medray.errors import SpecError

Link = Literal["softmax", "sigmoid", "identity"]

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # of logistic regression: sklearn's C
ALPHAS = tuple(10.0**power for power in range(-1, 7))  # of ridge regression
PARTS = 5  # inner folds
FEW = 2000  # samples up to which every inner fold is tried, else one
STEPS = (1000, 150)  # of the optimiser, for few samples and for many: 150 are converged enough
ROWS = 4096  # at a time, of ridge regression: (rows, columns) float64
NEVER = -30.0  # logit of a class that training samples lack


@dataclass(frozen=True)
class Linear:
    """A fitted baseline.

    Args:
        coefficients: float32 (columns, answers).
        intercepts: float32 (answers,).
        link: from scores to answers: probabilities of classes, of labels, or the values.
    """

    coefficients: np.ndarray
    intercepts: np.ndarray
    link: Link

    def answers(self, design: np.ndarray) -> np.ndarray:
        """float32 (samples, answers), as Task.probabilities has them."""
        scores = design @ self.coefficients + self.intercepts
        if self.link == "softmax":
            scores = np.exp(scores - scores.max(1, keepdims=True))
            scores = scores / scores.sum(1, keepdims=True)
        elif self.link == "sigmoid":
            scores = 1 / (1 + np.exp(-np.clip(scores, -60, 60)))
        made: np.ndarray = scores.astype(np.float32)
        return made


def fit_classes(design: np.ndarray, classes: np.ndarray, count: int) -> Linear:
    """Logistic regression of one class each.

    Args:
        design: float32 (samples, columns).
        classes: int (samples,), from 0.
        count: classes that there are.

    Raises:
        SpecError: all samples are of one class (code "one-class").
    """
    present = np.unique(classes)
    if len(present) < 2:
        raise SpecError("all training samples are of one class", code="one-class")
    reduced, back, centre, scale = _reduced(design)
    fitted = _logistic(reduced, classes)
    weights = np.zeros((design.shape[1], count))
    intercepts = np.full(count, NEVER)
    found, at = back @ fitted.coef_.T, fitted.intercept_
    if len(present) == 2:  # one score, of the second class against the first
        found = np.concatenate([np.zeros_like(found), found], 1)
        at = np.array([0.0, at[0]])
    weights[:, present], intercepts[present] = found, at
    return _unscaled(weights, intercepts, centre, scale, "softmax")


def fit_labels(design: np.ndarray, labels: np.ndarray) -> Linear:
    """Logistic regression of each of several labels: 0 or 1, (samples, labels)."""
    reduced, back, centre, scale = _reduced(design)
    weights = np.zeros((design.shape[1], labels.shape[1]))
    intercepts = np.zeros(labels.shape[1])
    for number, column in enumerate((labels > 0.5).T):
        if column.all() or not column.any():
            intercepts[number] = -NEVER if column.all() else NEVER
            continue
        fitted = _logistic(reduced, column.astype(int))
        weights[:, number], intercepts[number] = back @ fitted.coef_[0], fitted.intercept_[0]
    return _unscaled(weights, intercepts, centre, scale, "sigmoid")


def fit_values(design: np.ndarray, values: np.ndarray) -> Linear:
    """Ridge regression of each value, NaN where it is not known: (samples, values)."""
    reduced, back, centre, scale = _reduced(design)
    weights = np.zeros((design.shape[1], values.shape[1]))
    intercepts = np.zeros(values.shape[1])
    for number, column in enumerate(values.T.astype(np.float64)):
        known = np.flatnonzero(~np.isnan(column))
        inside, target = reduced[known], column[known]
        mean = target.mean() if len(target) else 0.0
        held = np.arange(len(known)) % PARTS == 0
        alpha = ALPHAS[-1]
        if (~held).any() and held.any():
            tried = _ridge(inside[~held], target[~held] - mean, ALPHAS)
            errors = ((inside[held] @ tried + mean - target[held][:, None]) ** 2).mean(0)
            alpha = ALPHAS[int(errors.argmin())]
        weights[:, number] = back @ _ridge(inside, target - mean, (alpha,))[:, 0]
        intercepts[number] = mean
    return _unscaled(weights, intercepts, centre, scale, "identity")


def _ridge(design: np.ndarray, target: np.ndarray, alphas: Sequence[float]) -> np.ndarray:
    """Coefficients (columns, alphas), by one eigendecomposition of the normal equations."""
    columns = design.shape[1]
    gram, moment = np.zeros((columns, columns)), np.zeros(columns)
    for start in range(0, len(design), ROWS):
        some = design[start : start + ROWS].astype(np.float64)
        gram += some.T @ some
        moment += some.T @ target[start : start + ROWS]
    values, vectors = np.linalg.eigh(gram)
    turned = vectors.T @ moment
    shrunk = turned[:, None] / (np.maximum(values, 0)[:, None] + np.asarray(alphas)[None])
    made: np.ndarray = vectors @ shrunk
    return made


def _logistic(design: np.ndarray, classes: np.ndarray):  # type: ignore[no-untyped-def]  # noqa: ANN202 - sklearn's
    """Fitted with the strength that loses least on inner folds."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss

    steps = STEPS[0] if len(classes) <= FEW else STEPS[1]

    def fit(strength: float, some: np.ndarray) -> LogisticRegression:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            return LogisticRegression(C=strength, max_iter=steps).fit(design[some], classes[some])

    names = np.unique(classes)
    part = np.empty(len(classes), int)
    for name in names:  # every part has its share of each class
        part[classes == name] = np.arange((classes == name).sum()) % PARTS
    losses = dict.fromkeys(STRENGTHS, 0.0)
    for number in range(PARTS if len(classes) <= FEW else 1):
        inner, held = part != number, part == number
        if len(np.unique(classes[inner])) < len(names) or not held.any():
            continue
        for strength in STRENGTHS:
            model = fit(strength, inner)
            losses[strength] += log_loss(
                classes[held], model.predict_proba(design[held]), labels=names
            ) * int(held.sum())
    best = min(STRENGTHS, key=lambda strength: losses[strength])
    return fit(best, np.ones(len(classes), bool))


def _reduced(design: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Standardised columns; where they outnumber samples, turned into the samples' own space.

    A penalty on the length of the coefficients does not change under a rotation, so nothing is
    lost (Hastie and Tibshirani 2004), and 72 samples of 7,129 genes have 72 columns.

    Returns:
        (samples, k), the way back (columns, k), centre and scale of the columns.
    """
    centre = design.mean(0, dtype=np.float64)
    scale = design.std(0, dtype=np.float64)
    scale[scale < 1e-12] = 1.0
    scaled = ((design - centre) / scale).astype(np.float32)
    if scaled.shape[1] <= scaled.shape[0]:
        return scaled, np.eye(scaled.shape[1], dtype=np.float32), centre, scale
    left, sizes, right = np.linalg.svd(scaled.astype(np.float64), full_matrices=False)
    kept = sizes > 1e-9 * max(sizes[0], 1e-300)
    return left[:, kept] * sizes[kept], right[kept].T, centre, scale


def _unscaled(
    weights: np.ndarray, intercepts: np.ndarray, centre: np.ndarray, scale: np.ndarray, link: Link
) -> Linear:
    weights = weights / scale[:, None]
    moved = intercepts - centre @ weights
    return Linear(weights.astype(np.float32), moved.astype(np.float32), link)
