"""Classification: one class, or several labels, for a whole image."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn import functional

from medray.errors import DataError
from medray.formats.signal.rhythms import Stretches, events_of
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
from medray.tasks.base import Level, Task, TaskOptions
from medray.tasks.labels.class_weights import ClassWeights, weights_of
from medray.tasks.labels.classes import bad_target, class_of
from medray.tasks.metric import Metric
from medray.tasks.metrics.bootstrap import Bootstrap
from medray.tasks.metrics.classification import (
    UNKNOWN,
    score_classification,
    summarise_classification,
)
from medray.tasks.metrics.probability import auroc
from medray.tasks.owners import by_owner, mistaken, mistakes, spread
from medray.tasks.prediction_sets import PredictionSets
from medray.tasks.section import Figure, Picture, ScoredCases, Section, Table, Verdict

PICTURES = 6


class Classification(Task):
    """Cross-entropy over classes, or a binary one for each of labels that may go together."""

    class Options(TaskOptions):
        """What can be chosen."""

        classes: tuple[str, ...] = Field(min_length=2, description="classes 0, 1, …, or labels")
        target: str | tuple[str, ...] = Field(
            "target",
            description="column of the samples: a class by number or name; with multi_label a list "
            "of 0 and 1, or one column per label",
        )
        multi_label: bool = Field(
            False, description="labels that may go together, of which some may be missing"
        )
        class_weights: ClassWeights = "balanced"
        focal_gamma: float = Field(0, ge=0, description="0: plain cross-entropy")
        label_smoothing: float = Field(0, ge=0, lt=1)
        threshold: float = Field(0.5, gt=0, lt=1, description="of a label to be set (multi_label)")
        level: Level = Field(
            None, description="share of each class whose `prediction_set` shall hold it; null: none"
        )
        least: tuple[float, ...] = Field(
            (), description="probability that brings each class into it; empty: the validation says"
        )

        @model_validator(mode="after")
        def _one_class(self) -> "Classification.Options":
            if self.level is not None and self.multi_label:
                raise ValueError("`level` is of one class a case, not of labels")
            return self

    name: ClassVar[str] = "classification"
    answers: ClassVar[Answers] = "sample"
    metric: ClassVar[str] = "val_auc"
    baseline: ClassVar[str] = "logistic"
    metrics: ClassVar[Mapping[str, Metric]] = {
        "auroc": Metric("AUROC", headline=True),
        "auc": Metric("AUROC"),  # as a validation calls it
        "average_precision": Metric("average precision"),
        "accuracy": Metric("accuracy", headline=True),
        "mcc": Metric("MCC", headline=True),
        "sensitivity": Metric("sensitivity", headline=True),
        "specificity": Metric("specificity", headline=True),
        "precision": Metric("precision (+P)"),
        "coverage": Metric("in the prediction set", headline=True),
        "set_size": Metric("classes in a set", higher_is_better=False),
        "least": Metric("least probability in a set"),
        "brier": Metric("Brier score", higher_is_better=False),
        "ece": Metric("calibration error", higher_is_better=False),
        "actual_class": Metric("truth", kind="text"),
        "called_class": Metric("called", kind="text"),
        "error": Metric("error", higher_is_better=False),
        **METRICS,
    }
    of_network: ClassVar[frozenset[str]] = frozenset({"least"})

    def __init__(self, options: Options, frequencies: Sequence[float] | None = None) -> None:
        super().__init__(options, frequencies)
        self.options = options
        self.exclusive = not options.multi_label
        self._sets = PredictionSets(options.classes, options.level, options.least)
        self._weights: Tensor | None = None
        if options.multi_label and options.class_weights == "balanced":
            if frequencies is not None:
                shares = np.clip(np.asarray(frequencies), 1e-6, 1 - 1e-6)
                self._weights = torch.tensor(np.minimum((1 - shares) / shares, 20.0)).float()
        else:
            weights = weights_of(options.class_weights, len(options.classes), frequencies)
            self._weights = None if weights is None else torch.tensor(weights).float()

    @property
    def classes(self) -> tuple[str, ...]:
        """See Task."""
        return self.options.classes

    @property
    def needs(self) -> Needs:
        """The columns that are to be predicted."""
        return Needs(columns=names(self.options.target), instead=INSTEAD)

    def targets(self, rows: Sequence[dict[str, Any]]) -> Tensor | None:
        """int64 (samples,), or float32 (samples, labels) with multi_label, NaN where one is
        missing."""
        values = [self._target(row) for row in rows]
        return torch.tensor(values, dtype=torch.float32 if self.options.multi_label else torch.long)

    def _target(self, row: dict[str, Any]) -> Any:
        column = self.options.target
        columns = (column,) if isinstance(column, str) else column
        found = [row.get(name) for name in columns]
        value = found[0] if isinstance(column, str) else found
        if not self.options.multi_label:
            return class_of(value, self.classes, row)
        if not isinstance(value, list) or len(value) != len(self.classes):
            raise bad_target(row, f"expected {len(self.classes)} values of 0 or 1")
        if not all(one is None or one in (0, 1) for one in value):
            raise bad_target(row, "a label is neither 0 nor 1, nor missing")
        return [float("nan") if one is None else float(one) for one in value]

    def loss(self, outputs: Logits, target: Tensor) -> Tensor:
        """See Task; of labels the mean over those that are known, 0 where none is."""
        logits = (outputs if isinstance(outputs, Tensor) else outputs[0]).float()
        smoothing, gamma = self.options.label_smoothing, self.options.focal_gamma
        weights = None if self._weights is None else self._weights.to(logits.device)
        if self.options.multi_label:
            known = ~target.isnan()
            target = torch.where(known, target, 0.5)  # NaN times zero would be NaN
            soft = target * (1 - smoothing) + 0.5 * smoothing
            loss = functional.binary_cross_entropy_with_logits(logits, soft, reduction="none")
            if gamma:
                wrong = (target - logits.sigmoid()).abs()
                loss = loss * wrong**gamma
            if weights is not None:
                loss = loss * torch.where(target > 0.5, weights, 1.0)
            mean: Tensor = (loss * known).sum(1) / known.sum(1).clamp(min=1)
            return mean
        # The smoothed part is weighted by the sample's class too, so that weights stay relative.
        loss = functional.cross_entropy(logits, target, reduction="none", label_smoothing=smoothing)
        if gamma:
            right = logits.softmax(1).gather(1, target[:, None])[:, 0]
            loss = loss * (1 - right) ** gamma
        return loss if weights is None else loss * weights[target]

    def probabilities(self, logits: Tensor) -> Tensor:
        """Softmax, or sigmoid with multi_label."""
        return logits.float().sigmoid() if self.options.multi_label else logits.float().softmax(1)

    @property
    def columns(self) -> int:
        """A probability per class."""
        return len(self.classes)

    def judge(self, answer: np.ndarray, truth: np.ndarray | None) -> list[float]:
        """The probabilities themselves: AUROC needs all cases together."""
        return [float(value) for value in answer]

    def summarise(self, table: np.ndarray, targets: np.ndarray | None) -> dict[str, float]:
        """`val_auc` (mean over classes, one against the rest) and `val_accuracy`."""
        truth = np.zeros(0) if targets is None else targets
        if self.options.multi_label:
            positive, known = truth > 0.5, ~np.isnan(truth)
            right = ((table > self.options.threshold) == positive)[known]
        else:
            positive = truth[:, None] == np.arange(len(self.classes))
            known, right = np.ones_like(positive), table.argmax(1) == truth
        areas = [
            float(auroc(table[:, index], positive[:, index], known[None, :, index] * 1.0)[0])
            for index in range(len(self.classes))
        ]
        defined = [area for area in areas if not np.isnan(area)]
        return {
            "val_auc": float(np.mean(defined)) if defined else float("nan"),
            "val_accuracy": float(right.mean()) if len(right) else float("nan"),
            **self._sets.judged(table, truth),
        }

    @property
    def validates(self) -> frozenset[str]:
        """See Task."""
        return frozenset({"val_auc", "val_accuracy", *self._sets.names})

    @property
    def calibrates(self) -> bool:
        """See Task: prediction sets that are asked for and not given."""
        return self.options.level is not None and not self.options.least

    def chosen(self, metrics: dict[str, float]) -> dict[str, Any]:
        """Prediction sets, by the validation, unless the job gives them."""
        return self._sets.chosen(metrics)

    def describe(self) -> list[str]:
        """The prediction sets."""
        return self._sets.describe()

    def events(self, row: Mapping[str, Any]) -> Stretches:
        """See Task; beats are of no length."""
        return events_of(row)

    def score(self, truth: Sample, prediction: Sample | None) -> list[dict[str, Any]]:
        """One row; see medray.tasks.metrics.classification. A recording without a class is judged
        by its annotations, see medray.tasks.metrics.intervals."""
        column = self.options.target
        if along(truth, column if isinstance(column, str) else column[0]):
            return score_along(truth, prediction, self.events(truth.row), self.classes)
        target = np.nan_to_num([self._target(truth.row)], nan=UNKNOWN).astype(np.int64)
        given = [0.0] * len(self.classes) if prediction is None else prediction.row["probability"]
        (row,) = score_classification(
            np.asarray([given]),
            target,
            self.classes,
            missing=np.asarray([prediction is None]),
            threshold=self.options.threshold,
        )
        return [row | ({} if prediction is None else self._sets.score(target, prediction.row))]

    def conclude(self, cases: pa.Table, bootstrap: Bootstrap) -> dict[str, Any]:
        """See Task."""
        found = conclude_along(self.name, cases, self.classes, bootstrap)
        return found or summarise_classification(
            cases, self.classes, bootstrap, multilabel=self.options.multi_label
        )

    def section(self, scores: ScoredCases) -> Section:
        """Curves, confusion, and the cases that the model is most wrong about. Of recordings what
        is told of intervals."""
        if "curves" not in scores.summary:
            return section_along(super().section(scores), scores)
        cases, worst = scores.cases, [self._named(row) for row in scores.summary["worst"]]
        named = replace(
            scores,
            summary={**scores.summary, "worst": worst},
            cases=[self._named(row) for row in cases],
        )
        curves = scores.summary["curves"]
        known = {name: curve for name, curve in curves["roc"].items() if any(curve[1])}
        figures: list[Figure | Table] = [
            Figure("roc", "ROC", {"curves": known}),  # a class that nobody has has none
            Figure("reliability", "Reliability", {"curves": curves["reliability"]}),
        ]
        if scores.summary["confusion"]:
            figures.append(self._confusion(scores.summary["confusion"]))
        shown = [self._told(self._named(row)) for row in mistakes(cases, PICTURES)]
        section = super().section(named)
        return replace(
            section,
            tables=[*section.tables, *self._sets.tables(cases), *by_owner(cases, self.classes)],
            figures=[*figures, *spread(cases, self.classes)],
            pictures=[Picture("worst", "of each class in turn, mistakes first", shown)],
            definitions=["The calibration error has 15 equal bins.", *self._sets.defined()],
        )

    def _confusion(self, counts: Sequence[Sequence[int]]) -> Table:
        heads = {str(at): Metric(name, kind="count") for at, name in enumerate(self.classes)}
        rows = [
            {"truth": name, **{str(at): count for at, count in enumerate(line)}}
            for name, line in zip(self.classes, counts, strict=True)
        ]
        truth = Metric("truth ╲ called", kind="text")
        return Table({"truth": truth, **heads}, rows, title="Confusion")

    def verdict(self, truth: Mapping[str, Any], answer: Mapping[str, Any] | None) -> Verdict | None:
        """See Task."""
        try:
            target = self._target(dict(truth))
        except DataError:
            return None
        unknown: set[str] = set()
        if self.options.multi_label:
            pairs = dict(zip(self.classes, target, strict=True))
            there = [name for name, value in pairs.items() if value == 1]
            unknown = {name for name, value in pairs.items() if np.isnan(value)}
        else:
            there = [self.classes[target]]
        if answer is None:
            return Verdict(", ".join(there), "", wrong=False)
        found = answer["predicted"]
        called = [found] if isinstance(found, str) else list(found)
        wrong = [name for name in called if name not in unknown] != there
        return Verdict(", ".join(there), ", ".join(called) or "none", wrong)

    def _told(self, row: Mapping[str, Any]) -> tuple[str, str]:
        """A case and what is to be said of it."""
        called = f" called {row['called_class']}" if mistaken(row) else ""
        return row["case"], f"{row['actual_class']}{called}, error {row['error']:.2f}"

    def _named(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The row, with the classes it has and was given spelt out."""
        named = dict(row)
        for source, target in (("actual", "actual_class"), ("called", "called_class")):
            pairs = zip(self.classes, row[source], strict=True)
            named[target] = ", ".join(name for name, is_it in pairs if is_it == 1) or "none"
        return named

    def decide(self, probabilities: np.ndarray) -> dict[str, Any]:
        """What a prediction's row says of one image.

        Args:
            probabilities: (classes,).
        """
        row: dict[str, Any] = {"probability": [float(value) for value in probabilities]}
        if self.options.multi_label:
            chosen = np.flatnonzero(probabilities > self.options.threshold)
            row["predicted"] = [self.classes[index] for index in chosen]
        else:
            row["predicted"] = self.classes[int(probabilities.argmax())]
        if self.options.least:
            row["prediction_set"] = self._sets.of(row["probability"])
        return row
