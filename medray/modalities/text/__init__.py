"""Texts: documents of words, answered as a whole, for spans in them, or for what relates these."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from medray.data.order import Order
from medray.data.vectors import Rows, Vectors
from medray.modalities.base import (
    Answering,
    Asking,
    Modality,
    Precision,
    Trained,
)
from medray.modalities.made import Made
from medray.modalities.plan import PlanOptions, Sketch, Wanted, planned_fields
from medray.modalities.text.plan import TextPlan, TextPlanOptions
from medray.modalities.text.wire import TextWire
from medray.modalities.wire import Wire
from medray.spec.training import TrainSettings, WordVectors
from medray.storage.catalog.datasets import Dataset
from medray.storage.shards.holds import names

if TYPE_CHECKING:
    import torch

    from medray.modalities.text.cases import TextCases, TextLoader
    from medray.models.base import Network
    from medray.tasks.base import Task

BATCH = 32  # texts in a step at most, unless the job says
TOGETHER = 64  # that are validated at once
SKETCHED = {"vocabulary": 100, "letters": 50, "writes": 100}  # before there are data


class Texts(Modality):
    """Samples with a text."""

    name: ClassVar[str] = "text"
    PlanOptions: ClassVar[type[PlanOptions]] = TextPlanOptions

    @classmethod
    def plan_type(cls) -> type[TextPlan]:
        """See Modality."""
        return TextPlan

    def plan(
        self, dataset: Dataset, indices: Sequence[int], task: "Task", wanted: Wanted
    ) -> TextPlan:
        """The vocabulary of the training texts, and how much of them there is."""
        from medray.modalities.text.survey import survey

        found = survey(dataset, indices, task, wanted)
        return planned_fields(
            TextPlan,
            wanted.given,
            {
                "answers": task.answers,
                "classes": task.classes,
                "batch_size": wanted.settings.batch_size or max(2, min(BATCH, len(indices) // 10)),
                "samples": len(indices),
                **found,
            },
            {
                "words": f"of the training texts, those that come {wanted.given.least} times",
                "batch_size": f"at most {BATCH} and a tenth of the samples",
            },
        )

    def sketch(self, model: dict[str, Any], given: Any, task: "Task", axes: int | None) -> Sketch:
        """Of texts of some words: only the data know them."""
        return Sketch(SKETCHED)

    def build(self, model: dict[str, Any], plan: TextPlan) -> "Network":
        """The network for the plan's vocabulary."""
        from medray.models import MODELS, model_options
        from medray.models.text.base import UNKNOWN, WORDS

        options = model_options(
            model,
            vocabulary=len(plan.words) + WORDS,
            letters=len(plan.letters) + UNKNOWN + 1,
            writes=len(plan.writes) + 1,  # and the end
        )
        return MODELS.get(model["name"]).build(options, 1, len(plan.classes), None)

    def cases(
        self,
        dataset: Dataset,
        indices: Sequence[int],
        plan: TextPlan,
        task: "Task",
        settings: TrainSettings,
    ) -> "TextCases":
        """See medray.modalities.text.cases; read for all networks alike, each takes its own."""
        from medray.modalities.text.cases import TextCases
        from medray.modalities.text.readings import reading_of

        return TextCases(dataset, indices, reading_of(plan, task))

    def loader(
        self,
        cases: "TextCases",
        order: Order,
        plan: TextPlan,
        task: "Task",
        settings: TrainSettings,
        share: tuple[int, int],
        device: "torch.device",
    ) -> "TextLoader":
        """See medray.modalities.text.cases."""
        from medray.modalities.text.cases import TextLoader

        return TextLoader(
            cases,
            order,
            task,
            share=share,
            device=device,
            prefetch=settings.prefetch,
            parts=settings.accumulate,
        )

    def judge(
        self,
        network: "Network",
        cases: "TextCases",
        chosen: Sequence[int],
        task: "Task",
        plan: TextPlan,
        device: "torch.device",
        precision: Precision,
    ) -> Iterator[list[float]]:
        """Many texts at a time, those of like lengths together."""
        from medray.modalities.ask import ask

        own, reading = np.asarray(chosen, np.int64), cases.reading
        order = cases.sizes[own].argsort(kind="stable")
        rows: list[list[float]] = [[]] * len(own)
        for start in range(0, len(own), TOGETHER):
            some = order[start : start + TOGETHER]
            several = cases.take(own[some])
            found = ask(network, reading.inputs(several, device), task, precision)
            answers = reading.each(found, several)
            for at, one, answer in zip(some.tolist(), several, answers, strict=True):
                rows[at] = task.judge(answer, reading.truth(one))
        yield from rows

    def design(self, dataset: Dataset, indices: Sequence[int], plan: TextPlan) -> np.ndarray | None:
        """Words by tf-idf, of tasks about texts as a whole."""
        from medray.modalities.text.grams import design

        if not plan.rarity:
            return None
        texts = dataset.columns([plan.column])[plan.column].take(list(indices)).to_pylist()
        return design(texts, np.array(plan.rarity, np.float32))

    def rows(self, plan: TextPlan) -> Rows:
        """See Worded."""
        from medray.modalities.text.tokens import rows_of

        return rows_of(plan)

    def vectors(self, chosen: WordVectors, plan: TextPlan) -> Vectors:
        """See medray.modalities.text.vectors."""
        from medray.modalities.text.vectors import vectors_of

        return vectors_of(chosen, plan.words)

    def averages(self, answers: str) -> bool:
        """A mean of tags is none, nor is one of texts."""
        return answers not in ("spans", "extract", "generated")

    def united(
        self, networks: "Sequence[Network]", plans: Sequence[Any], task: "Task"
    ) -> "Network | None":
        """See Several: of pairs, since what is judged of these are counts, which have no mean."""
        if task.answers != "links":
            return None
        from medray.modalities.ask import averaged

        return averaged(networks, plans, task)

    def wire(self, plan: dict[str, Any]) -> Wire:
        """See medray.modalities.text.wire."""
        return TextWire(plan)

    def outputs(self, network: "type[Network]", task: "Task", options: Any) -> Made:
        """Columns, by what is answered."""
        return Made(columns=Made().columns | names(*MADE.get(task.answers, ())))

    def predictor(self, trained: Trained, asked: Asking) -> Answering:
        """See medray.modalities.text.predictor."""
        from medray.modalities.text.predictor import TextPredictor

        return TextPredictor(trained, asked)

    def describe(self, plan: TextPlan) -> list[str]:
        """Vocabulary and length; no word of it."""
        most = f", the first {plan.longest} of each text" if plan.longest else ""
        return [f"texts of `{plan.column}`: {len(plan.words)} words in the vocabulary{most}"]


MADE = {
    "spans": ("spans",),
    "links": ("relations",),
    "extract": ("extract", "extract_at"),
    "generated": ("generated",),
}
