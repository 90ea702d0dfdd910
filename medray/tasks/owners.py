"""What a page shows of those whose cases are scored: records, subjects, and how they differ.

Many cases of one record are one look at one patient. A mean over all of them hides whom a model
fails, so each is shown by itself, as soon as cases share one.
"""

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any

import numpy as np

from medray.tasks.metric import Metric
from medray.tasks.metrics.bootstrap import LEAST_SUBJECTS
from medray.tasks.metrics.classification import UNKNOWN
from medray.tasks.section import Figure, Rows, Table

CLASSES = 6  # in one table, the most frequent
SHOWN = 200  # rows of a table
OPEN = 60  # rows of one that is not folded
SERIES = 2  # classes in one figure, beside the accuracy
NOTHING = "\N{EN DASH}"  # in a table, where a share has no cases
LEGEND = 16  # letters of a name in a legend
LEAST_CASES = 5  # behind a share that is drawn: one case is right or wrong and says little


def parts(cases: Rows) -> list[str]:
    """Columns that have a table: the one that `owners` finds, and folds where there are two."""
    name = owners(cases, "record")
    folds = {row["fold"] for row in cases if row.get("fold") is not None}
    return [*([name] if name else []), *(["fold"] if len(folds) > 1 else [])]


def owners(cases: Rows, first: str) -> str:
    """The column that cases share: `first`, or the other of "record" and "subject".

    Returns:
        "" where no two cases share one.
    """
    for name in dict.fromkeys((first, "record", "subject")):
        told = {row["case"]: row.get(name) for row in cases if row.get(name)}
        if told and len(set(told.values())) < len(told):
            return name
    return ""


