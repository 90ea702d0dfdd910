"""The task `weigh`: a number for a sample, and its baseline, the mean of all."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from medray.baselines.base import Baseline
from medray.models.base import Answers
from medray.storage.shards.holds import Needs, names
from medray.storage.shards.samples import Sample
from medray.tasks.base import Task, TaskOptions
from medray.tasks.metric import Metric
from medray.tasks.metrics.bootstrap import Bootstrap


class Weigh(Task):
    """Squared error of the column `weight`. What it calls an error is better the higher it is."""

    class Options(TaskOptions):
        """None."""

    name: ClassVar[str] = "weigh"
    answers: ClassVar[Answers] = "sample"
    metric: ClassVar[str] = "val_weighing_error"
    metrics: ClassVar[Mapping[str, Metric]] = {
        "weighing_error": Metric("weighing, closeness", digits=4, headline=True),
    }
    baseline: ClassVar[str] = "meanweight"
    classes = ("weight",)
    columns = 1

    @property
    def needs(self) -> Needs:
        """The weight."""
        return Needs(columns=names("weight"))

    @property
    def validates(self) -> frozenset[str]:
        """See Task."""
        return frozenset({self.metric})

    def statistics(self, values: np.ndarray) -> tuple[float, ...]:
        """The mean."""
        return (float(values.mean()),)

    def targets(self, rows: Sequence[dict[str, Any]]) -> Tensor:
        """(samples, 1)."""
        return torch.tensor([[float(row["weight"])] for row in rows])

    def loss(self, outputs: Any, target: Tensor) -> Tensor:
        """See Task."""
        return ((outputs.float() - target) ** 2).mean(1)

    def probabilities(self, logits: Tensor) -> Tensor:
        """The number itself."""
        return logits.float()

    def decide(self, probabilities: np.ndarray) -> dict[str, Any]:
        """Column `weighed`."""
        return {"weighed": float(probabilities[0])}

    def judge(self, answer: np.ndarray, truth: np.ndarray | None) -> list[float]:
        """See Task."""
        return [float(answer[0])]

    def summarise(self, table: np.ndarray, targets: np.ndarray | None) -> dict[str, float]:
        """See Task."""
        assert targets is not None
        return {self.metric: float(-np.abs(table - targets).mean())}

    def score(self, truth: Sample, prediction: Sample | None) -> list[dict[str, Any]]:
        """See Task."""
        if prediction is None:
            return [{"status": "no-prediction", "weighing_error": -9.0}]
        off = abs(prediction.row["weighed"] - truth.row["weight"])
        return [{"status": "scored", "weighing_error": -float(off)}]

    def conclude(self, cases: pa.Table, bootstrap: Bootstrap) -> dict[str, Any]:
        """See Task."""
        values = np.asarray(cases["weighing_error"].to_pylist())
        found = bootstrap.mean(values, None).to_dict()
        return {
            "task": self.name,
            "cases": len(values),
            "counts": {"scored": len(values)},
            "metrics": {"weighing_error": found},
        }


class MeanWeight(Baseline):
    """Everybody weighs the mean of those that it learnt from."""

    name: ClassVar[str] = "meanweight"
    label: ClassVar[str] = "the mean weight"
    most: ClassVar[int] = 10_000

    def __init__(self, mean: np.ndarray) -> None:
        self.mean = mean

    @classmethod
    def fit(cls, design: np.ndarray, targets: np.ndarray, task: Task) -> Self | None:
        """See Baseline."""
        return cls(targets.mean(0).astype(np.float32))

    def answers(self, design: np.ndarray) -> np.ndarray:
        """See Baseline."""
        return np.repeat(self.mean[None], len(design), 0)

    def tensors(self) -> dict[str, np.ndarray]:
        """See Baseline."""
        return {"mean": self.mean}

    @classmethod
    def of(cls, tensors: Mapping[str, np.ndarray]) -> Self:
        """See Baseline."""
        return cls(tensors["mean"])
