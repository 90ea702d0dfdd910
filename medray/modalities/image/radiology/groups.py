"""Scores by what an image was made with: by scanner, by site, by spacing, where that is known."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from medray.storage.catalog.datasets import Dataset
from medray.tasks.metric import Metric
from medray.tasks.section import ScoredCases, Table

COLUMNS = {
    "manufacturer": "scanner",
    "scanner": "scanner",
    "site": "site",
    "institution": "site",
    "kernel": "kernel",
}
MOST = 24  # groups of a column: more are names of their own, not groups
UNKNOWN = "not known"
EDGES_MM = (0.5, 1.0, 2.0, 3.0, 5.0)


def grouped(metrics: Mapping[str, Metric], scores: ScoredCases, truth: Dataset) -> list[Table]:
    """A table for each column of the data that parts the scored cases into several groups: cases
    and the mean of each metric over their rows.

    Args:
        metrics: of the task.
        scores: rows with `case`.
        truth: the data, whose rows have these columns.
    """
    there = [name for name in (*COLUMNS, "spacing_mm") if name in truth.manifest.columns]
    shown = {
        name: metric
        for name, metric in metrics.items()
        if metric.per_case
        and metric.kind == "number"
        and any(isinstance(row.get(name), float) for row in scores.cases)
    }
    if not there or not shown:
        return []
    table = truth.columns(["sample_id", *there])
    rows = dict(zip(table["sample_id"].to_pylist(), table.to_pylist(), strict=True))
    made = []
    for column in there:
        name = "spacing" if column == "spacing_mm" else COLUMNS[column]
        groups: dict[str, list[Mapping[str, Any]]] = {}
        for row in scores.cases:
            value = rows.get(row["case"], {}).get(column)
            group = _spacing(value) if column == "spacing_mm" else str(value or "") or UNKNOWN
            groups.setdefault(group, []).append(row)
        if 1 < len(groups) <= MOST:
            made.append(_table(name, groups, shown))
    return made


def _table(
    name: str, groups: Mapping[str, Sequence[Mapping[str, Any]]], shown: Mapping[str, Metric]
) -> Table:
    counted = {"cases": Metric("cases", kind="count")}
    columns = {"group": Metric(name, kind="text"), **counted, **shown}
    rows = [
        {
            "group": group,
            "cases": len({row["case"] for row in groups[group]}),
            **{metric: _mean(groups[group], metric) for metric in shown},
        }
        for group in sorted(groups, key=lambda one: (one == UNKNOWN, _order(one), one))
    ]
    lead = "Means over rows of cases; few cases say little."
    return Table(columns, rows, title=f"By {name}", lead=lead)


def _mean(rows: Sequence[Mapping[str, Any]], name: str) -> float | None:
    values = [row[name] for row in rows if row.get(name) is not None]
    return float(np.mean(values)) if values else None


def _spacing(spacing_mm: Sequence[float] | None) -> str:
    """The range that the coarsest axis lies in."""
    if not spacing_mm:
        return UNKNOWN
    coarsest = max(spacing_mm)
    ends = (0.0, *EDGES_MM)
    for low, high in zip(ends, EDGES_MM, strict=False):
        if coarsest <= high:
            return f"{low:g} to {high:g} mm"
    return f"above {EDGES_MM[-1]:g} mm"


def _order(group: str) -> float:
    """Ranges of spacing in their order."""
    first = group.removeprefix("above ").split(" ")[0]
    return float(first) if group.endswith(" mm") else 0.0
