"""Plugins that are no part of medray, for tests of what medray knows of them; see `plugged`."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from medray.baselines.base import Baseline
from medray.models.base import Answers
from medray.steps.base.step import Step
from medray.storage.catalog.datasets import Dataset
from medray.storage.shards.samples import Sample
from medray.tasks.base import Task, TaskOptions, whole
from medray.tasks.metric import Metric
from medray.tasks.metrics.bootstrap import Bootstrap
from medray.tasks.regression import Regression
from medray.tasks.section import Section, Tile
from medray.tasks.segmentation import Segmentation


class Agreement(Segmentation):
    """Masks judged by a number that is called an error, and is better the higher it is."""

    name: ClassVar[str] = "agreement"
    metric: ClassVar[str] = "val_agreement_error"
    metrics: ClassVar[Mapping[str, Metric]] = {
        **Segmentation.metrics,
        "agreement_error": Metric("agreement", digits=1),
    }

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


class Tally(Task):
    """A number for a sample, with no more than a task has to say."""

    class Options(TaskOptions):
        """None."""

    name: ClassVar[str] = "tally"
    answers: ClassVar[Answers] = "sample"
    metric: ClassVar[str] = "val_tally_error"
    metrics: ClassVar[Mapping[str, Metric]] = {"tally_error": Metric("<tally>", digits=1)}
    classes = ("tally",)
    columns = 1

    def targets(self, rows: Sequence[dict[str, Any]]) -> Tensor | None:
        """See Task."""
        return torch.tensor([[float(row["tally"])] for row in rows])

    def loss(self, outputs: Any, target: Tensor) -> Tensor:
        """See Task."""
        return ((outputs - target) ** 2).mean(1)

    def probabilities(self, logits: Tensor) -> Tensor:
        """See Task."""
        return logits

    def judge(self, answer: np.ndarray, truth: np.ndarray | None) -> list[float]:
        """See Task."""
        return [float(answer[0])]

    def summarise(self, table: np.ndarray, targets: np.ndarray | None) -> dict[str, float]:
        """See Task."""
        return {"val_tally_error": float(table.mean())}

    def score(self, truth: Sample, prediction: Sample | None) -> list[dict[str, Any]]:
        """See Task."""
        given = 0.0 if prediction is None else prediction.row["probability"][0]
        status = "no-prediction" if prediction is None else "scored"
        return [{"status": status, "tally_error": given, "beside": [1, 2]}]

    def conclude(self, cases: pa.Table, bootstrap: Bootstrap) -> dict[str, Any]:
        """See Task."""
        values = np.asarray(cases["tally_error"].to_pylist())
        return {
            "task": self.name,
            "cases": len(values),
            "counts": {"scored": len(values)},
            "metrics": {"tally_error": bootstrap.mean(values, None).to_dict()},
        }


class Marks(Tally):
    """How many of the marks that a sample has were guessed; its arrays have names of its own."""

    name: ClassVar[str] = "marks"

    def wants(self, truth: bool) -> tuple[str, ...]:
        """See Task."""
        return ("marks",) if truth else ("guess", "marks")

    def score(self, truth: Sample, prediction: Sample | None) -> list[dict[str, Any]]:
        """See Task."""
        if prediction is None:
            return [{"status": "no-prediction", "tally_error": 0.0}]
        guess = prediction.arrays.get("guess", prediction.arrays.get("marks"))
        both = np.isin(whole(truth, "marks"), np.asarray(guess)).sum()
        seen = ",".join([*truth.arrays, *prediction.arrays])
        return [{"status": "scored", "tally_error": float(both), "seen": seen}]


class Rates(Regression):
    """Values beside which their median stands."""

    name: ClassVar[str] = "rates"
    baseline: ClassVar[str] = "median"


class Plain(Step):
    """A kind of step that has something to show."""

    name: ClassVar[str] = "plain"

    def check(self, view: Any, spec: Any) -> None:
        """See Step."""

    def resolve(self, spec: Any, objects: Any, place: Any) -> Any:
        """See Step."""

    def sections(self, dataset: Dataset) -> list[Section]:
        """See Step."""
        tile = Tile(Metric("rows that there are", kind="count"), len(dataset))
        return [Section(f"Plainly: {dataset.name}", [tile])]


PLUGINS: dict[str, dict[str, Any]] = {
    "medray.tasks": {"agreement": Agreement, "rates": Rates, "tally": Tally, "marks": Marks},
    "medray.baselines": {"median": Median},
    "medray.steps": {"plain": Plain},
}
