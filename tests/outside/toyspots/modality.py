"""The modality `spots`: from ragged points to a network, and back."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from medray.data.ahead import many_ahead
from medray.data.batch import Batch, Part
from medray.data.order import Order
from medray.modalities.ask import ask
from medray.modalities.base import Answering, Asking, Modality, Precision, Trained
from medray.modalities.plan import Plan, Wanted, planned_fields
from medray.modalities.wire import Wire
from medray.models import MODELS
from medray.models.base import ModelOptions, Network
from medray.spec.training import TrainSettings
from medray.storage.catalog.datasets import Dataset
from medray.storage.shards.holds import Needs, names
from medray.storage.shards.samples import Sample
from medray.storage.shards.stored import Stored
from medray.tasks.base import Task
from medray.tasks.section import Section


class SpotPlan(Plan):
    """The plan of a training on spots."""

    modality: Literal["spots"] = "spots"
    most: int


def together(points: Sequence[np.ndarray]) -> dict[str, Tensor]:
    """Points of samples on end, as the network takes them."""
    counts = torch.tensor([len(one) for one in points])
    joined = np.concatenate(list(points)) if len(points) else np.zeros((0, 2))
    return {
        "points": torch.from_numpy(np.ascontiguousarray(joined, np.float32)),
        "of": torch.repeat_interleave(torch.arange(len(points)), counts),
        "count": counts,
    }


class Cases:
    """All points in memory."""

    def __init__(self, dataset: Dataset, indices: Sequence[int]) -> None:
        self.rows: list[dict[str, Any]] = dataset.samples.take(list(indices)).to_pylist()
        self.points = [np.asarray(dataset.array(index, "points")[...]) for index in indices]

    def __len__(self) -> int:
        return len(self.rows)


class Loader:
    """Batches as trees; a part holds whole samples, however many points they have."""

    def __init__(
        self, cases: Cases, order: Order, targets: Tensor, share: tuple[int, int], parts: int
    ) -> None:
        self.cases, self.order = cases, order
        self._targets, self._share, self._parts = targets, share, parts

    def batches(self, first: int, last: int) -> Iterator[Batch]:
        """See medray.modalities.base.Loader."""
        return many_ahead(
            lambda steps: map(self._batch, steps),
            range(first, last),
            prefetch=0,
            device=torch.device("cpu"),
        )

    def _batch(self, step: int) -> Batch:
        samples, _ = self.order.slice_at(step, *self._share)
        cut = torch.as_tensor(np.asarray(samples)).chunk(self._parts)
        parts = [
            Part(together([self.cases.points[at] for at in some.tolist()]), self._targets[some])
            for some in cut
        ]
        return Batch(step, tuple(parts))


class SpotsModality(Modality):
    """Samples of points."""

    name: ClassVar[str] = "spots"
    needs: ClassVar[Needs] = Needs((names("points"),))

    @classmethod
    def plan_type(cls) -> type[Plan]:
        """See Modality."""
        return SpotPlan

    def plan(
        self, dataset: Dataset, indices: Sequence[int], task: Task, wanted: Wanted
    ) -> SpotPlan:
        """See Modality."""
        cases = Cases(dataset, indices)
        targets = task.targets(cases.rows)
        assert targets is not None
        found = {
            "answers": task.answers,
            "classes": task.classes,
            "frequencies": task.statistics(targets.numpy()),
            "batch_size": wanted.settings.batch_size or 8,
            "samples": len(indices),
            "most": max(map(len, cases.points)),
        }
        return planned_fields(SpotPlan, wanted.given, found, {"batch_size": "few are enough"})

    def build(self, model: dict[str, Any], plan: SpotPlan) -> Network:
        """See Modality."""
        kind = MODELS.get(model["name"])
        own = {name: value for name, value in model.items() if name != "name"}
        options: ModelOptions = kind.Options.model_validate(own)
        return kind.build(options, 2, len(plan.classes), None)

    def cases(
        self,
        dataset: Dataset,
        indices: Sequence[int],
        plan: SpotPlan,
        task: Task,
        settings: TrainSettings,
    ) -> Cases:
        """See Modality."""
        return Cases(dataset, indices)

    def loader(
        self,
        cases: Cases,
        order: Order,
        plan: SpotPlan,
        task: Task,
        settings: TrainSettings,
        share: tuple[int, int],
        device: torch.device,
    ) -> Loader:
        """See Modality."""
        targets = task.targets(cases.rows)
        assert targets is not None
        return Loader(cases, order, targets, share, settings.accumulate)

    def judge(
        self,
        network: Network,
        cases: Cases,
        chosen: Sequence[int],
        task: Task,
        plan: SpotPlan,
        device: torch.device,
        precision: Precision,
    ) -> Iterator[list[float]]:
        """All at once."""
        inputs = together([cases.points[at] for at in chosen])
        for answer in ask(network, inputs, task, precision):
            yield task.judge(answer, None)

    def wire(self, plan: dict[str, Any]) -> Wire:
        """See Modality."""
        from toyspots.wire import SpotWire

        return SpotWire(plan)

    def predictor(self, trained: Trained, asked: Asking) -> Answering:
        """See Modality."""
        return SpotPredictor(trained, asked)

    def design(self, dataset: Dataset, indices: Sequence[int], plan: SpotPlan) -> np.ndarray:
        """How many points each has."""
        counts = [[float(len(one))] for one in Cases(dataset, indices).points]
        return np.asarray(counts, np.float32)

    def describe(self, plan: SpotPlan) -> list[str]:
        """See Modality."""
        return [f"at most {plan.most} points"]

    def illustrate(
        self, section: Section, task: Task, truth: Dataset, predictions: Dataset
    ) -> Section:
        """A sentence of its own."""
        spots = sum(len(truth.array(at, "points")[...]) for at in range(len(truth)))
        return replace(section, notes=[*section.notes, f"Spots by sample: {spots} in all."])


class SpotPredictor(Answering):
    """A weight for each sample."""

    def prepare(self, stored: Stored, together: int) -> Sample:
        """See Predictor."""
        return Sample(stored.id, dict(stored.row), {"points": stored.array("points")[...]})

    def answers(self, samples: Sequence[Sample]) -> np.ndarray:
        """See Answering."""
        inputs = together([np.asarray(sample.arrays["points"]) for sample in samples])
        trained = self.trained
        return ask(trained.network, inputs, trained.task, self.asked.precision)
