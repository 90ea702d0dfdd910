"""What a page shows of alarms: how often each record had one, and the cases that went wrong."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from medray.tasks.metric import Metric
from medray.tasks.metrics.anomaly import HOUR, by_owner
from medray.tasks.metrics.bootstrap import Bootstrap
from medray.tasks.owners import OPEN, SHOWN, natural, owner_of, parts, spread_of
from medray.tasks.section import Figure, Picture, Rows, Section, Table, Tile

PICTURES = 3  # of false alarms, and of anomalies that were missed


@dataclass(frozen=True)
class Spread:
    """How records differ; nothing where no two cases share one."""

    tables: list[Table]
    figures: list[Figure]


def alarms(cases: Rows, metrics: Mapping[str, Metric], hourly: bool, rate: float) -> Spread:
    """Of each record (or subject) and each fold its counts, AUROC and alarms.

    Args:
        cases: score rows of medray.tasks.metrics.anomaly.
        metrics: of the task.
        hourly: alarms are counted by the hour; else by the case.
        rate: of false alarms, that is allowed.
    """
    told = [_spread(name, cases, metrics, hourly, rate) for name in parts(cases)]
    tables = [table for one in told for table in one.tables]
    return Spread(tables, [figure for one in told for figure in one.figures])


def _spread(
    name: str, cases: Rows, metrics: Mapping[str, Metric], hourly: bool, rate: float
) -> Spread:
    known = [row for row in cases if row.get(name) not in (None, "")]
    table = pa.Table.from_pylist([dict(row) for row in known])
    rows = by_owner(table, [str(row[name]) for row in known], hourly)
    rows.sort(key=lambda row: natural(row["owner"]))
    per = "an hour" if hourly else "a case"
    columns = {
        "owner": Metric(name, kind="id"),
        "hours": Metric("hours", digits=2),
        "normal": Metric("normal", kind="count"),
        "anomalies": Metric("anomalies", kind="count"),
        "auroc": metrics["auroc"],
        "sensitivity": metrics["sensitivity"],
        "alarms": Metric(f"alarms {per}", digits=2),
        "false_alarms": Metric(f"false alarms {per}", digits=2),
    }
    shown = {key: one for key, one in columns.items() if any(key in row for row in rows)}
    if "alarms" in shown:
        rows.sort(key=lambda row: -(row["false_alarms"] or 0))
    spread = Table(
        shown,
        rows[:SHOWN],
        title=f"By {name}",
        note=f"The first {SHOWN} of {len(rows)}." if len(rows) > SHOWN else "",
        folded=f"All {len(rows)}, the most false alarms first" if len(rows) > OPEN else "",
    )
    values = {
        key.replace("_", " "): {row["owner"]: row[key] for row in rows if row.get(key) is not None}
        for key in ("alarms", "false_alarms")
    }
    if name == "fold" or len(rows) == 1 or not any(values.values()):
        return Spread([spread], [])
    title = f"Alarms {per}, by {name}"
    figure = spread_of(title, name, f"{per}; dashed: allowed", values, falling=True, limit=rate)
    return Spread([spread], [figure])


@dataclass(frozen=True)
class Watched:
    """What was called in one recording.

    Args:
        case: its id.
        record: its name.
        subject: whose it is.
        hours: how long it is.
        alarms: intervals that were called, and `wrong` of these.
        true: intervals that there are, and `missed` of these; None: nobody says.
    """

    case: str
    record: str
    subject: str
    hours: float
    alarms: int
    wrong: int = 0
    true: int | None = None
    missed: int = 0

    def hourly(self, count: int) -> float | None:
        """So many by the hour."""
        return count / self.hours if self.hours > 0 else None


def watched(title: str, told: Sequence[Watched]) -> Section:
    """Alarms an hour: of all together as tiles, by record as a table and a figure."""
    known = all(one.true is not None for one in told)
    columns = {
        "record": Metric("record", kind="id"),
        "hours": Metric("hours", digits=2),
        "alarms": Metric("alarms", kind="count"),
        "rate": Metric("alarms an hour", digits=2),
    }
    if known:
        columns |= {
            "false": Metric("false alarms an hour", digits=2),
            "true": Metric("annotated", kind="count"),
            "missed": Metric("missed", kind="count"),
        }
    rows = [
        {
            "record": one.record,
            "hours": one.hours,
            "alarms": one.alarms,
            "rate": one.hourly(one.alarms),
            "false": one.hourly(one.wrong),
            "true": one.true,
            "missed": one.missed,
        }
        for one in sorted(told, key=lambda one: (-one.wrong - one.missed, -one.alarms))
    ]
    table = Table(
        columns,
        rows[:SHOWN],
        title="By record",
        note=f"The first {SHOWN} of {len(rows)}." if len(rows) > SHOWN else "",
        folded=f"All {len(rows)}, the most mistakes first" if len(rows) > OPEN else "",
    )
    values = {"alarms": {one.record: one.hourly(one.alarms) or 0.0 for one in told}}
    if known:
        values["false alarms"] = {one.record: one.hourly(one.wrong) or 0.0 for one in told}
    figure = spread_of("Alarms an hour, by record", "record", "an hour", values, falling=True)
    hours = np.array([one.hours for one in told])
    alarms_of = np.array([one.alarms for one in told], np.float64)

    def pooled(w: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore", invalid="ignore"):
            made: np.ndarray = (w @ alarms_of) / (w @ hours)
        return made

    rate = Bootstrap().estimate(pooled, len(told), [one.subject for one in told])
    tiles = [
        Tile(Metric("alarms an hour", higher_is_better=False, digits=2), rate.to_dict()),
        Tile(Metric("recordings", kind="count"), len(told), note=f"{hours.sum():.1f} hours"),
    ]
    return Section(title, tiles, [table], [figure] if len(told) > 1 else [])


def recorded(cases: Rows) -> tuple[Section, list[Picture]]:
    """Of rows of medray.tasks.metrics.intervals: alarms by record, and which were judged worst."""
    told = [
        Watched(
            case=row["case"],
            record=str(row.get("record") or row["case"]),
            subject=str(owner_of(row)),
            hours=row["seconds"] / HOUR,
            alarms=sum(row["called"]),
            wrong=sum(row["called"]) - sum(row["right"]),
            true=sum(row["true"]),
            missed=sum(row["true"]) - sum(row["found"]),
        )
        for row in cases
    ]
    worst = sorted(told, key=lambda one: (-one.wrong - one.missed, -one.alarms))[:PICTURES]
    shown = []
    for one in worst:
        called = f"{one.wrong} of {one.alarms} alarms false" if one.alarms else "no alarms"
        there = f"{one.missed} of {one.true} missed" if one.true else "nothing is annotated"
        shown.append((one.case, f"{called}, {there}"))
    return watched("Recordings", told), [Picture("worst", "most mistakes first", shown)]


def mistaken(cases: Rows, threshold: float | None) -> list[Picture]:
    """The false alarms that surprise most, and the anomalies that surprise least.

    Args:
        cases: score rows; where nobody says what alarms, those that would be the first to be wrong.
        threshold: above which all of them alarm; None: there is none, or each fold has its own.
    """
    known = [row for row in cases if row["surprise"] is not None and row["anomalous"] is not None]
    known.sort(key=lambda row: row["surprise"])
    quiet = [row for row in known if row["anomalous"] == 1 and row["alarm"] != 1]
    loud = [row for row in known[::-1] if row["anomalous"] == 0 and row["alarm"] != 0]
    beside = "" if threshold is None else f", threshold {threshold:.3g}"
    titles = ("missed", "false alarm")
    if all(row["alarm"] is None for row in known):
        titles = ("anomaly that surprises least", "normal that surprises most")
    return [
        Picture(
            title,
            "",
            [(row["case"], f"{title}: surprise {row['surprise']:.3g}{beside}") for row in some],
        )
        for title, of in zip(titles, (quiet, loud), strict=True)
        for some in [_apart(of)]
        if some
    ]


def _apart(rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The first rows, those of subjects that were not shown yet before others."""
    several = list(rows)
    first = list({owner_of(row): row for row in reversed(several)}.values())
    kept = {row["case"] for row in first}
    ranked = [row for row in several if row["case"] in kept]
    return [*ranked, *(row for row in several if row["case"] not in kept)][:PICTURES]
