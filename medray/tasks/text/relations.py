"""Relations: which spans of a sentence are related, and how."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from medray.formats.documents.columns import RELATIONS, SPANS, Span, relations_of, spans_of
from medray.models.base import Answers
from medray.storage.shards.holds import Needs, names
from medray.storage.shards.samples import Sample
from medray.tasks.base import TaskOptions
from medray.tasks.metric import Metric
from medray.tasks.metrics.entities import counted
from medray.tasks.text.annotating import Annotating, metrics_of

NONE = "none"
THRESHOLDS = np.arange(1, 20) / 20
Link = tuple[Span, Span, str]


class Relations(Annotating):
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
        threshold: float | None = Field(
            None,
            gt=0,
            lt=1,
            description="probability that nothing relates a pair, below which it is called by its "
            "likeliest type; null: the validation says",
        )

    name: ClassVar[str] = "relations"
    answers: ClassVar[Answers] = "links"
    metrics: ClassVar[Mapping[str, Metric]] = {
        **metrics_of("micro F1"),
        "threshold": Metric("threshold", higher_is_better=False),
    }
    mistake = (
        {
            "type": Metric("truth", kind="text"),
            "called_type": Metric("called", kind="text"),
            "first": Metric("first begins", kind="count"),
            "second": Metric("second begins", kind="count"),
        },
        ("type", "called_type"),
        Metric("pairs", kind="count"),
    )
    definition = (
        "A relation is right where both spans and its type are; pairs that nothing "
        "relates count in no score, and a relation across sentences is missed."
    )

    def __init__(self, options: Options, frequencies: Sequence[float] | None = None) -> None:
        super().__init__(options, frequencies)
        self.options = options
        self.found_types = options.types
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
        each: Tensor = made.index_add(0, target["owners"], nats) / self._pairs
        return each

    def probabilities(self, logits: Tensor) -> Tensor:
        """Softmax over the classes of each pair."""
        return logits.float().softmax(1)

    @property
    def threshold(self) -> float:
        """Probability of none below which a pair is called."""
        return 0.5 if self.options.threshold is None else self.options.threshold

    @property
    def columns(self) -> int:
        """Relations that are right, called and true, by each threshold."""
        return 3 * len(THRESHOLDS)

    def judge(self, answer: np.ndarray, truth: np.ndarray | None) -> list[float]:
        """Counts over the pairs of a text, by each threshold.

        Args:
            answer: probabilities (pairs, classes).
            truth: classes (pairs,).
        """
        labels = np.zeros(len(answer), np.int64) if truth is None else truth.astype(np.int64)
        likeliest = answer[:, 1:].argmax(1) + 1 if len(answer) else labels
        called = answer[:, 0] < THRESHOLDS[:, None]
        right = (called & (likeliest == labels)).sum(1)
        true = np.full(len(THRESHOLDS), (labels > 0).sum())
        return [float(one) for one in np.stack([right, called.sum(1), true], 1).ravel()]

    def summarise(self, table: np.ndarray, targets: np.ndarray | None) -> dict[str, float]:
        """See Annotating, by the threshold of the best F1 or the job's, and `val_threshold`."""
        each = table.reshape(len(table), -1, 3)
        right, called, true = each.sum(0).T
        f1 = 2 * right / np.maximum(1, called + true)
        far = np.abs(THRESHOLDS - self.threshold)
        # Of those that are as good as the best the one nearest to a half.
        best = int(np.where(f1 == f1.max(), far, np.inf).argmin())
        if self.options.threshold is not None:
            best = int(far.argmin())
        told = super().summarise(each[:, best], targets)
        return {**told, "val_threshold": float(THRESHOLDS[best])}

    @property
    def validates(self) -> frozenset[str]:
        """See Task."""
        return super().validates | {"val_threshold"}

    @property
    def calibrates(self) -> bool:
        """See Task: a threshold that the job does not give."""
        return self.options.threshold is None

    def chosen(self, metrics: dict[str, float]) -> dict[str, Any]:
        """The threshold, by the validation, unless the job gives it."""
        if self.options.threshold is not None or "val_threshold" not in metrics:
            return {}
        return {"threshold": round(metrics["val_threshold"], 4)}

    def describe(self) -> list[str]:
        """The threshold."""
        return [f"pairs are related where none has a probability below {self.threshold:g}"]

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
