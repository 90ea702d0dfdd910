"""What pages show of scores of compounds, whatever else stands beside them: the worst cases."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from medray.errors import DataError
from medray.formats.molecules.draw import LOWERS, RAISES, Drawing, drawn
from medray.storage.catalog.datasets import Dataset
from medray.storage.shards.samples import Sample
from medray.tasks.base import Task
from medray.tasks.section import Picture

CANONICAL = "canonical"  # a column, where ingest made it
MOST = 20_000  # predictions that are looked at
DRAWN = 6  # cases
EXPLAINED = "; atoms are coloured by integrated gradients, from blank atoms on"
LEGEND = [("raises the answer", RAISES), ("lowers it", LOWERS)]


@dataclass(frozen=True)
class Case:
    """How far off an answer is.

    Args:
        id: of the sample.
        row: of the truth.
        answer: row of the prediction.
        error: as the task has it.
    """

    id: str
    row: dict[str, Any]
    answer: dict[str, Any]
    error: float


def cases_of(task: Task, truth: Dataset, predictions: Dataset) -> list[Case]:
    """Of each prediction whose truth is known, the largest error first.

    Args:
        task: says how far off an answer is.
        truth: of the samples.
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
            found.append(Case(name, rows[name], answer, fmean(errors)))
    return sorted(found, key=lambda case: (-case.error, case.id))


def worst(
    cases: Sequence[Case],
    drawing: Callable[[Case], Drawing] = lambda case: Drawing(case.row[CANONICAL]),
    name: Callable[[Case], str] = lambda case: case.id,
) -> list[Picture]:
    """Drawings of the first cases' compounds; none where their SMILES are not kept or can't be
    drawn.

    Args:
        cases: the largest error first.
        drawing: of a case; with weights, they are explained.
        name: what a case is called.
    """
    some = [case for case in cases[:DRAWN] if isinstance(case.row.get(CANONICAL), str)]
    if not some:
        return []
    drawings = [drawing(case) for case in some]
    explained = any(one.weights for one in drawings)
    panels = [
        (f"{name(case)}: error {case.error:.3g}", picture)
        for case, picture in zip(some, drawn(drawings), strict=True)
        if picture is not None
    ]
    if not panels:
        return []
    shown = [(case.id, "") for case in some]
    caption = "the largest errors first" + EXPLAINED * explained
    return [Picture("worst", caption, shown, panels=panels, legend=LEGEND if explained else [])]
