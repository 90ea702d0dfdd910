"""What all tasks share that are about summaries: the reference, and how an answer is scored."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field
from torch import Tensor

from medray.errors import DataError
from medray.storage.shards.holds import Needs, names
from medray.storage.shards.samples import Sample
from medray.tasks.base import Task, TaskOptions
from medray.tasks.metric import Metric
from medray.tasks.metrics.bootstrap import Bootstrap, subjects
from medray.tasks.metrics.rouge import agreement, rouge
from medray.tasks.section import ScoredCases, Section


class SummaryOptions(TaskOptions):
    """What can be chosen of any summary."""

    target: str = Field("summary", description="column of the reference summary")


class Summarising(Task):
    """A summary of a text, held against a reference by ROUGE and by its quantities."""

    metric: ClassVar[str] = "val_rouge1"
    metrics: ClassVar[Mapping[str, Metric]] = {
        "rouge1": Metric("ROUGE-1", headline=True, digits=4),
        "rouge2": Metric("ROUGE-2", headline=True, digits=4),
        "rougeL": Metric("ROUGE-L", headline=True, digits=4),
        "quantities_right": Metric("quantities that the reference has", headline=True),
        "quantities_found": Metric("quantities of the reference found", headline=True),
        "shared_quantities": Metric("shared quantities", kind="count"),
        "true_quantities": Metric("quantities of the reference", kind="count"),
        "called_quantities": Metric("quantities", kind="count"),
    }
    answered: ClassVar[str]
    """Column of a prediction with the summary."""
    options: SummaryOptions

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

    def score(self, truth: Sample, prediction: Sample | None) -> list[dict[str, Any]]:
        """One row: ROUGE and quantities of an answer against the reference."""
        reference = truth.row.get(self.options.target)
        if not isinstance(reference, str) or not reference.strip():
            raise DataError(
                "the sample has no reference summary",
                code="bad-target",
                about=truth.id,
                hint="name another column in the task's `target`",
            )
        text = "" if prediction is None else str(prediction.row.get(self.answered) or "")
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


def shared_words(kinds: np.ndarray, taken: np.ndarray, there: np.ndarray) -> float:
    """Words that a summary shares with its reference.

    Args:
        kinds: numbers of the words that a summary may have, 0 of what is none, (n,).
        taken: which of these it has, places of `kinds`.
        there: how often the reference has each of them, (n,).
    """
    most = np.zeros(int(kinds.max(initial=0)) + 1, np.int64)
    most[kinds] = there
    counts = np.bincount(kinds[taken], minlength=len(most))
    return float(np.minimum(counts, most)[1:].sum())
