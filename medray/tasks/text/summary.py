"""Summaries: which words of a text make its summary."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from medray.errors import DataError
from medray.formats.documents.columns import EXTRACT
from medray.models.base import Answers
from medray.storage.shards.holds import Needs, names
from medray.storage.shards.samples import Sample
from medray.tasks.base import NO_LABEL, Task, TaskOptions
from medray.tasks.metric import Metric
from medray.tasks.metrics.bootstrap import Bootstrap, subjects
from medray.tasks.metrics.rouge import agreement, rouge
from medray.tasks.section import ScoredCases, Section

THRESHOLDS = np.arange(1, 20) / 20


class Summary(Task):
    """Binary cross-entropy of each word of a text: whether its summary has it.

    The n-th time that a word comes is taken if the summary has it n times. What the plan keeps as
    `frequencies` is how many tokens a training text has in the mean, by which losses are divided.
    """

    class Options(TaskOptions):
        """What can be chosen."""

        target: str = Field("summary", description="column of the reference summary")
        threshold: float | None = Field(
            None, gt=0, lt=1, description="from which a word is taken; null: the validation says"
        )

    name: ClassVar[str] = "summary"
    answers: ClassVar[Answers] = "extract"
    metric: ClassVar[str] = "val_rouge1"
    metrics: ClassVar[Mapping[str, Metric]] = {
        "rouge1": Metric("ROUGE-1", headline=True, digits=4),
        "rouge2": Metric("ROUGE-2", headline=True, digits=4),
        "rougeL": Metric("ROUGE-L", headline=True, digits=4),
        "quantities_right": Metric("quantities that the reference has", headline=True),
        "quantities_found": Metric("quantities of the reference found", headline=True),
        "threshold": Metric("threshold"),
        "shared_quantities": Metric("shared quantities", kind="count"),
        "true_quantities": Metric("quantities of the reference", kind="count"),
        "called_quantities": Metric("quantities", kind="count"),
    }

    def __init__(self, options: Options, frequencies: Sequence[float] | None = None) -> None:
        super().__init__(options, frequencies)
        self.options = options
        self._tokens = frequencies[0] if frequencies else 1.0

    @property
    def classes(self) -> tuple[str, ...]:
        """One answer for each word."""
        return ("taken",)

    @property
    def threshold(self) -> float:
        """From which a word is taken."""
        return 0.5 if self.options.threshold is None else self.options.threshold

    @property
    def target(self) -> str:
        """Column of the reference."""
        return self.options.target

    @property
    def needs(self) -> Needs:
        """The reference."""
        return Needs(columns=names(self.options.target))

    def targets(self, rows: Sequence[dict[str, Any]]) -> Tensor | None:
        """None: the target is made of both texts."""
        return None

    def statistics(self, values: np.ndarray) -> tuple[float, ...]:
        """Tokens of a text in the mean.

        Args:
            values: tokens of each training text.
        """
        return (max(1.0, float(values.mean())),)

    def loss(self, outputs: Any, target: Any) -> Tensor:
        """See Task.

        Args:
            outputs: logits (B, 1, L).
            target: uint8 (B, L), 1 of a word that is taken; NO_LABEL of what is no word, and behind
                a text's end.
        """
        known = target != NO_LABEL
        wanted = torch.where(known, target, 0).float()
        nats = functional.binary_cross_entropy_with_logits(
            outputs[:, 0].float(), wanted, reduction="none"
        )
        each: Tensor = (nats * known).sum(1) / self._tokens
        return each

    def probabilities(self, logits: Tensor) -> Tensor:
        """Of each word to be taken."""
        return logits.float().sigmoid()

    @property
    def columns(self) -> int:
        """ROUGE-1 at each threshold."""
        return len(THRESHOLDS)

    def judge(self, answer: np.ndarray, truth: np.ndarray | None) -> list[float]:
        """ROUGE-1 of the words that each threshold takes.

        Args:
            answer: probabilities (1, L).
            truth: int (2, L + 1): number of each token's word, 0 of what is none, and how often the
                reference has it; last the length of the reference.
        """
        if truth is None:
            return [0.0] * len(THRESHOLDS)
        kinds, there = truth[0, :-1], truth[1, :-1]
        most = np.zeros(int(kinds.max(initial=0)) + 1, np.int64)
        most[kinds] = there
        made = []
        for threshold in THRESHOLDS:
            taken = kinds[(answer[0, : len(kinds)] >= threshold) & (kinds > 0)]
            counts = np.bincount(taken, minlength=len(most))
            shared = float(np.minimum(counts, most)[1:].sum())
            both = len(taken) + int(truth[1, -1])
            made.append(2 * shared / both if both else 0.0)
        return made

    def summarise(self, table: np.ndarray, targets: np.ndarray | None) -> dict[str, float]:
        """`val_rouge1` at the threshold that is best, and `val_threshold`, that one."""
        means = table.mean(0)
        best = int(means.argmax())
        return {"val_rouge1": float(means[best]), "val_threshold": float(THRESHOLDS[best])}

    @property
    def validates(self) -> frozenset[str]:
        """See Task."""
        return frozenset({"val_rouge1", "val_threshold"})

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
        return [f"words are taken from a probability of {self.threshold:g} on"]

    def score(self, truth: Sample, prediction: Sample | None) -> list[dict[str, Any]]:
        """One row: ROUGE and quantities of the extract against the reference."""
        reference = truth.row.get(self.options.target)
        if not isinstance(reference, str) or not reference.strip():
            raise DataError(
                "the sample has no reference summary",
                code="bad-target",
                about=truth.id,
                hint="name another column in the task's `target`",
            )
        text = "" if prediction is None else str(prediction.row.get(EXTRACT) or "")
        one, two, longest = rouge(reference, text)
        shared, true, called = agreement(reference, text)
        return [
            {
                "status": "scored" if prediction is not None else "no-prediction",
                "rouge1": one,
                "rouge2": two,
                "rougeL": longest,
                "shared_quantities": shared,
                "true_quantities": true,
                "called_quantities": called,
            }
        ]

    def conclude(self, cases: pa.Table, bootstrap: Bootstrap) -> dict[str, Any]:
        """Means of ROUGE over the documents, and shares over the quantities of all; see Task."""
        owners, statuses = subjects(cases), cases["status"].to_pylist()
        several = ("rouge1", "rouge2", "rougeL")
        metrics = {
            name: bootstrap.mean(cases[name].to_numpy().astype(np.float64), owners).to_dict()
            for name in several
        }
        counts = {
            name: cases[f"{name}_quantities"].to_numpy().astype(np.float64)
            for name in ("shared", "true", "called")
        }
        for name, whole in (("quantities_right", "called"), ("quantities_found", "true")):

            def share(weights: np.ndarray, of: np.ndarray = counts[whole]) -> np.ndarray:
                with np.errstate(invalid="ignore"):
                    made: np.ndarray = (weights @ counts["shared"]) / (weights @ of)
                return made

            found = bootstrap.estimate(share, cases.num_rows, owners, counts[whole] > 0)
            metrics[name] = found.to_dict()
        return {
            "task": self.name,
            "cases": cases.num_rows,
            "counts": {status: statuses.count(status) for status in sorted(set(statuses))},
            "metrics": metrics,
        }

    def section(self, scores: ScoredCases) -> Section:
        """With what the figures mean."""
        told = (
            "ROUGE counts words of a-z and 0-9 in lower case, without stemming. It knows no units: "
            "numbers are held against the reference with their unit and sign, and 50 µg is not "
            "50 g. Numbers in words are none."
        )
        return replace(super().section(scores), definitions=[told])
