"""Sequences: tokens of DNA, cut or padded to one length."""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal, cast

import numpy as np
import pyarrow.compute as pc
import torch
from pydantic import Field

from medray.data.order import Order
from medray.errors import DataError, SpecError
from medray.modalities.base import (
    Answering,
    Modality,
    Plan,
    Precision,
    Trained,
    Wanted,
    planned_fields,
)
from medray.modalities.image.build import model_options
from medray.modalities.image.sliding.blend import require_finite
from medray.modalities.image.sliding.infer import forward
from medray.modalities.sequence.cases import (
    Align,
    SequenceCases,
    SequenceLoader,
    sequences_of,
    tokens_of,
)
from medray.modalities.sequence.explain import HOW, attribute
from medray.modalities.sequence.kmers import kmer_design
from medray.models import MODELS
from medray.models.base import Network
from medray.models.sequence.tokens import BASES
from medray.spec.training import TrainSettings
from medray.storage.catalog.datasets import Dataset
from medray.storage.shards.holds import Needs, names
from medray.storage.shards.reader import Shard
from medray.storage.shards.samples import Sample
from medray.storage.shards.schema import Arrays, ArraySpec, Axis
from medray.tasks.base import NO_LABEL, Task

TOGETHER = 256  # sequences that are validated at once
BATCH = 128  # samples in a step at most, unless the job says


class SequencePlan(Plan):
    """The plan of a training on sequences."""

    modality: Literal["sequence"] = "sequence"
    length: int = Field(ge=1, description="bases that the network takes")
    align: Align = Field(
        "left", description="which end of a sequence of another length keeps its place"
    )
    per_base: bool


class Sequences(Modality):
    """Samples with a column `sequence`; of tasks per base with an array `label` besides."""

    name: ClassVar[str] = "sequence"
    Plan: ClassVar[type[SequencePlan]] = SequencePlan
    needs: ClassVar[Needs] = Needs(columns=names("sequence"))
    extends: ClassVar[frozenset[str]] = frozenset({"base"})

    def plan(
        self, dataset: Dataset, indices: Sequence[int], task: Task, wanted: Wanted
    ) -> SequencePlan:
        """The longest training sequence is what the network takes."""
        longest = pc.max(pc.utf8_length(sequences_of(dataset, indices))).as_py()
        length = int(wanted.given.get("length", longest))
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
                "per_base": task.answers == "place",
            },
            {
                "length": "the longest of the training sequences",
                "batch_size": f"at most {BATCH} and a tenth of the samples",
            },
        )

    def build(self, model: dict[str, Any], plan: SequencePlan) -> Network:
        """The network for sequences of the plan's length.

        Raises:
            SpecError: the task asks for an answer per base, and the network has one for the
                sequence alone (code "task-mismatch").
        """
        kind = MODELS.get(model["name"])
        if plan.per_base and "per_base" not in kind.Options.planned:
            raise SpecError(
                "this network answers for sequences, not for their bases",
                code="task-mismatch",
                about=str(model["name"]),
                hint="take lstm or transformer",
            )
        options = model_options(model, per_base=plan.per_base)
        return kind.build(options, BASES, len(plan.classes), (plan.length,))

    def cases(
        self,
        dataset: Dataset,
        indices: Sequence[int],
        plan: SequencePlan,
        task: Task,
        settings: TrainSettings,
    ) -> SequenceCases:
        """See medray.modalities.sequence.cases."""
        return SequenceCases(
            dataset, indices, plan.length, plan.align, labels=task.answers == "place"
        )

    def loader(
        self,
        cases: SequenceCases,
        order: Order,
        plan: SequencePlan,
        task: Task,
        settings: TrainSettings,
        share: tuple[int, int],
        device: torch.device,
    ) -> SequenceLoader:
        """See medray.modalities.sequence.cases."""
        return SequenceLoader(
            cases,
            order,
            targets=task.targets(cases.rows),
            augment=settings.augment,
            share=share,
            device=device,
            prefetch=settings.prefetch,
            parts=settings.accumulate,
        )

    def judge(
        self,
        network: Network,
        cases: SequenceCases,
        chosen: Sequence[int],
        task: Task,
        plan: SequencePlan,
        device: torch.device,
        precision: Precision,
    ) -> Iterator[list[float]]:
        """Many sequences at a time."""
        for start in range(0, len(chosen), TOGETHER):
            some = list(chosen[start : start + TOGETHER])
            answers = _answers(network, cases.tokens[some], task, device, precision)
            for case, answer in zip(some, answers, strict=True):
                yield task.judge(answer, cases.labels[case] if task.answers == "place" else None)

    def design(self, dataset: Dataset, indices: Sequence[int], plan: SequencePlan) -> np.ndarray:
        """Which base stands where, and counts of k-mers; see medray.modalities.sequence.kmers."""
        return kmer_design(tokens_of(sequences_of(dataset, indices), plan.length, plan.align))

    def predictor(self, trained: Trained, options: dict[str, Any]) -> Answering:
        """One row for each sequence, or an array of its bases.

        Raises:
            SpecError: bases are asked what they have to do with answers per base (code
                "no-attributions").
        """
        if options["outputs"] in HOW and trained.task.answers == "place":
            raise SpecError(
                "a task per base has no one answer to attribute",
                code="no-attributions",
                about=trained.reference,
                hint="take a model of whole sequences",
            )
        return SequencePredictor(trained, options)

    def describe(self, plan: SequencePlan) -> list[str]:
        """Length."""
        return [f"sequences of {plan.length} bases, {plan.align}-aligned"]


