"""What a page shows of predicted curves: how groups of risk fared, and if curves were right."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from medray.tasks.metric import Metric
from medray.tasks.section import Figure, ScoredCases, Section, Table, Tile

CALIBRATION = ("cases", "predicted", "actual", "low", "high")
DEFINITIONS = (
    "Risk is the chance of an event by a time drawn from those of events: higher is earlier.",
    "C is the share of pairs, of which it is known who had the event first, that risks order so.",
    "Brier scores are means over time; cases weigh by how likely they were to be still watched.",
    "Curves are Kaplan-Meier's or Aalen-Johansen's, dashed is what was predicted on average.",
    "They have 95 % log-log intervals where 5 or more are at risk.",
)


def section_of_curves(section: Section, scores: ScoredCases) -> Section:
    """The section with figures of all curves.

    Args:
        section: that follows from the metrics.
        scores: summary of medray.tasks.metrics.survival.summary.
    """
    curves: Mapping[str, Any] = scores.summary["curves"]
    events: Mapping[str, int] = scores.summary["events"]
    figures: list[Figure | Table] = []
    if curves["groups"]:
        groups = {f"{name} risk": one for name, one in curves["groups"].items()}
        data = {"labels": ("time", "without an event"), "start": 1.0, "curves": groups}
        figures.append(Figure("steps", "By predicted risk, in thirds", data))
    if "incidence" in curves:
        data = {"labels": ("time", "incidence"), "start": 0.0, "curves": curves["incidence"]}
        figures.append(Figure("steps", "Cumulative incidence", data))
    if curves["calibration"]:
        data = {"curves": curves["calibration"]}
        figures.append(Figure("calibration", "Incidence, predicted and observed", data))
    scored = {name: one for name, one in curves["brier"].items() if one[0]}
    if scored:
        figures.append(Figure("line", "Brier score", {"label": "time", "lines": scored}))
    counted = [
        Tile(Metric("events" if len(events) == 1 else name, kind="count"), count)
        for name, count in events.items()
    ]
    return replace(
        section,
        tiles=[*section.tiles, *counted],
        tables=[*section.tables, *_calibration(curves["calibration"])],
        figures=figures,
        definitions=[*section.definitions, *DEFINITIONS],
    )


def _calibration(curves: Mapping[str, Any]) -> list[Table]:
    """Fifths of the cases at each horizon: predicted and observed incidence."""
    columns = {
        "horizon": Metric("time", kind="text"),
        "part": Metric("fifth of cases", kind="count"),
        "cases": Metric("cases", kind="count"),
        "predicted": Metric("predicted, mean"),
        "observed": Metric("observed"),
        "interval": Metric("95 % interval", kind="text"),
    }
    rows = [
        {
            "horizon": name,
            "part": number,
            "cases": cases,
            "predicted": predicted,
            "observed": actual,
            "interval": None if low is None else f"{low:.3f} … {high:.3f}",
        }
        for name, one in curves.items()
        for number, (cases, predicted, actual, low, high) in enumerate(
            zip(*(one[key] for key in CALIBRATION), strict=True), 1
        )
    ]
    title = "Calibration over time"
    return [Table(columns, rows, title=title, folded=f"{len(rows)} rows")] if rows else []
