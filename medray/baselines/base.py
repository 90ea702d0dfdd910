"""The contract of a baseline: fitted to what a modality makes columns of, it answers as a task."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Self

import numpy as np

from medray.tasks.base import Task


class Baseline(ABC):
    """A fitted baseline. A task names its own (`Task.baseline`), and a modality more of them
    (`Modality.baselines`)."""

    name: ClassVar[str]
    label: ClassVar[str]
    """In words, as pages call it."""
    most: ClassVar[int]
    """Samples that it learns from; of more as many, evenly spaced."""

    @classmethod
    @abstractmethod
    def fit(cls, design: np.ndarray, targets: np.ndarray, task: Task) -> Self | None:
        """Fitted to training samples; deterministic. None: they teach nothing, or not this.

        Args:
            design: float32 (samples, columns) without NaN, as of `Modality.design`.
            targets: of the samples, as of `Task.targets`.
            task: that it is to answer.
        """

    @abstractmethod
    def answers(self, design: np.ndarray) -> np.ndarray:
        """float32 (samples, answers), as Task.probabilities has them."""

    @abstractmethod
    def tensors(self) -> dict[str, np.ndarray]:
        """All that it learnt, to be stored in the model's package."""

    @classmethod
    @abstractmethod
    def of(cls, tensors: Mapping[str, np.ndarray]) -> Self:
        """What `tensors` gave.

        Raises:
            KeyError, IndexError: it did not.
        """
