"""Columns of numbers, imputed and standardised as training rows have them."""

from typing import Self

import numpy as np
from pydantic import BaseModel, ConfigDict


class ColumnPlan(BaseModel):
    """How columns are imputed and scaled, as a plan keeps it; see `Columns`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    median: tuple[float, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    missing: int = 0
    """Values that training rows lack."""

    @property
    def columns(self) -> "Columns":
        """Ready to be applied."""
        median, mean, std = (np.asarray(part) for part in (self.median, self.mean, self.std))
        return Columns(median, mean, std, self.missing)


class Columns:
    """How each column is imputed and scaled, learnt on training rows alone.

    Args:
        median: (features,), takes the place of a value that is missing.
        mean: (features,)
        std: (features,); columns of one value have 1.
        missing: how many values there were not.
    """

    def __init__(self, median: np.ndarray, mean: np.ndarray, std: np.ndarray, missing: int) -> None:
        self.median, self.mean, self.std, self.missing = median, mean, std, missing

    @classmethod
    def of(cls, matrix: np.ndarray) -> Self:
        """Learn them of float32 (rows, features); NaN is missing."""
        known = np.isfinite(matrix)
        some = known.any(0)
        filled = np.where(some, matrix, 0)
        median = np.nanmedian(np.where(np.isfinite(filled), filled, np.nan), 0)
        whole = np.where(known, matrix, median).astype(np.float64)
        std = whole.std(0)
        missing = int(known.size - known.sum())
        return cls(median, whole.mean(0), np.where(std > 1e-12, std, 1.0), missing)

    @property
    def plan(self) -> ColumnPlan:
        """As a plan keeps it."""
        return ColumnPlan(
            median=tuple(map(float, self.median)),
            mean=tuple(map(float, self.mean)),
            std=tuple(map(float, self.std)),
            missing=self.missing,
        )

    def apply(self, matrix: np.ndarray) -> np.ndarray:
        """Float32 (rows, features), standardised; rows without any value stay NaN."""
        known = np.isfinite(matrix)
        made = (np.where(known, matrix, self.median) - self.mean) / self.std
        made[~known.any(1)] = np.nan
        scaled: np.ndarray = made.astype(np.float32)
        return scaled
