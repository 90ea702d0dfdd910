"""What a page shows of scores beside the task's own: the worst cases drawn, errors by scaffold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from medray.errors import DataError
from medray.formats.molecules.options import SMILES
from medray.modalities.molecule.draw import drawn
from medray.storage.catalog.datasets import Dataset
from medray.storage.shards.samples import Sample
from medray.tasks.base import Task
from medray.tasks.metric import Metric
from medray.tasks.section import Picture, Table

CANONICAL, SCAFFOLD = "canonical", "scaffold"  # columns, where ingest made them
SHOWN = 15  # scaffolds
MOST = 20_000  # predictions that are looked at
DRAWN = 6  # cases


@dataclass(frozen=True)
class Case:
    """How far off an answer is.

    Args:
        id: of the compound.
        row: of the truth.
        error: as the task has it.
    """

    id: str
    row: dict[str, Any]
    error: float


def cases_of(task: Task, truth: Dataset, predictions: Dataset) -> list[Case]:
    """Of each prediction whose truth is known, the largest error first.

    Args:
        task: says how far off an answer is.
        truth: of the compounds.
        predictions: of some of them.
    """
    rows = {row["sample_id"]: row for row in truth.samples.to_pylist()}
    found = []
    for answer in predictions.samples.slice(0, MOST).to_pylist():
        name = answer["sample_id"]
        if name not in rows:
            continue
        try:
            scored = task.score(Sample(name, rows[name]), Sample(name, answer))
        except DataError:  # without a truth
            continue
        errors = [one["error"] for one in scored if one.get("error") is not None]
        if errors:
            found.append(Case(name, rows[name], fmean(errors)))
    return sorted(found, key=lambda case: (-case.error, case.id))


def drawings(rows: Sequence[Mapping[str, Any]]) -> list[bytes | None]:
    """A drawing of each row's compound; None where its SMILES is not there or can't be drawn."""
    return drawn([str(row.get(CANONICAL) or row.get(SMILES) or "") for row in rows])


def worst(cases: Sequence[Case]) -> list[Picture]:
    """Drawings of the first cases; none where their SMILES are not kept or can't be drawn."""
    some = [case for case in cases[:DRAWN] if isinstance(case.row.get(CANONICAL), str)]
    pictures = drawn([case.row[CANONICAL] for case in some]) if some else []
    panels = [
        (f"{case.id}: error {case.error:.3g}", picture)
        for case, picture in zip(some, pictures, strict=True)
        if picture is not None
    ]
    if not panels:
        return []
    shown = [(case.id, "") for case in some]
    return [Picture("worst", "the largest errors first", shown, panels=panels)]


def by_scaffold(cases: Sequence[Case]) -> list[Table]:
    """The scaffolds of most compounds, with the mean error of each; nothing where no two share
    one, or nobody says."""
    errors: dict[str, list[float]] = {}
    for case in cases:
        if case.row.get(SCAFFOLD):
            errors.setdefault(case.row[SCAFFOLD], []).append(case.error)
    ranked = sorted(errors.items(), key=lambda item: (-len(item[1]), item[0]))
    shared = [one for one in ranked if len(one[1]) > 1]
    if not shared:
        return []
    rest = [error for _, found in ranked[min(SHOWN, len(shared)) :] for error in found]
    columns = {
        SCAFFOLD: Metric("scaffold", kind="text"),
        "cases": Metric("cases", kind="count"),
        "error": Metric("mean error", higher_is_better=False),
    }
    listed = [*shared[:SHOWN], *([("all others", rest)] if rest else [])]
    made = [{SCAFFOLD: name, "cases": len(of), "error": fmean(of)} for name, of in listed]
    note = f"{len(ranked)} scaffolds in all, {len(ranked) - len(shared)} of them of one compound."
    return [Table(columns, made, title="By scaffold", note=note)]
