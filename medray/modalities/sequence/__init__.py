"""Sequences: tokens of DNA, cut or padded to one length."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from medray.data.order import Order
from medray.errors import SpecError
from medray.extras import need
from medray.modalities.base import Answering, Asking, Modality, Precision, Trained
from medray.modalities.made import Made
from medray.modalities.plan import (
    Augment,
    PlanOptions,
    PredictOptions,
    Sketch,
    Wanted,
    planned_fields,
)
from medray.modalities.sequence.augment import SequenceAugment
from medray.modalities.sequence.plan import HOW, SequencePlan, SequencePlanOptions
from medray.modalities.sequence.wire import SequenceWire
from medray.modalities.wire import Wire
from medray.spec.training import TrainSettings
from medray.storage.catalog.datasets import Dataset
from medray.storage.shards.holds import Needs, names
from medray.tasks.section import Section

if TYPE_CHECKING:
    import torch

    from medray.modalities.sequence.cases import SequenceCases, SequenceLoader
    from medray.models.base import Network
    from medray.tasks.base import Task

TOGETHER = 256  # sequences that are validated at once
LENGTH = 4096  # of a network that is built before there are data
BATCH = 128  # samples in a step at most, unless the job says


class SequenceOptions(PredictOptions):
    """How models of sequences may be asked."""

    outputs: Literal["probabilities", "attention", "gradients", "mutagenesis"] = Field(
        "probabilities", description="the others: what a network looks at, base by base"
    )


class Sequences(Modality):
    """Samples with a column `sequence`; of tasks per base with an array `label` besides."""

    name: ClassVar[str] = "sequence"
    needs: ClassVar[Needs] = Needs(columns=names("sequence"))
    Augment: ClassVar[type[Augment]] = SequenceAugment
    PlanOptions: ClassVar[type[PlanOptions]] = SequencePlanOptions
    PredictOptions: ClassVar[type[PredictOptions]] = SequenceOptions
    extends: ClassVar[frozenset[str]] = frozenset({"base"})

    @classmethod
    def plan_type(cls) -> type[SequencePlan]:
        """See Modality."""
        return SequencePlan

    def plan(
        self, dataset: Dataset, indices: Sequence[int], task: "Task", wanted: Wanted
    ) -> SequencePlan:
        """The longest training sequence is what the network takes."""
        import pyarrow.compute as pc

        from medray.modalities.sequence.cases import SequenceCases, sequences_of
        from medray.tasks.base import NO_LABEL

        longest = pc.max(pc.utf8_length(sequences_of(dataset, indices))).as_py()
        length = wanted.given.length or int(longest)
        cases = SequenceCases(dataset, indices, length, labels=task.answers == "place")
        found = task.targets(cases.rows)
        values = cases.labels[cases.labels != NO_LABEL] if found is None else found.numpy()
        return planned_fields(
            SequencePlan,
            wanted.given,
            {
                "classes": task.classes,
                "frequencies": task.statistics(values),
                "batch_size": wanted.settings.batch_size or max(2, min(BATCH, len(cases) // 10)),
                "samples": len(cases),
                "length": length,
                "answers": task.answers,
            },
            {
                "length": "the longest of the training sequences",
                "batch_size": f"at most {BATCH} and a tenth of the samples",
            },
        )

    def sketch(
        self, model: dict[str, Any], given: SequencePlanOptions, task: "Task", axes: int | None
    ) -> Sketch:
        """Of sequences as long as the job says; else only the data know."""
        length = given.length or LENGTH
        return Sketch({"per_base": task.answers == "place"}, size=(length,))

    def build(self, model: dict[str, Any], plan: SequencePlan) -> "Network":
        """The network for sequences of the plan's length.

        Raises:
            SpecError: the task asks for an answer per base, and the network has one for the
                sequence alone (code "task-mismatch").
        """
        from medray.models import MODELS, model_options
        from medray.models.sequence.tokens import BASES

        kind = MODELS.get(model["name"])
        per_base = plan.answers == "place"
        if per_base and "per_base" not in kind.Options.planned:
            raise SpecError(
                "this network answers for sequences, not for their bases",
                code="task-mismatch",
                about=str(model["name"]),
                hint="take one that answers place by place",
            )
        options = model_options(model, per_base=per_base)
        return kind.build(options, BASES, len(plan.classes), (plan.length,))

    def cases(
        self,
        dataset: Dataset,
        indices: Sequence[int],
        plan: SequencePlan,
        task: "Task",
        settings: TrainSettings,
    ) -> "SequenceCases":
        """See medray.modalities.sequence.cases."""
        from medray.modalities.sequence.cases import SequenceCases

        return SequenceCases(
            dataset, indices, plan.length, plan.align, labels=task.answers == "place"
        )

    def loader(
        self,
        cases: "SequenceCases",
        order: Order,
        plan: SequencePlan,
        task: "Task",
        settings: TrainSettings,
        share: tuple[int, int],
        device: "torch.device",
    ) -> "SequenceLoader":
        """See medray.modalities.sequence.cases."""
        from medray.modalities.sequence.cases import SequenceLoader

        return SequenceLoader(
            cases,
            order,
            targets=task.targets(cases.rows),
            augment=self.augmented(settings),
            share=share,
            device=device,
            prefetch=settings.prefetch,
            parts=settings.accumulate,
        )

    def judge(
        self,
        network: "Network",
        cases: "SequenceCases",
        chosen: Sequence[int],
        task: "Task",
        plan: SequencePlan,
        device: "torch.device",
        precision: Precision,
    ) -> Iterator[list[float]]:
        """Many sequences at a time."""
        import torch

        from medray.modalities.ask import ask

        for start in range(0, len(chosen), TOGETHER):
            some = list(chosen[start : start + TOGETHER])
            tokens = torch.from_numpy(cases.tokens[some]).to(device)
            answers = ask(network, tokens, task, precision)
            for case, answer in zip(some, answers, strict=True):
                yield task.judge(answer, cases.labels[case] if task.answers == "place" else None)

    def design(self, dataset: Dataset, indices: Sequence[int], plan: SequencePlan) -> np.ndarray:
        """Which base stands where, and counts of k-mers; see medray.modalities.sequence.kmers."""
        from medray.modalities.sequence.cases import sequences_of, tokens_of
        from medray.modalities.sequence.kmers import kmer_design

        return kmer_design(tokens_of(sequences_of(dataset, indices), plan.length, plan.align))

    def united(
        self, networks: "Sequence[Network]", plans: Sequence[Any], task: "Task"
    ) -> "Network | None":
        """See Several: of answers base by base, since what is judged of these are counts, which
        have no mean."""
        if task.answers != "place":
            return None
        from medray.modalities.ask import averaged

        return averaged(networks, plans, task)

    def wire(self, plan: dict[str, Any]) -> Wire:
        """See medray.modalities.sequence.wire."""
        return SequenceWire(plan)

    def outputs(self, network: "type[Network]", task: "Task", options: SequenceOptions) -> Made:
        """The probability of each class at each base, or how much each has to do with the answer;
        else columns."""
        along = names("contig", "bin_bases", "offset", "names")
        if options.outputs not in HOW:
            return Made(names("probability"), along) if task.answers == "place" else Made()
        if task.answers == "place":
            raise SpecError(
                "a task per base has no one answer to attribute",
                code="no-attributions",
                hint="take a model of whole sequences",
            )
        if options.outputs == "attention" and not network.attends:
            raise SpecError(
                "the network has no attention",
                code="no-attention",
                hint="train one that has, or ask for gradients",
            )
        if options.outputs == "gradients":
            need("captum", what="gradients")
        return Made(names("track"), along, scorable=False)

    def predictor(self, trained: Trained, asked: Asking) -> Answering:
        """One row for each sequence, or an array of its bases.

        Raises:
            SpecError: bases are asked what they have to do with answers per base (code
                "no-attributions").
        """
        from medray.modalities.sequence.predictor import SequencePredictor

        if asked.options.outputs in HOW and trained.task.answers == "place":
            raise SpecError(
                "a task per base has no one answer to attribute",
                code="no-attributions",
                about=trained.reference,
                hint="take a model of whole sequences",
            )
        return SequencePredictor(trained, asked)

    def illustrate(
        self, section: Section, task: "Task", truth: Dataset, predictions: Dataset
    ) -> Section:
        """See medray.modalities.sequence.pages."""
        from medray.modalities.sequence.pages import tracks

        figures = tracks(section.pictures, task, truth, predictions)
        return replace(section, figures=[*section.figures, *figures], pictures=())

    def describe(self, plan: SequencePlan) -> list[str]:
        """Length."""
        return [f"sequences of {plan.length} bases, {plan.align}-aligned"]
