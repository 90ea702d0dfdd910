"""Line notations of molecules: SMILES as tokens, read and written one after another."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from medray.data.order import Order
from medray.data.vectors import Rows
from medray.modalities.base import (
    Answering,
    Asking,
    Modality,
    Precision,
    Trained,
)
from medray.modalities.generation import Generation
from medray.modalities.made import Made
from medray.modalities.notation.plan import COLUMNS, NotationPlan, NotationPlanOptions
from medray.modalities.notation.wire import NotationWire
from medray.modalities.plan import PlanOptions, Sketch, Wanted, planned_fields
from medray.modalities.wire import Wire
from medray.spec.training import TrainSettings
from medray.storage.catalog.datasets import Dataset
from medray.storage.shards.holds import names

if TYPE_CHECKING:
    import torch

    from medray.modalities.notation.cases import NotationCases, NotationLoader
    from medray.models.base import Network
    from medray.tasks.base import Task

TOGETHER = 256  # texts that are validated at once
VOCABULARY = 64  # of a network that is built before there are data
BATCH = 64  # texts in a step at most, unless the job says


class Notations(Modality):
    """Samples with a column of SMILES."""

    name: ClassVar[str] = "notation"
    PlanOptions: ClassVar[type[PlanOptions]] = NotationPlanOptions

    @classmethod
    def plan_type(cls) -> type[NotationPlan]:
        """See Modality."""
        return NotationPlan

    def plan(
        self, dataset: Dataset, indices: Sequence[int], task: "Task", wanted: Wanted
    ) -> NotationPlan:
        """The vocabulary of the training texts, and the longest of them."""
        from medray.modalities.notation.cases import texts_of
        from medray.modalities.notation.tokens import split, vocabulary

        column = wanted.given.column or COLUMNS[wanted.given.notation]
        texts = texts_of(dataset, indices, column)
        lengths = np.array([len(split(text)) for text in texts])
        return planned_fields(
            NotationPlan,
            wanted.given,
            {
                "answers": task.answers,
                "classes": vocabulary(texts),
                "frequencies": task.statistics(lengths + 1),
                "batch_size": wanted.settings.batch_size or max(2, min(BATCH, len(indices) // 10)),
                "samples": len(indices),
                "column": column,
                "longest": int(lengths.max()),
            },
            {
                "classes": "every token of the training texts",
                "batch_size": f"at most {BATCH} and a tenth of the samples",
            },
        )

    def rows(self, plan: NotationPlan) -> Rows:
        """See Worded: tokens, as they are read and written."""
        return dict.fromkeys(("embed.weight", "head.weight", "head.bias"), plan.classes)

    def sketch(self, model: dict[str, Any], given: Any, task: "Task", axes: int | None) -> Sketch:
        """Of texts of some tokens: only the data know them."""
        return Sketch({}, VOCABULARY)

    def build(self, model: dict[str, Any], plan: NotationPlan) -> "Network":
        """The network for the plan's vocabulary."""
        from medray.models import MODELS, model_options

        size = len(plan.classes)
        options = model_options(model, longest=plan.longest + 1)  # and its end
        return MODELS.get(model["name"]).build(options, size, size, None)

    def cases(
        self,
        dataset: Dataset,
        indices: Sequence[int],
        plan: NotationPlan,
        task: "Task",
        settings: TrainSettings,
    ) -> "NotationCases":
        """See medray.modalities.notation.cases."""
        from medray.modalities.notation.cases import NotationCases

        return NotationCases(dataset, indices, plan.column, plan.classes)

    def loader(
        self,
        cases: "NotationCases",
        order: Order,
        plan: NotationPlan,
        task: "Task",
        settings: TrainSettings,
        share: tuple[int, int],
        device: "torch.device",
    ) -> "NotationLoader":
        """See medray.modalities.notation.cases."""
        from medray.modalities.notation.cases import NotationLoader

        return NotationLoader(
            cases,
            order,
            share=share,
            device=device,
            prefetch=settings.prefetch,
            parts=settings.accumulate,
        )

    def judge(
        self,
        network: "Network",
        cases: "NotationCases",
        chosen: Sequence[int],
        task: "Task",
        plan: NotationPlan,
        device: "torch.device",
        precision: Precision,
    ) -> Iterator[list[float]]:
        """Many texts at a time, those of like lengths together."""
        from medray.modalities.notation.predictor import judged

        own = np.asarray(chosen, np.int64)
        order = cases.lengths[own].argsort(kind="stable")
        rows: list[list[float]] = [[]] * len(own)
        for start in range(0, len(own), TOGETHER):
            some = order[start : start + TOGETHER]
            found = judged(network, *cases.take(own[some]), task, device, precision)
            for at, row in zip(some, found, strict=True):
                rows[at] = row
        yield from rows

    def averages(self, answers: str) -> bool:
        """A mean of likelihoods is none."""
        return False

    def wire(self, plan: dict[str, Any]) -> Wire:
        """See medray.modalities.notation.wire."""
        return NotationWire(plan)

    def outputs(self, network: "type[Network]", task: "Task", options: Any) -> Made:
        """How likely a text is."""
        return Made(columns=names(("nats", "tokens")))

    def predictor(self, trained: Trained, asked: Asking) -> Answering:
        """See medray.modalities.notation.predictor."""
        from medray.modalities.notation.predictor import NotationPredictor

        return NotationPredictor(trained, asked)

    def generation(self) -> Generation:
        """See medray.modalities.notation.generation."""
        from medray.modalities.notation.generation import Molecules

        return Molecules()

    def describe(self, plan: NotationPlan) -> list[str]:
        """Vocabulary and length."""
        size = len(plan.classes) - 1
        return [f"texts of `{plan.column}`: {size} tokens, at most {plan.longest} in a text"]
