"""Named entities: which stretches of a text are of which type."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from medray.formats.documents.columns import SPANS, TEXT, spans_of
from medray.models.base import Answers
from medray.storage.shards.holds import Needs, names
from medray.storage.shards.samples import Sample
from medray.tasks.base import NO_LABEL, TaskOptions
from medray.tasks.metric import Metric
from medray.tasks.metrics.entities import (
    counted,
    mistakes_of,
    strict_entities,
)
from medray.tasks.text.annotating import Annotating, metrics_of
from medray.tasks.text.crf import NEVER, best_path, log_partition, path_score

OUTSIDE = "O"


class Ner(Annotating):
    """The negative log-likelihood of the true tags (IOB2) among all chains of tags that are legal.

    What the plan keeps as `frequencies` is how many tokens a training text has in the mean, by
    which losses are divided.
    """

    class Options(TaskOptions):
        """What can be chosen."""

        types: tuple[str, ...] = Field(
            min_length=1, max_length=60, description="of spans that are learnt and judged"
        )
        show_text: bool = Field(
            False, description="whether scores, and so pages, quote what was mistaken"
        )

    name: ClassVar[str] = "ner"
    answers: ClassVar[Answers] = "spans"
    metrics: ClassVar[Mapping[str, Metric]] = metrics_of("F1, strict")
    mistake = (
        {
            "mistake": Metric("mistake", kind="text"),
            "begin": Metric("begin", kind="count"),
            "end": Metric("end", kind="count"),
            "type": Metric("type", kind="text"),
            "called_begin": Metric("called begin", kind="count"),
            "called_end": Metric("called end", kind="count"),
            "called_type": Metric("called", kind="text"),
            "quote": Metric("text", kind="text"),
        },
        ("mistake", "type"),
        Metric("spans", kind="count"),
    )
    definition = (
        "A span is right where its first and last character and its type are (strict); "
        "intervals are over documents of whole subjects."
    )

    def __init__(self, options: Options, frequencies: Sequence[float] | None = None) -> None:
        super().__init__(options, frequencies)
        self.options = options
        self.found_types = options.types
        self._tokens = frequencies[0] if frequencies else 1.0
        self._illegal = torch.from_numpy(_illegal(self.classes))

    @property
    def classes(self) -> tuple[str, ...]:
        """Tags: outside, and of each type begin and inside."""
        return (OUTSIDE, *(f"{mark}-{kind}" for kind in self.options.types for mark in "BI"))

    @property
    def needs(self) -> Needs:
        """Spans that are marked."""
        return Needs(columns=names(SPANS))

    def _legal(self, logits: Tensor) -> Tensor:
        return logits.float() + self._illegal.to(logits.device)[None, :, :, None]

    def loss(self, outputs: Any, target: Any) -> Tensor:
        """See Task.

        Args:
            outputs: potentials (B, T, T, L), see medray.tasks.text.crf.
            target: tags uint8 (B, L); NO_LABEL behind a text's end.
        """
        potentials = self._legal(outputs)
        lengths = (target != NO_LABEL).sum(1, keepdim=True)
        tags = target.long()
        last = tags.gather(1, (lengths - 1).clamp(min=0))
        tags = torch.where(target == NO_LABEL, last, tags)
        tags = torch.where(tags == NO_LABEL, 0, tags)  # of a text without tokens
        return (log_partition(potentials) - path_score(potentials, tags)) / self._tokens

    def probabilities(self, logits: Tensor) -> Tensor:
        """The tags of the best legal path, (B, 1, L)."""
        return best_path(self._legal(logits))[:, None].float()

    def judge(self, answer: np.ndarray, truth: np.ndarray | None) -> list[float]:
        """Counts of entities by tags.

        Args:
            answer: tags (1, L).
            truth: tags (L,), NO_LABEL behind the text's end.
        """
        labels = np.zeros(0, np.int64) if truth is None else truth.astype(np.int64)
        there = labels[labels != NO_LABEL]
        wanted = set(strict_entities(there))
        found = set(strict_entities(answer[0, : len(there)].astype(np.int64)))
        return [float(len(wanted & found)), float(len(found)), float(len(wanted))]

    def score(self, truth: Sample, prediction: Sample | None) -> list[dict[str, Any]]:
        """One row; a span is right if begin, end, parts and type are."""
        types = self.options.types
        wanted = {one for one in spans_of(truth.row) if one.type in types}
        found = set() if prediction is None else set(spans_of(prediction.row))
        counts = counted([one.type for one in wanted], [one.type for one in found],
                         [one.type for one in wanted & found], types)  # fmt: skip
        quoted = str(truth.row.get(TEXT) or "") if self.options.show_text else None
        return [
            {
                "status": "scored" if prediction is not None else "no-prediction",
                **counts,
                "mistakes": mistakes_of(wanted, found, quoted),
            }
        ]


def _illegal(tags: Sequence[str]) -> np.ndarray:
    """What is added to potentials, float32 (from, to): an inside stands behind its own type."""
    made = np.zeros((len(tags), len(tags)), np.float32)
    for at, tag in enumerate(tags):
        if tag.startswith("I-"):
            kind = tag.removeprefix("I-")
            for before, other in enumerate(tags):
                if other not in (f"B-{kind}", tag):
                    made[before, at] = NEVER
    return made
