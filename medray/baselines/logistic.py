"""Logistic regression of classes, or of labels that may go together.

Its strength is chosen within the training samples alone.
"""

import warnings
from typing import ClassVar, Self

import numpy as np

from medray.baselines.linear import Linear, reduced, unscaled
from medray.errors import SpecError
from medray.tasks.base import Task

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # sklearn's C
PARTS = 5  # inner folds
FEW = 2000  # samples up to which every inner fold is tried, else one
STEPS = (1000, 150)  # of the optimiser, for few samples and for many: 150 are converged enough
NEVER = -30.0  # logit of a class that training samples lack


class Logistic(Linear):
    """Of targets (samples,) a class each, of (samples, labels) each label for itself."""

    name: ClassVar[str] = "logistic"
    most: ClassVar[int] = 20_000

    @classmethod
    def fit(cls, design: np.ndarray, targets: np.ndarray, task: Task) -> Self | None:
        """See Baseline; None where all samples are of one class."""
        if targets.ndim == 2:
            return cls.of_labels(design, targets)
        if len(np.unique(targets)) < 2:
            return None
        return cls.of_classes(design, targets, len(task.classes))

    @classmethod
    def of_classes(cls, design: np.ndarray, classes: np.ndarray, count: int) -> Self:
        """Of one class each.

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
        columns, back, centre, scale = reduced(design)
        fitted = _logistic(columns, classes)
        weights = np.zeros((design.shape[1], count))
        intercepts = np.full(count, NEVER)
        found, at = back @ fitted.coef_.T, fitted.intercept_
        if len(present) == 2:  # one score, of the second class against the first
            found = np.concatenate([np.zeros_like(found), found], 1)
            at = np.array([0.0, at[0]])
        weights[:, present], intercepts[present] = found, at
        return cls(*unscaled(weights, intercepts, centre, scale), "softmax")

    @classmethod
    def of_labels(cls, design: np.ndarray, labels: np.ndarray) -> Self:
        """Of each of several labels: 0, 1 or NaN where it is not known, (samples, labels)."""
        columns, back, centre, scale = reduced(design)
        weights = np.zeros((design.shape[1], labels.shape[1]))
        intercepts = np.zeros(labels.shape[1])
        for number, values in enumerate(labels.T):
            known = ~np.isnan(values)
            column = values[known] > 0.5
            if column.all() or not column.any():
                intercepts[number] = -NEVER if column.all() else NEVER
                continue
            fitted = _logistic(columns[known], column.astype(int))
            weights[:, number], intercepts[number] = back @ fitted.coef_[0], fitted.intercept_[0]
        return cls(*unscaled(weights, intercepts, centre, scale), "sigmoid")


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