def grouped(cases: Rows, name: str) -> dict[str, list[Mapping[str, Any]]]:
    """Rows of each record, subject or fold, by its name; a case without one is left out."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in cases:
        if row.get(name) not in (None, ""):
            found.setdefault(str(row[name]), []).append(row)
    return {key: found[key] for key in sorted(found, key=natural)}


def natural(name: str) -> tuple[Any, ...]:
    """A key to sort names by: those that are numbers, as numbers, before others."""
    return (0, int(name), name) if name.isdecimal() else (1, 0, name)


def owner_of(row: Mapping[str, Any]) -> Any:
    """Whose a case is: its subject, else its record, else itself."""
    return row.get("subject") or row.get("record") or row["case"]


def by_owner(cases: Rows, classes: Sequence[str]) -> list[Table]:
    """Cases, accuracy, and sensitivity and +P of each class, of each record (or subject) and fold.

    Args:
        cases: score rows with `actual` and `called`, 0 or 1 by class.
        classes: their names.

    Returns:
        Tables whose first row is the least accurate, with all together as their foot; none of
        records where no two cases share a record or a subject.
    """
    return [_by(name, cases, classes) for name in parts(cases)]


def _by(name: str, cases: Rows, classes: Sequence[str]) -> Table:
    groups = {key: _Counts(rows) for key, rows in grouped(cases, name).items()}
    everyone = _Counts([row for rows in grouped(cases, name).values() for row in rows])
    order = np.argsort(-(everyone.actual + everyone.called), kind="stable").tolist()
    chosen = sorted(at for at in order[:CLASSES] if everyone.actual[at] or everyone.called[at])
    columns = {name: Metric(name, kind="id")}
    whose = _whose(cases, name)
    if whose:
        columns["subject"] = Metric("subject", kind="id")
    if name == "fold" and everyone.subjects < everyone.cases:
        columns["subjects"] = Metric("subjects", kind="count")
    columns |= {"cases": Metric("cases", kind="count"), "accuracy": Metric("accuracy")}
    columns |= {str(at): Metric(f"{classes[at]}: Se / +P (n)", kind="text") for at in chosen}

    def line(key: str, counts: "_Counts") -> dict[str, Any]:
        told = {str(at): counts.told(at) for at in chosen}
        counted = {"subjects": counts.subjects, "cases": counts.cases}
        return {name: key, **counted, "accuracy": counts.accuracy, **told}

    rows = [
        {**line(key, one), **({"subject": whose[key]} if whose else {})}
        for key, one in groups.items()
    ]
    worst = sorted(rows, key=lambda row: row["accuracy"])
    cut = f"The {SHOWN} least accurate of {len(rows)} are shown. " if len(rows) > SHOWN else ""
    left = (
        f"{len(chosen)} of {len(classes)} classes are shown. " if len(chosen) < len(classes) else ""
    )
    note = (
        f"{cut}{left}Of each class: sensitivity (the share of its cases that were called so), "
        "positive predictivity (the share of those called so that are), in brackets its cases."
    )
    return Table(
        columns,
        worst[:SHOWN],
        title=f"By {name}",
        note=note,
        foot=line("all", everyone) | ({"subject": ""} if whose else {}),
        folded=f"All {len(rows)}, the least accurate first" if len(rows) > OPEN else "",
    )


def spread(cases: Rows, classes: Sequence[str]) -> list[Figure]:
    """Each subject's (or record's) accuracy, and sensitivity and +P of the classes that are rare.

    The most frequent class is not drawn, for the accuracy is nearly its sensitivity.
    """
    name = owners(cases, "subject")
    if not name:
        return []
    groups = {key: _Counts(rows) for key, rows in grouped(cases, name).items()}
    if len(groups) == 1:
        return []
    everyone = _Counts([row for row in cases if row.get(name)])
    rare = np.argsort(-everyone.actual, kind="stable").tolist()[1:]
    values = {"accuracy": {key: one.accuracy for key, one in groups.items()}}
    for at in rare:
        both = {
            f"{classes[at]} {what}": {
                key: float(one.right[at] / among[at])
                for key, one in groups.items()
                for among in [getattr(one, of)]
                if among[at] >= LEAST_CASES
            }
            for what, of in (("sensitivity", "actual"), ("+P", "called"))
        }
        if len(values) <= 2 * SERIES and all(len(one) >= LEAST_SUBJECTS for one in both.values()):
            values |= both
    return [spread_of(f"How {name}s differ", name, "", values)]


def spread_of(
    title: str,
    name: str,
    label: str,
    values: Mapping[str, Mapping[str, float]],
    *,
    falling: bool = False,
    limit: float | None = None,
) -> Figure:
    """Values of each subject, sorted from the worst to the best; the legend says n, median, worst.

    Args:
        title: of the figure.
        name: what the subjects are called, e.g. "record".
        label: of the axis of values.
        values: series → subject → value.
        falling: a higher value is the worse one.
        limit: a value that is drawn as a line.
    """
    series = {}
    for what, of in values.items():
        ranked = sorted(of.items(), key=lambda one: one[1], reverse=falling)
        told = f"{what + ': ' if what else ''}n {len(ranked)}"
        if ranked:
            middle, (worst, value) = median(of.values()), ranked[0]
            digits = 3 if max(of.values()) <= 1 else 1
            told += f", median {middle:.{digits}f}, worst {value:.{digits}f} ({_short(worst)})"
        series[told] = [value for _, value in ranked]
    data = {"labels": (f"{name}s, each line from its worst", label), "series": series}
    return Figure("spread", title, data | ({} if limit is None else {"limit": limit}))


def _short(name: str) -> str:
    """A name that fits into a legend: pseudonyms are told apart by less than all of them."""
    return name if len(name) <= LEGEND else name[: LEGEND - 1] + "…"


def mistakes(cases: Rows, count: int) -> list[Mapping[str, Any]]:
    """Cases to be looked at: of each true class in turn the one that is most wrong.

    Mistakes come first, and of a class those of subjects that were not shown yet.

    Args:
        cases: score rows with `actual`, `called` and `error`; those without a prediction, of which
            nothing can be said but that it is missing, are left out.
        count: of cases.
    """
    queues: dict[tuple[int, ...], list[Mapping[str, Any]]] = {}
    scored = [row for row in cases if row["status"] != "no-prediction"]
    for row in sorted(scored, key=lambda row: (not mistaken(row), -row["error"])):
        queues.setdefault(tuple(row["actual"]), []).append(row)
    found: list[Mapping[str, Any]] = []
    seen: set[Any] = set()
    for wrong in (True, False):
        waiting = {
            key: [row for row in rows if mistaken(row) == wrong] for key, rows in queues.items()
        }
        while len(found) < count and any(waiting.values()):
            for rows in filter(None, waiting.values()):
                row = next((one for one in rows if owner_of(one) not in seen), rows[0])
                rows.remove(row)
                seen.add(owner_of(row))
                found.append(row)
    return found[:count]


def mistaken(row: Mapping[str, Any]) -> bool:
    """Whether a class is called that is not there, or not called that is; one that is not known
    cannot be mistaken."""
    pairs = zip(row["actual"], row["called"], strict=True)
    return any(is_it not in (UNKNOWN, called) for is_it, called in pairs)


class _Counts:
    """Of some cases: how many are of each class, are called so, and both."""

    def __init__(self, rows: Iterable[Mapping[str, Any]]) -> None:
        several = list(rows)
        actual = np.asarray([row["actual"] for row in several]) == 1
        called = np.asarray([row["called"] for row in several]) == 1
        known = np.asarray([row["actual"] for row in several]) >= 0
        self.cases, self.subjects = len(several), len({owner_of(row) for row in several})
        self.actual, self.called = actual.sum(0), (called & known).sum(0)
        self.right = (actual & called).sum(0)
        self.accuracy = float(((actual == called) | ~known).all(1).mean())

    def told(self, at: int) -> str:
        right, actual, called = int(self.right[at]), int(self.actual[at]), int(self.called[at])
        if not actual and not called:
            return NOTHING
        shares = (f"{right / among:.3f}" if among else NOTHING for among in (actual, called))
        return f"{' / '.join(shares)} ({actual})"


def _whose(cases: Rows, name: str) -> dict[str, str]:
    """The subject of each record, where two are of one."""
    if name != "record":
        return {}
    whose = {str(row[name]): str(row.get("subject") or "") for row in cases if row.get(name)}
    told = [of for of in whose.values() if of]
    return whose if len(set(told)) < len(told) else {}
