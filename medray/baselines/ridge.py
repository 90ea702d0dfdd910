"""Ridge regression of values. Its strength is chosen within the training samples alone."""

from collections.abc import Sequence
from typing import ClassVar, Self

import numpy as np

from medray.baselines.linear import Linear, reduced, unscaled
from medray.tasks.base import Task

ALPHAS = tuple(10.0**power for power in range(-1, 7))
PARTS = 5  # one of them chooses the strength
ROWS = 4096  # at a time: (rows, columns) float64


class Ridge(Linear):
    """Of each value by itself; NaN where it is not known."""

    name: ClassVar[str] = "ridge"
    most: ClassVar[int] = 100_000

    @classmethod
    def fit(cls, design: np.ndarray, targets: np.ndarray, task: Task) -> Self | None:
        """See Baseline."""
        return cls.of_values(design, targets)

    @classmethod
    def of_values(cls, design: np.ndarray, values: np.ndarray) -> Self:
        """Of each value, NaN where it is not known: (samples, values)."""
        columns, back, centre, scale = reduced(design)
        weights = np.zeros((design.shape[1], values.shape[1]))
        intercepts = np.zeros(values.shape[1])
        for number, column in enumerate(values.T.astype(np.float64)):
            known = np.flatnonzero(~np.isnan(column))
            inside, target = columns[known], column[known]
            mean = target.mean() if len(target) else 0.0
            held = np.arange(len(known)) % PARTS == 0
            alpha = ALPHAS[-1]
            if (~held).any() and held.any():
                tried = _ridge(inside[~held], target[~held] - mean, ALPHAS)
                errors = ((inside[held] @ tried + mean - target[held][:, None]) ** 2).mean(0)
                alpha = ALPHAS[int(errors.argmin())]
            weights[:, number] = back @ _ridge(inside, target - mean, (alpha,))[:, 0]
            intercepts[number] = mean
        return cls(*unscaled(weights, intercepts, centre, scale), "identity")


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
