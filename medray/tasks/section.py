"""A section of a page, as plain data: what a task, a modality or a transform has to show.

Pages (medray.report) draw it. Nobody else makes HTML, so whatever stands here is escaped there.
A cell holds words, a number, None where nothing is defined, or an estimate: {"value", "low",
"high", "subjects"}; its column's metric says how it is printed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from medray.tasks.metric import Metric

if TYPE_CHECKING:
    import numpy as np

Rows = Sequence[Mapping[str, Any]]
Colour = tuple[int, int, int]

LISTED = 2000  # score rows on a page; the dataset of scores has all

CASE = {
    "case": Metric("case", kind="id"),
    "class": Metric("class", kind="text"),
    "status": Metric("status", kind="status"),
}
"""Columns that rows of scores may have, whatever the task."""


@dataclass(frozen=True)
class Verdict:
    """What a page says beside a case's picture: its truth, the answer, whether that is wrong."""

    truth: str
    answer: str
    wrong: bool


@dataclass(frozen=True)
class Tile:
    """One cell, large; `beside` is what it is to be compared with: names and values."""

    metric: Metric
    value: Any
    note: str = ""
    beside: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """Rows under heads.

    Args:
        columns: key of the rows → how its cells are printed, in order.
        rows: cells by key.
        title: above it.
        lead: a sentence before it, and
        counts: how many rows have each status.
        note: a sentence behind it.
        foot: a last row, apart from the others.
        folded: what a reader opens it by; empty: it is open.
    """

    columns: Mapping[str, Metric]
    rows: Rows
    title: str = ""
    lead: str = ""
    counts: Mapping[str, int] | None = None
    note: str = ""
    foot: Mapping[str, Any] | None = None
    folded: str = ""

    @property
    def estimates(self) -> bool:
        """Whether its cells are estimates."""
        first = self.rows[0] if self.rows else {}
        return any(isinstance(first.get(name), Mapping) for name in self.columns)


@dataclass(frozen=True)
class Figure:
    """What pages can draw. Data are the arguments of the drawing (medray.report.figures)."""

    kind: Literal[
        "line",
        "strip",
        "spread",
        "trace",
        "roc",
        "reliability",
        "calibration",
        "steps",
        "histogram",
        "scatter",
        "qq",
        "heat",
        "agreement",
        "paired",
    ]
    title: str
    data: Mapping[str, Any]


@dataclass(frozen=True)
class Picture:
    """Pictures that belong together. A task says of which cases, their modality draws them.

    Args:
        title: a word: best, worst.
        caption: a sentence.
        cases: (id, what is to be said of it).
        table: of numbers beside it.
        panels: (caption, PNG or SVG); without them it is not shown.
        legend: (name, colour) of what is drawn.
    """

    title: str
    caption: str
    cases: Sequence[tuple[str, str]]
    table: Table | None = None
    panels: Sequence[tuple[str, bytes]] = ()
    legend: Sequence[tuple[str, Colour]] = ()


@dataclass(frozen=True)
class Volume:
    """A volume to be leafed through in three planes.

    Args:
        title: a word: best, worst.
        caption: a sentence.
        case: its id.
        values: uint16 (Z, Y, X): from feet to head, front to back, the patient's right to left,
            where `lettered`.
        slope: of the image's own values by these, with
        intercept: their value at 0.
        masks: by name, uint8 on the same grid; 0 is not drawn.
        sizes_mm: of a voxel along each axis.
        lettered: whether it is known how the patient lies.
        window: level and width to begin with, in the image's own values.
        legend: (name, colour) of classes 1, 2, ….
    """

    title: str
    caption: str
    case: str
    values: "np.ndarray"
    slope: float
    intercept: float
    masks: Mapping[str, "np.ndarray"]
    sizes_mm: tuple[float, float, float]
    lettered: bool
    window: tuple[float, float]
    legend: Sequence[tuple[str, Colour]] = ()


@dataclass(frozen=True)
class Section:
    """One section, its parts in the order of the page.

    Args:
        title: of the section.
        tiles: the first thing to see; of scores they stand at the top of the page.
        tables: before the figures.
        figures: beside each other; a table among them stands there too.
        notes: sentences below the figures.
        pictures: of cases.
        volumes: of cases.
        listings: tables at the end.
        definitions: sentences at the foot of the page, each once.
        cautions: why what is shown is not to be believed or used; the page begins with them.
    """

    title: str
    tiles: Sequence[Tile] = ()
    tables: Sequence[Table] = ()
    figures: Sequence[Figure | Table] = ()
    notes: Sequence[str] = ()
    pictures: Sequence[Picture] = ()
    volumes: Sequence[Volume] = ()
    listings: Sequence[Table] = ()
    definitions: Sequence[str] = ()
    cautions: Sequence[str] = ()


