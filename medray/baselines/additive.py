"""Pairs answered by what each half is worth by itself, whatever it is paired with."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import ClassVar, Self

import numpy as np

from medray.baselines.base import Baseline
from medray.tasks.base import Task


@dataclass(frozen=True)
class Additive(Baseline):
    """The mean of all, what the mean of the first half's differs from it, and that of the second's.

    A half that was not learnt from adds nothing, so of a new compound its protein's mean is left,
    and of two new halves the mean of all. A half is what its two columns of a design hold.

    Args:
        mean: float64 (values,).
        first: float32 (halves, 2), of the first half, sorted.
        second: float32 (halves, 2), of the second.
        worth: float64 (halves, values), of the first and behind them of the second.
    """

    name: ClassVar[str] = "additive"
    label: ClassVar[str] = "additive model"
    most: ClassVar[int] = 10_000_000

    mean: np.ndarray
    first: np.ndarray
    second: np.ndarray
    worth: np.ndarray

    @classmethod
    def fit(cls, design: np.ndarray, targets: np.ndarray, task: Task) -> Self | None:
        """See Baseline; of values, NaN where one is not known. None of classes."""
        if targets.ndim != 2:
            return None
        values = targets.astype(np.float64)
        mean = np.nanmean(values, 0)
        known = ~np.isnan(values)
        apart = np.where(known, values - mean, 0.0)
        halves, worth = list[np.ndarray](), list[np.ndarray]()
        for at in (0, 2):
            names, of = np.unique(design[:, at : at + 2], axis=0, return_inverse=True)
            total, count = np.zeros((2, len(names), len(mean)))
            np.add.at(total, of, apart)
            np.add.at(count, of, known)
            halves.append(names)
            worth.append(total / np.maximum(count, 1))
        first, second = halves
        return cls(mean, first, second, np.concatenate(worth))

    def answers(self, design: np.ndarray) -> np.ndarray:
        """float32 (samples, values)."""
        made = np.tile(self.mean, (len(design), 1))
        for at, names, before in ((0, self.first, 0), (2, self.second, len(self.first))):
            places = {(high, low): place for place, (high, low) in enumerate(names.tolist())}
            asked = design[:, at : at + 2].tolist()
            of = np.array([places.get((high, low), -1) for high, low in asked])
            made[of >= 0] += self.worth[before + of[of >= 0]]
        return made.astype(np.float32)

    def tensors(self) -> dict[str, np.ndarray]:
        """See Baseline."""
        return {one.name: getattr(self, one.name) for one in fields(self)}

    @classmethod
    def of(cls, tensors: Mapping[str, np.ndarray]) -> Self:
        """See Baseline."""
        return cls(**{one.name: tensors[one.name] for one in fields(cls)})
