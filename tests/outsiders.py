"""Plugins that are no part of medray, for tests of what medray knows of them; see `plugged`."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np

from medray.engine.training.baselines.base import Baseline
from medray.tasks.base import Task
from medray.tasks.metric import Metric
from medray.tasks.regression import Regression
from medray.tasks.segmentation import Segmentation


class Agreement(Segmentation):
    """Masks judged by a number that is called an error, and is better the higher it is."""

    name: ClassVar[str] = "agreement"
    metric: ClassVar[str] = "val_agreement_error"
    metrics: ClassVar[Mapping[str, Metric]] = {"agreement_error": Metric("agreement", digits=1)}

    def summarise(self, table: np.ndarray, targets: np.ndarray | None) -> dict[str, float]:
        """Dice by another name."""
        return {"val_agreement_error": super().summarise(table, targets)["val_dice"]}


class Median(Baseline):
    """Every sample is answered by the median of those that it learnt from."""

    name: ClassVar[str] = "median"
    label: ClassVar[str] = "the median"
    most: ClassVar[int] = 7

    def __init__(self, values: np.ndarray, count: int) -> None:
        self.values, self.count = values, count

    @classmethod
    def fit(cls, design: np.ndarray, targets: np.ndarray, task: Task) -> Self | None:
        """See Baseline."""
        return cls(np.median(targets, 0), len(design))

    def answers(self, design: np.ndarray) -> np.ndarray:
        """See Baseline."""
        return np.repeat(self.values[None].astype(np.float32), len(design), 0)

    def tensors(self) -> dict[str, np.ndarray]:
        """See Baseline."""
        return {"values": self.values, "count": np.array([self.count])}

    @classmethod
    def of(cls, tensors: Mapping[str, np.ndarray]) -> Self:
        """See Baseline."""
        return cls(tensors["values"], int(tensors["count"][0]))


class Rates(Regression):
    """Values beside which their median stands."""

    name: ClassVar[str] = "rates"
    baseline: ClassVar[str] = "median"


PLUGINS: dict[str, dict[str, Any]] = {
    "medray.tasks": {"agreement": Agreement, "rates": Rates},
    "medray.baselines": {"median": Median},
}