class SequencePredictor(Answering):
    """How a model of sequences answers."""

    @property
    def arrays(self) -> Arrays:
        """Probabilities of a task per base, or attributions."""
        base = Axis("base", "base", "base")
        probability, track = (ArraySpec((Axis(n), base), ("float32",)) for n in ("class", "track"))
        return {"probability": probability, "track": track}

    @property
    def batch(self) -> int:
        """As the step says."""
        return int(self.options["batch"])

    @property
    def plan(self) -> SequencePlan:
        """Of the model's training."""
        return cast("SequencePlan", self.trained.plan)

    def read(self, shard: Shard, number: int, together: int) -> Sample:
        """The sample's row with its tokens uint8 (length,) as array `tokens`."""
        if "sequence" not in shard.table.column_names:
            raise DataError(
                "the samples hold no sequences",
                code="model-mismatch",
                hint="select samples like those the model was trained on",
            )
        one = shard.table.slice(number, 1)
        row = one.drop_columns(["sequence"]).to_pylist()[0]
        tokens = tokens_of(one["sequence"], self.plan.length, self.plan.align)[0]
        row["bases"] = len(one["sequence"][0].as_py())
        return Sample(str(row.pop("sample_id")), row, {"tokens": tokens})

    def answers(self, samples: Sequence[Sample]) -> np.ndarray:
        """See Predictor."""
        trained = self.trained
        tokens = np.stack([np.asarray(sample.arrays["tokens"]) for sample in samples])
        if self.options["outputs"] in HOW:
            shown = torch.from_numpy(tokens).to(trained.device)
            return attribute(trained.network, shown, self.options["outputs"])
        return _answers(
            trained.network, tokens, trained.task, trained.device, self.options["precision"]
        )

    def finish(self, sample: Sample, answer: np.ndarray) -> Sample:
        """See Predictor. A task per base makes the array `probability`, float32 (classes, L),
        attributions `track`, float32 (tracks, L); the format `bed` writes both."""
        explained = self.options["outputs"] in HOW
        if self.trained.task.answers == "sample" and not explained:
            return super().finish(sample, answer)
        bases = min(int(sample.row["bases"]), self.plan.length)
        inside = _inside(bases, self.plan.length, self.plan.align)
        made = np.ascontiguousarray(answer[:, inside])
        first = int(sample.row.get("start", 0)) - int(sample.row.get("offset", 0))
        names = _tracks(len(made)) if explained else list(self.plan.classes)
        place = {"bin_bases": 1, "offset": first, "names": names}
        return Sample(
            sample.id,
            {"contig": sample.id, **sample.row, **place},
            {"track" if explained else "probability": made},
        )


def _tracks(count: int) -> list[str]:
    return ["importance"] if count == 1 else list("ACGT")


def _inside(bases: int, length: int, align: Align) -> slice:
    """Where a sequence's own bases are among the network's tokens."""
    before = {"left": 0, "centre": (length - bases) // 2, "right": length - bases}[align]
    return slice(before, before + bases)


def _answers(
    network: Network,
    tokens: np.ndarray,
    task: Task,
    device: torch.device,
    precision: Precision,
) -> np.ndarray:
    """What the task makes of the network's answers: float32 (B, classes, …)."""
    inputs = torch.from_numpy(tokens).to(device)
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        logits = forward(network, inputs)
    require_finite(logits)
    return task.probabilities(logits).cpu().numpy()