@dataclass(frozen=True)
class ScoredCases:
    """What `evaluate` found.

    Args:
        name: of the dataset of scores.
        summary: as of Task.conclude.
        cases: rows of Task.score, each with `case`.
        baselines: by what each is called its values, by metric.
        curves: by what each is called its summary's `curves`.
    """

    name: str
    summary: Mapping[str, Any]
    cases: Rows
    baselines: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    curves: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def section_of(scores: ScoredCases, metrics: Mapping[str, Metric]) -> Section:
    """The section of any task: its headlines, a table of classes, the worst cases and all."""
    everything = case_table(scores.cases[:LISTED], metrics)
    each = " and class" if "class" in everything.columns else ""
    some = "All" if len(scores.cases) <= LISTED else f"The first {LISTED} of"
    folded = f"{some} {len(scores.cases)} rows, a row per case{each}"
    listings = [Table(everything.columns, everything.rows, folded=folded)]
    if scores.summary.get("worst"):
        listings.insert(0, case_table(scores.summary["worst"], metrics, title="Worst cases"))
    return Section(
        title=f"Scores: {scores.name}",
        tiles=_tiles(scores, metrics),
        tables=[_class_table(scores, metrics)],
        listings=listings,
    )


def case_table(rows: Rows, metrics: Mapping[str, Metric], title: str = "") -> Table:
    """Rows of scores, in the columns that a row has a plain value in."""
    known = {**CASE, **{name: metric for name, metric in metrics.items() if metric.per_case}}
    shown = {
        name: metric
        for name, metric in known.items()
        if any(isinstance(row.get(name), int | float | str) for row in rows)
    }
    return Table(shown, rows, title=title)


def picked(cases: Rows, name: str, metric: Metric) -> list[tuple[str, str, float]]:
    """The best, the median and the worst case by the mean of a metric over their rows.

    Returns:
        (what, case, mean) in the order best, median, worst; fewer if there are fewer cases. Cases
        without a prediction or a value can't be drawn and are left out.
    """
    values: dict[str, list[float]] = {}
    for row in cases:
        if row.get(name) is not None and row["status"] != "no-prediction":
            values.setdefault(row["case"], []).append(row[name])
    means = {case: sum(found) / len(found) for case, found in values.items()}
    sign = -1 if metric.higher_is_better else 1
    ranked = sorted(means, key=lambda case: (sign * means[case], case))
    if not ranked:
        return []
    # Later entries win: of one case it is the best, of two the best and the worst.
    picks = {len(ranked) // 2: "median", len(ranked) - 1: "worst", 0: "best"}
    return [(picks[at], ranked[at], means[ranked[at]]) for at in sorted(picks)]


def dots(title: str, label: str, cases: Rows, name: str) -> Figure:
    """A dot for each case's value of a column, per class.

    Args:
        title: of the figure.
        label: of its axis, with the unit.
        cases: rows of scores, with `class`.
        name: of the column; rows where it is None are left out.
    """
    values: dict[str, list[float]] = {row["class"]: [] for row in cases}
    for row in cases:
        if row[name] is not None:
            values[row["class"]].append(row[name])
    return Figure("strip", title, {"label": label, "values": values})


def _tiles(scores: ScoredCases, metrics: Mapping[str, Metric]) -> list[Tile]:
    found = scores.summary["metrics"]
    headlines = [name for name, metric in metrics.items() if metric.headline]
    tiles = [
        Tile(
            metrics[name],
            found[name],
            beside={
                label: values[name] for label, values in scores.baselines.items() if name in values
            },
        )
        for name in headlines or metrics
        if name in found
    ]
    counted = Metric("cases scored", kind="count")
    return [*tiles, Tile(counted, scores.summary["cases"], note=scores.name)]


def _class_table(scores: ScoredCases, metrics: Mapping[str, Metric]) -> Table:
    """Of each class, and their mean; without classes of all cases alone."""
    summary = scores.summary
    classes: Mapping[str, Any] = summary.get("classes") or {}
    there = set().union(*(classes or {"": summary["metrics"]}).values())
    columns = {name: one for name, one in metrics.items() if one.per_class and name in there}
    rows = [{"class": name, **found} for name, found in classes.items()]
    sure = any(found.get("low") is not None for found in summary["metrics"].values())
    return Table(
        {"class": CASE["class"], **columns} if classes else columns,
        rows or [summary["metrics"]],
        lead=f"Values{' with 95 % bootstrap intervals' * sure} over {summary['cases']} cases.",
        counts=summary["counts"],
        foot={"class": "mean", **summary["metrics"]} if len(classes) > 1 else None,
    )
