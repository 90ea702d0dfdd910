"""Least squares of an outcome in each arm of a treatment, and logistic regression of who had it."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import ClassVar, Self

import numpy as np

from medray.baselines.base import Baseline
from medray.tasks.base import Task

OUTCOMES = 2  # of both arms, before the chances
SURE = 30.0  # logit of what is always so


@dataclass(frozen=True)
class TLearner(Baseline):
    """Ordinary least squares without a penalty, each arm by itself (Künzel et al. 2019); chances by
    logistic regression with scikit-learn's. Of one value alone, as pseudo-outcomes are, it is least
    squares of that.

    Args:
        coefficients: float64 (1 + columns, answers), the intercept first.
        outcomes: uint8 (1,): so many answers are outcomes, what follows are logits of chances.
    """

    name: ClassVar[str] = "t-learner"
    label: ClassVar[str] = "least squares"
    most: ClassVar[int] = 100_000

    coefficients: np.ndarray
    outcomes: np.ndarray

    @classmethod
    def fit(cls, design: np.ndarray, targets: np.ndarray, task: Task) -> Self | None:
        """See Baseline; of targets (samples, 2): outcome, NaN where it is lost, and treatment. None
        where an arm has no outcome, or targets are others."""
        if targets.ndim != 2 or targets.shape[1] != OUTCOMES:
            return None
        outcome, treated = targets.astype(np.float64).T
        known, arms = ~np.isnan(outcome), [treated == 0, treated == 1]
        answers = len(task.classes)
        if answers == 1:
            return cls(_squares(design[known], outcome[known])[:, None], np.array([1], np.uint8))
        if not all((known & arm).any() for arm in arms):
            return None
        made = [_squares(design[known & arm], outcome[known & arm]) for arm in arms]
        made.append(_logit(design, arms[1]))
        if answers > len(made):
            made += [_logit(design[arm], known[arm]) for arm in arms]
        return cls(np.stack(made, 1), np.array([OUTCOMES], np.uint8))

    def answers(self, design: np.ndarray) -> np.ndarray:
        """float32 (samples, answers)."""
        made = design @ self.coefficients[1:] + self.coefficients[0]
        first = int(self.outcomes[0])
        made[:, first:] = 1 / (1 + np.exp(-np.clip(made[:, first:], -SURE, SURE)))
        found: np.ndarray = made.astype(np.float32)
        return found

    def tensors(self) -> dict[str, np.ndarray]:
        """See Baseline."""
        return {one.name: getattr(self, one.name) for one in fields(self)}

    @classmethod
    def of(cls, tensors: Mapping[str, np.ndarray]) -> Self:
        """See Baseline."""
        return cls(**{one.name: tensors[one.name] for one in fields(cls)})


def _squares(design: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Intercept and coefficients, (1 + columns,), the shortest where there are many."""
    columns = np.column_stack([np.ones(len(design)), design.astype(np.float64)])
    found: np.ndarray = np.linalg.lstsq(columns, values, rcond=None)[0]
    return found


def _logit(design: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """The same of a chance, on its logit."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    made = np.zeros(1 + design.shape[1])
    if truth.all() or not truth.any():
        made[0] = SURE if truth.all() else -SURE
        return made
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = LogisticRegression(max_iter=1000).fit(design, truth)
    made[0], made[1:] = fitted.intercept_[0], fitted.coef_[0]
    return made
