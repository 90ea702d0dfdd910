"""Relations: which spans of a sentence are related, and how."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from medray.formats.documents.columns import RELATIONS, SPANS, Span, relations_of, spans_of
from medray.models.base import Answers
from medray.storage.shards.holds import Needs, names
from medray.storage.shards.samples import Sample
from medray.tasks.base import Task, TaskOptions
from medray.tasks.metric import Metric
from medray.tasks.metrics.bootstrap import Bootstrap
from medray.tasks.metrics.entities import counted, summarise_counts
from medray.tasks.section import ScoredCases, Section, Table

NONE = "none"
LISTED = 200
Link = tuple[Span, Span, str]


class Relations(Task):
    """Cross-entropy over types and none of each pair of spans in a sentence.

    What the plan keeps as `frequencies` is how many pairs a training text has in the mean, by which
    losses are divided. Scored are pairs that are related, by both spans and type: none is no class
    of the scores, and a relation across sentences that no network is asked about is missed.
    """

    class Options(TaskOptions):
        """What can be chosen."""

        types: tuple[str, ...] = Field(
            min_length=1, max_length=100, description="of relations that are learnt and judged"
        )
        directed: bool = Field(
            False, description="whether a relation of two spans differs from that turned round"
        )
        none_weight: float = Field(
            1.0, gt=0, le=1, description="of pairs that nothing relates, in the loss"
        )

    name: ClassVar[str] = "relations"
    answers: ClassVar[Answers] = "links"
    metric: ClassVar[str] = "val_f1"
    metrics: ClassVar[Mapping[str, Metric]] = {
        "f1": Metric("micro F1", headline=True, digits=4, per_case=False),
        "precision": Metric("precision", headline=True, per_case=False),
        "recall": Metric("recall", headline=True, per_case=False),
        "true": Metric("true relations", kind="count"),
        "called": Metric("called", kind="count"),
        "right": Metric("right", kind="count"),
    }

    def __init__(self, options: Options, frequencies: Sequence[float] | None = None) -> None:
        super().__init__(options, frequencies)
        self.options = options
        self.directed = options.directed
        self._pairs = frequencies[0] if frequencies else 1.0

    @property
    def classes(self) -> tuple[str, ...]:
        """None, and the types."""
        return (NONE, *self.options.types)

    @property
    def needs(self) -> Needs:
        """Spans and what relates them."""
        return Needs(columns=names(SPANS, RELATIONS))

    def targets(self, rows: Sequence[dict[str, Any]]) -> Tensor | None:
        """None: the target is made of spans and relations."""
        return None

    def statistics(self, values: np.ndarray) -> tuple[float, ...]:
        """Pairs of a text in the mean.

        Args:
            values: pairs of each training text.
        """
        return (max(1.0, float(values.mean())),)

    def loss(self, outputs: Any, target: Any) -> Tensor:
        """See Task.

        Args:
            outputs: logits (pairs, classes).
            target: `labels` (pairs,), `owners` (pairs,) of which text each is, `documents` (B,).
        """
        made: Tensor = torch.zeros_like(target["documents"])
        labels = target["labels"]
        if not len(labels):
            # Every rank has gradients of all parameters.
            nothing: Tensor = outputs.float().sum() * 0
            return made + nothing
        nats = functional.cross_entropy(outputs.float(), labels, reduction="none")
        weights = torch.where(labels == 0, self.options.none_weight, 1.0)
        each: Tensor = made.index_add(0, target["owners"], nats * weights) / self._pairs
        return each

    def probabilities(self, logits: Tensor) -> Tensor:
        """Softmax over the classes of each pair."""
        return logits.float().softmax(1)

    @property
    def columns(self) -> int:
        """Relations that are right, called and true."""
        return 3

    def judge(self, answer: np.ndarray, truth: np.ndarray | None) -> list[float]:
        """Counts over the pairs of a text.

        Args:
            answer: probabilities (pairs, classes).
            truth: classes (pairs,).
        """
        labels = np.zeros(len(answer), np.int64) if truth is None else truth.astype(np.int64)
        called = answer.argmax(1) if len(answer) else labels
        right = (called == labels) & (labels > 0)
        return [float(right.sum()), float((called > 0).sum()), float((labels > 0).sum())]

    def summarise(self, table: np.ndarray, targets: np.ndarray | None) -> dict[str, float]:
        """`val_f1`, `val_precision` and `val_recall` of all pairs of sentences together."""
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
        """One row; a relation is right if both spans and its type are."""
        types = self.options.types
        wanted = {one for one in self._links(truth.row) if one[2] in types}
        found = set() if prediction is None else self._links(prediction.row)
        counts = counted([one[2] for one in wanted], [one[2] for one in found],
                         [one[2] for one in wanted & found], types)  # fmt: skip
        row = {"status": "scored" if prediction is not None else "no-prediction", **counts}
        return [{**row, "mistakes": _mistakes(wanted, found)}]

    def _links(self, row: Mapping[str, Any]) -> set[Link]:
        spans = spans_of(row)
        made = set()
        for one in relations_of(row, len(spans)):
            first, second = spans[one.first], spans[one.second]
            if not self.options.directed:
                first, second = sorted((first, second), key=_place)
            made.add((first, second, one.type))
        return made

    def conclude(self, cases: pa.Table, bootstrap: Bootstrap) -> dict[str, Any]:
        """Precision, recall and F1 over the relations of all documents, as SemEval-2013 task 9
        scored them (micro-averaged, without the negative class); see Task."""
        made = summarise_counts(cases, self.options.types, bootstrap)
        return {"task": self.name, **made}

    def section(self, scores: ScoredCases) -> Section:
        """With what was taken for what, and where."""
        section = super().section(scores)
        kinds: dict[tuple[str, str], int] = {}
        listed = []
        for row in scores.cases:
            for one in row["mistakes"] or ():
                kinds[one["type"], one["called_type"]] = (
                    kinds.get((one["type"], one["called_type"]), 0) + 1
                )
                listed.append({"case": row["case"], **one})
        heads = {
            "type": Metric("truth", kind="text"),
            "called_type": Metric("called", kind="text"),
            "count": Metric("pairs", kind="count"),
        }
        counts = [
            {"type": kind, "called_type": called, "count": count}
            for (kind, called), count in sorted(kinds.items(), key=lambda one: -one[1])
        ]
        told = Table(
            MISTAKES,
            listed[:LISTED],
            folded=f"Mistakes, {min(LISTED, len(listed))} of {len(listed)}",
        )
        return replace(
            section,
            tables=[*section.tables, Table(heads, counts, title="Mistakes by type")],
            listings=[told, *section.listings],
            definitions=[
                (
                    "A relation is right where both spans and its type are; pairs that nothing "
                    "relates count in no score, and a relation across sentences is missed."
                )
            ],
        )


MISTAKES = {
    "case": Metric("case", kind="id"),
    "type": Metric("truth", kind="text"),
    "called_type": Metric("called", kind="text"),
    "first": Metric("first begins", kind="count"),
    "second": Metric("second begins", kind="count"),
}


def _place(span: Span) -> tuple[int, int, str]:
    return span.begin, span.end, span.type


def _mistakes(wanted: set[Link], found: set[Link]) -> list[dict[str, Any]]:
    true = {(one, other): kind for one, other, kind in wanted - found}
    called = {(one, other): kind for one, other, kind in found - wanted}
    pairs = sorted({*true, *called}, key=lambda pair: (_place(pair[0]), _place(pair[1])))
    return [
        {
            "type": true.get(pair, NONE),
            "called_type": called.get(pair, NONE),
            "first": pair[0].begin,
            "second": pair[1].begin,
        }
        for pair in pairs
    ]


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole else 0.0
