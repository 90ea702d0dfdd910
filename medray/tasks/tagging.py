"""Tagging: one class for every base of a sequence, or sample of a signal."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import torch
from pydantic import Field
from torch import Tensor

from medray.formats.signal.rhythms import Stretches, stretches_of
from medray.models.base import Answers, Logits
from medray.storage.shards.holds import Needs, names
from medray.storage.shards.samples import Sample
from medray.tasks.along import (
    INSTEAD,
    METRICS,
    along,
    conclude_along,
    score_along,
    section_along,
)
from medray.tasks.base import NO_LABEL, Task, TaskOptions, whole
from medray.tasks.labels.class_weights import ClassWeights, weights_of
from medray.tasks.metric import Metric
from medray.tasks.metrics.bootstrap import Bootstrap
from medray.tasks.metrics.tagging import (
    BINS,
    f1,
    histograms,
    judged_classes,
    pooled_auroc,
    pooled_precision,
    score_tagging,
    summarise_tagging,
)
from medray.tasks.section import Figure, Picture, ScoredCases, Section, picked


class Tagging(Task):
    """Cross-entropy over the classes of each base; bases labelled 255 are neither learnt nor
    judged."""

    class Options(TaskOptions):
        """What can be chosen."""

        classes: tuple[str, ...] = Field(min_length=2, description="of labels 0, 1, …")
        class_weights: ClassWeights = Field("none", description="of bases in the loss")
        focal_gamma: float = Field(0, ge=0, description="0: plain cross-entropy")
        label_smoothing: float = Field(0, ge=0, lt=1)

    name: ClassVar[str] = "tagging"
    answers: ClassVar[Answers] = "place"
    over: ClassVar[frozenset[str]] = frozenset({"base", "time"})
    metric: ClassVar[str] = "val_auroc"
    metrics: ClassVar[Mapping[str, Metric]] = {
        "auroc": Metric("AUROC", headline=True, per_case=False),
        "average_precision": Metric("average precision", headline=True, per_case=False),
        "f1": Metric("F1", headline=True, per_case=False),
        "auroc_per_sample": Metric("AUROC, mean of samples", headline=True),
        "average_precision_per_sample": Metric("average precision, mean of samples"),
        "f1_per_sample": Metric("F1, mean of samples"),
        "bases": Metric("bases", kind="count"),
        **METRICS,
    }

    def __init__(self, options: Options, frequencies: Sequence[float] | None = None) -> None:
        super().__init__(options, frequencies)
        self.options = options
        weights = weights_of(options.class_weights, len(options.classes), frequencies)
        self._weights = None if weights is None else torch.tensor(weights, dtype=torch.float32)
        self._judged = judged_classes(len(options.classes))

    @property
    def classes(self) -> tuple[str, ...]:
        """See Task."""
        return self.options.classes

    @property
    def needs(self) -> Needs:
        """Labels; of recordings annotations."""
        return Needs((names("label"),), instead=INSTEAD)

    def targets(self, rows: Sequence[dict[str, Any]]) -> Tensor | None:
        """None: the target is the label array."""
        return None

    def loss(self, outputs: Logits, target: Tensor) -> Tensor:
        """See Task; the mean over a sequence's labelled bases, 0 where it has none."""
        logits = (outputs if isinstance(outputs, Tensor) else outputs[0]).float()
        known = target != NO_LABEL
        wanted = torch.where(known, target, 0).long()
        log_p = logits.log_softmax(1)
        loss = -log_p.gather(1, wanted[:, None])[:, 0]
        if self.options.focal_gamma:
            loss = loss * (1 - (-loss).exp()) ** self.options.focal_gamma
        smoothing = self.options.label_smoothing
        if smoothing:
            loss = (1 - smoothing) * loss - smoothing * log_p.mean(1)
        if self._weights is not None:
            loss = loss * self._weights.to(loss.device)[wanted]
        return (loss * known).sum(1) / known.sum(1).clamp(min=1)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Softmax over the classes of each base."""
        return logits.float().softmax(1)

    @property
    def columns(self) -> int:
        """Of each judged class: called right, called wrong, and two histograms of its score."""
        return len(self._judged) * (2 + 2 * BINS)

    def judge(self, answer: np.ndarray, truth: np.ndarray | None) -> list[float]:
        """Counts that add up over sequences.

        Args:
            answer: probabilities (classes, bases).
            truth: labels (bases,).
        """
        labels = np.zeros(0) if truth is None else truth
        known = labels != NO_LABEL
        labels, given = labels[known], answer[:, known]
        called = given.argmax(0)
        row: list[float] = []
        for index in self._judged:
            positive, hit = labels == index, called == index
            some, rest = histograms(given[index], positive)
            row += [float((hit & positive).sum()), float((hit & ~positive).sum()), *some, *rest]
        return row

    def summarise(self, table: np.ndarray, targets: np.ndarray | None) -> dict[str, float]:
        """`val_auroc`, `val_average_precision` and `val_f1` of all bases together, means over the
        judged classes; with more than two classes the area of each."""
        areas, precisions, scores = [], [], []
        for part in np.split(table.sum(0, keepdims=True), len(self._judged), axis=1):
            some, rest = part[:, 2 : 2 + BINS], part[:, 2 + BINS :]
            areas.append(float(pooled_auroc(some, rest)[0]))
            precisions.append(float(pooled_precision(some, rest)[0]))
            scores.append(float(f1(part[:, 0], part[:, 1], some.sum(1))[0]))
        metrics = {
            "val_auroc": _mean(areas),
            "val_average_precision": _mean(precisions),
            "val_f1": _mean(scores),
        }
        if len(self._judged) > 1:
            pairs = zip(self.classes, areas, strict=True)
            metrics |= {f"val_auroc_{name}": area for name, area in pairs}
        return metrics

    @property
    def validates(self) -> frozenset[str]:
        """See Task."""
        several = len(self._judged) > 1
        of_each = (f"val_auroc_{self.classes[at]}" for at in range(len(self._judged)) if several)
        return frozenset({"val_auroc", "val_average_precision", "val_f1", *of_each})

    def events(self, row: Mapping[str, Any]) -> Stretches:
        """See Task."""
        return stretches_of(row)

    def score(self, truth: Sample, prediction: Sample | None) -> list[dict[str, Any]]:
        """One row; see medray.tasks.metrics.tagging. A recording without labels is judged by its
        annotations, see medray.tasks.metrics.intervals."""
        if along(truth, "label"):
            return score_along(truth, prediction, self.events(truth.row), self.classes)
        given = None if prediction is None else whole(prediction, "probability")
        labels = whole(truth, "label").astype(np.int64)
        return [score_tagging(given, labels, self.classes, ignore=NO_LABEL)]

    def conclude(self, cases: pa.Table, bootstrap: Bootstrap) -> dict[str, Any]:
        """See Task."""
        found = conclude_along(self.name, cases, self.classes, bootstrap)
        return found or summarise_tagging(cases, self.classes, bootstrap)

    def section(self, scores: ScoredCases) -> Section:
        """ROC of all bases together; the best, the median and the worst sequence to be shown. Of
        recordings what is told of intervals."""
        if "curves" not in scores.summary:
            return section_along(super().section(scores), scores)
        figure = Figure("roc", "ROC", {"curves": scores.summary["curves"]["roc"]})
        means = [{**row, "f1": _mean_of(row["f1"])} for row in scores.cases]
        pictures = [
            Picture(title, f"F1 {value:.3f}", [(case, "")])
            for title, case, value in picked(means, "f1", self.metrics["f1"])
        ]
        return replace(super().section(scores), figures=[figure], pictures=pictures)


def _mean(values: list[float]) -> float:
    """Over what is defined."""
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def _mean_of(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
