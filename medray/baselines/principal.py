"""Principal components of normal samples: what they don't give back is a surprise."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from medray.baselines.base import Baseline
from medray.tasks.base import Task

KEPT = 0.95  # share of the variance that components hold
MOST = 32  # components


@dataclass(frozen=True)
class Principal(Baseline):
    """The mean of normal samples and the directions in which they vary most.

    Args:
        centre: float32 (columns,).
        axes: float32 (columns, components), orthonormal.
    """

    name: ClassVar[str] = "principal"
    label: ClassVar[str] = "principal components"
    most: ClassVar[int] = 20_000

    centre: np.ndarray
    axes: np.ndarray

    @classmethod
    def fit(cls, design: np.ndarray, targets: np.ndarray, task: Task) -> Self | None:
        """See Baseline; of targets (samples, …) whose first column is 0 where a sample is normal.

        None where fewer than two samples are.
        """
        normal = design[targets[:, 0] == 0]
        if len(normal) < 2:
            return None
        centre = normal.mean(0, dtype=np.float64)
        apart = normal - centre
        values, vectors = np.linalg.eigh(apart.T @ apart)
        falling, axes = np.maximum(values[::-1], 0), vectors[:, ::-1]
        held = np.cumsum(falling) / max(falling.sum(), np.finfo(np.float64).tiny)
        count = min(MOST, int(np.searchsorted(held, KEPT)) + 1)
        return cls(centre.astype(np.float32), axes[:, :count].astype(np.float32))

    def answers(self, design: np.ndarray) -> np.ndarray:
        """float32 (samples, 1): the mean square of what components don't give back."""
        apart = design - self.centre
        left = apart - (apart @ self.axes) @ self.axes.T
        missed: np.ndarray = np.square(left).mean(1, keepdims=True).astype(np.float32)
        return missed

    def tensors(self) -> dict[str, np.ndarray]:
        """See Baseline."""
        return {"centre": self.centre, "axes": self.axes}

    @classmethod
    def of(cls, tensors: Mapping[str, np.ndarray]) -> Self:
        """See Baseline."""
        return cls(tensors["centre"], tensors["axes"])
