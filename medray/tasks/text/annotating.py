"""What tasks share that find stretches or pairs of a text: counts, and what was mistaken."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from torch import Tensor

from medray.tasks.base import Task
from medray.tasks.metric import Metric
from medray.tasks.metrics.bootstrap import Bootstrap
from medray.tasks.metrics.entities import summarise_counts
from medray.tasks.section import ScoredCases, Section, Table

LISTED = 200  # mistakes


def metrics_of(f1: str) -> Mapping[str, Metric]:
    """What is said of counts: precision, recall, and F1 by its label."""
    return {
        "f1": Metric(f1, headline=True, digits=4, per_case=False),
        "precision": Metric("precision", headline=True, per_case=False),
        "recall": Metric("recall", headline=True, per_case=False),
        "true": Metric("true", kind="count"),
        "called": Metric("called", kind="count"),
        "right": Metric("right", kind="count"),
    }


class Annotating(Task):
    """Things are found in texts; what is right, called and true is counted over all of them.

    A row of a case has the columns of `medray.tasks.metrics.entities.counted` and `mistakes`.
    """

    metric: ClassVar[str] = "val_f1"
    found_types: Sequence[str]
    """What is learnt and judged."""
    mistake: ClassVar[tuple[Mapping[str, Metric], tuple[str, ...], Metric]]
    """Columns of a mistake, which of them tell its kind, and how many of a kind are called."""
    definition: ClassVar[str]
    """When one is right."""

    def targets(self, rows: Sequence[dict[str, Any]]) -> Tensor | None:
        """None: the target is made of what is marked in texts."""
        return None

    def statistics(self, values: np.ndarray) -> tuple[float, ...]:
        """Tokens or pairs of a text in the mean.

        Args:
            values: those of each training text.
        """
        return (max(1.0, float(values.mean())),)

    @property
    def columns(self) -> int:
        """Those that are right, called and true."""
        return 3

    def summarise(self, table: np.ndarray, targets: np.ndarray | None) -> dict[str, float]:
        """`val_f1`, `val_precision` and `val_recall` of all texts together."""
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

    def conclude(self, cases: pa.Table, bootstrap: Bootstrap) -> dict[str, Any]:
        """Precision, recall and F1 over what is found in all documents, micro-averaged; see
        Task."""
        return {"task": self.name, **summarise_counts(cases, self.found_types, bootstrap)}

    def section(self, scores: ScoredCases) -> Section:
        """With what kinds of mistakes there are, and where."""
        section = super().section(scores)
        heads, kind, counted = self.mistake
        kinds: dict[tuple[str, ...], int] = {}
        listed = []
        for row in scores.cases:
            for one in row["mistakes"] or ():
                own = tuple(one[name] for name in kind)
                kinds[own] = kinds.get(own, 0) + 1
                listed.append({"case": row["case"], **one})
        counts = [
            {**dict(zip(kind, own, strict=True)), "count": count}
            for own, count in sorted(kinds.items(), key=lambda one: -one[1])
        ]
        columns = {
            name: label
            for name, label in heads.items()
            if any(one.get(name) is not None for one in listed)
        }
        told = Table(
            {"case": Metric("case", kind="id"), **columns},
            listed[:LISTED],
            folded=f"Mistakes, {min(LISTED, len(listed))} of {len(listed)}",
        )
        by_kind = Table(
            {**{name: heads[name] for name in kind}, "count": counted},
            counts,
            title="Mistakes by kind",
        )
        return replace(
            section,
            tables=[*section.tables, by_kind],
            listings=[told, *section.listings],
            definitions=[self.definition],
        )


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole else 0.0
