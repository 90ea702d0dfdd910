"""Named entities: which stretches of a text are of which type."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import torch
from pydantic import Field
from torch import Tensor

from medray.formats.documents.columns import SPANS, TEXT, spans_of
from medray.models.base import Answers
from medray.storage.shards.holds import Needs, names
from medray.storage.shards.samples import Sample
from medray.tasks.base import NO_LABEL, Task, TaskOptions
from medray.tasks.metric import Metric
from medray.tasks.metrics.bootstrap import Bootstrap
from medray.tasks.metrics.entities import (
    counted,
    mistakes_of,
    strict_entities,
    summarise_counts,
)
from medray.tasks.section import ScoredCases, Section, Table
from medray.tasks.text.crf import NEVER, best_path, log_partition, path_score

OUTSIDE = "O"


class Ner(Task):
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
    metric: ClassVar[str] = "val_f1"
    metrics: ClassVar[Mapping[str, Metric]] = {
        "f1": Metric("F1, strict", headline=True, digits=4, per_case=False),
        "precision": Metric("precision", headline=True, per_case=False),
        "recall": Metric("recall", headline=True, per_case=False),
        "true": Metric("true spans", kind="count"),
        "called": Metric("called", kind="count"),
        "right": Metric("right", kind="count"),
    }

    def __init__(self, options: Options, frequencies: Sequence[float] | None = None) -> None:
        super().__init__(options, frequencies)
        self.options = options
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

    def targets(self, rows: Sequence[dict[str, Any]]) -> Tensor | None:
        """None: the target is made of spans and tokens."""
        return None

    def statistics(self, values: np.ndarray) -> tuple[float, ...]:
        """Tokens of a text in the mean.

        Args:
            values: tokens of each training text.
        """
        return (max(1.0, float(values.mean())),)

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

    @property
    def columns(self) -> int:
        """Entities that are right, called and true."""
        return 3

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

    def summarise(self, table: np.ndarray, targets: np.ndarray | None) -> dict[str, float]:
        """`val_f1`, `val_precision` and `val_recall` of all entities together."""
        right, called, true = table.sum(0)
        return {
            "val_f1": _share(2 * right, called + true),
            "val_precision": _share(right, called),
            "val_recall": _share(right, true),
        }

    @property
    def validates(self) -> frozenset[str]:
        """See Task."""
        return frozenset({"val_f1", "val_precision", "val_recall"})

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

    def conclude(self, cases: pa.Table, bootstrap: Bootstrap) -> dict[str, Any]:
        """Precision, recall and F1 over the spans of all documents; see Task."""
        made = summarise_counts(cases, self.options.types, bootstrap)
        return {"task": self.name, **made}

    def section(self, scores: ScoredCases) -> Section:
        """With what kinds of mistakes there are, and where."""
        section = super().section(scores)
        kinds: dict[tuple[str, str], int] = {}
        listed = []
        for row in scores.cases:
            for one in row["mistakes"] or ():
                kinds[one["mistake"], one["type"]] = kinds.get((one["mistake"], one["type"]), 0) + 1
                listed.append({"case": row["case"], **one})
        heads = {
            "mistake": Metric("mistake", kind="text"),
            "type": Metric("type", kind="text"),
            "count": Metric("spans", kind="count"),
        }
        counts = [
            {"mistake": mistake, "type": kind, "count": count}
            for (mistake, kind), count in sorted(kinds.items(), key=lambda one: -one[1])
        ]
        columns = {name: label for name, label in MISTAKES.items()
                   if any(one.get(name) is not None for one in listed)}  # fmt: skip
        told = Table(
            columns,
            listed[:LISTED],
            folded=f"Mistakes, {min(LISTED, len(listed))} of {len(listed)}",
        )
        return replace(
            section,
            tables=[*section.tables, Table(heads, counts, title="Mistakes by kind")],
            listings=[told, *section.listings],
            definitions=[
                (
                    "A span is right where its first and last character and its type are (strict); "
                    "intervals are over documents of whole subjects."
                )
            ],
        )


LISTED = 200
MISTAKES = {
    "case": Metric("case", kind="id"),
    "mistake": Metric("mistake", kind="text"),
    "begin": Metric("begin", kind="count"),
    "end": Metric("end", kind="count"),
    "type": Metric("type", kind="text"),
    "called_begin": Metric("called begin", kind="count"),
    "called_end": Metric("called end", kind="count"),
    "called_type": Metric("called", kind="text"),
    "quote": Metric("text", kind="text"),
}


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


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole else 0.0
