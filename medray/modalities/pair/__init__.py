"""Pairs of a compound and a protein: the graph of the one, the residues of the other."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from medray.data.order import Order
from medray.errors import SpecError
from medray.formats.pairs.options import ARRAYS, SEQUENCE_ID
from medray.modalities.base import Answering, Asking, Modality, Precision, Trained
from medray.modalities.compounds import reading_of
from medray.modalities.pair.plan import RESIDUES, PairPlan, PairPlanOptions
from medray.modalities.plan import PlanOptions, Wanted, planned_fields
from medray.modalities.wire import Wire
from medray.spec.training import TrainSettings
from medray.storage.catalog.datasets import Dataset
from medray.storage.shards.holds import Needs, names
from medray.tasks.section import Section

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from medray.modalities.pair.cases import PairCases, PairLoader
    from medray.models.base import Network
    from medray.tasks.base import Task

BATCH = 512  # pairs in a step at most, unless the job says


class PairSamples(Modality):
    """Samples with a graph and the residues of a protein, as the format `pairs` makes them."""

    name: ClassVar[str] = "pair"
    needs: ClassVar[Needs] = Needs(
        tuple(names(one) for one in ARRAYS), names("canonical", SEQUENCE_ID)
    )
    baselines: ClassVar[tuple[str, ...]] = ("additive",)
    PlanOptions: ClassVar[type[PlanOptions]] = PairPlanOptions

    @classmethod
    def plan_type(cls) -> type[PairPlan]:
        """See Modality."""
        return PairPlan

    def plan(
        self, dataset: Dataset, indices: Sequence[int], task: "Task", wanted: Wanted
    ) -> PairPlan:
        """How much is read of a protein, and how many pairs make a step."""
        targets = _targets(task, dataset.samples.take(list(indices)).to_pylist())
        return planned_fields(
            PairPlan,
            wanted.given,
            {
                "answers": task.answers,
                "classes": task.classes,
                "frequencies": task.statistics(targets.numpy()),
                "batch_size": wanted.settings.batch_size or max(2, min(BATCH, len(indices) // 10)),
                "samples": len(indices),
                "residues": RESIDUES,
                "reading": reading_of(dataset),
            },
            {
                "batch_size": f"at most {BATCH} and a tenth of the samples",
                "residues": "most proteins are shorter",
            },
        )

    def build(self, model: dict[str, Any], plan: PairPlan) -> "Network":
        """The network."""
        from medray.models import MODELS, model_options

        kind = MODELS.get(model["name"])
        return kind.build(model_options(model), 1, len(plan.classes), None)

    def cases(
        self,
        dataset: Dataset,
        indices: Sequence[int],
        plan: PairPlan,
        task: "Task",
        settings: TrainSettings,
    ) -> "PairCases":
        """See medray.modalities.pair.cases."""
        from medray.modalities.pair.cases import PairCases

        return PairCases(dataset, indices)

    def loader(
        self,
        cases: "PairCases",
        order: Order,
        plan: PairPlan,
        task: "Task",
        settings: TrainSettings,
        share: tuple[int, int],
        device: "torch.device",
    ) -> "PairLoader":
        """See medray.modalities.pair.cases."""
        from medray.modalities.pair.cases import PairLoader

        return PairLoader(
            cases,
            order,
            _targets(task, cases.rows),
            plan.residues,
            share=share,
            device=device,
            prefetch=settings.prefetch,
            parts=settings.accumulate,
        )

    def judge(
        self,
        network: "Network",
        cases: "PairCases",
        chosen: Sequence[int],
        task: "Task",
        plan: PairPlan,
        device: "torch.device",
        precision: Precision,
    ) -> Iterator[list[float]]:
        """Each protein once, or about once."""
        from medray.modalities.ask import ask

        answers = cases.pairs.take(np.asarray(chosen, np.int64)).answered(
            lambda some: ask(network, some.tree(plan.residues, device), task, precision)
        )
        for answer in answers:
            yield task.judge(answer, None)

    def design(self, dataset: Dataset, indices: Sequence[int], plan: PairPlan) -> np.ndarray:
        """See medray.modalities.pair.design."""
        from medray.modalities.pair.design import design

        return design(dataset, indices)

    def wire(self, plan: dict[str, Any]) -> Wire:
        """See medray.modalities.pair.wire."""
        from medray.modalities.pair.wire import PairWire

        return PairWire(plan)

    def predictor(self, trained: Trained, asked: Asking) -> Answering:
        """One row for each pair."""
        from medray.modalities.pair.predictor import PairPredictor

        return PairPredictor(trained, asked)

    def illustrate(
        self, section: Section, task: "Task", truth: Dataset, predictions: Dataset
    ) -> Section:
        """With the pairs that are furthest off, and how many equal pairs have unequal values."""
        from medray.modalities.pair.pages import named, unequal
        from medray.modalities.worst import cases_of, worst

        cases = cases_of(task, truth, predictions)
        notes = [*section.notes, *unequal(truth)]
        return replace(section, pictures=worst(cases, name=named), notes=notes)

    def describe(self, plan: PairPlan) -> list[str]:
        """What is read of pairs."""
        return [f"pairs: atoms and bonds of a compound, {plan.residues} residues of a protein"]


def _targets(task: "Task", rows: Sequence[dict[str, Any]]) -> "Tensor":
    targets = task.targets(rows)
    if targets is None:
        raise SpecError(
            "a pair has no places to answer for",
            code="task-mismatch",
            about=task.name,
            hint="take classification or regression",
        )
    return targets
