"""What a page shows of scores beside the task's own: the worst cases drawn and explained, errors by
scaffold and by how like the training compounds are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np

from medray.errors import DataError
from medray.formats.molecules.options import SMILES
from medray.modalities.molecule.draw import LOWERS, RAISES, Drawing, drawn
from medray.modalities.molecule.plan import ATTRIBUTIONS, NEAREST
from medray.storage.catalog.datasets import Dataset
from medray.storage.shards.samples import Sample
from medray.tasks.base import Task
from medray.tasks.metric import Metric
from medray.tasks.section import Picture, Table

CANONICAL, SCAFFOLD = "canonical", "scaffold"  # columns, where ingest made them
SHOWN = 15  # scaffolds
MOST = 20_000  # predictions that are looked at
DRAWN = 6  # cases
SIMILARITIES = (0.0, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)  # where lines of the table begin
EXPLAINED = "; atoms are coloured by integrated gradients, from blank atoms on"
LEGEND = [("raises the answer", RAISES), ("lowers it", LOWERS)]


@dataclass(frozen=True)
class Case:
    """How far off an answer is.

    Args:
        id: of the compound.
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
            found.append(Case(name, rows[name], answer, fmean(errors)))
    return sorted(found, key=lambda case: (-case.error, case.id))


def drawings(rows: Sequence[Mapping[str, Any]]) -> list[bytes | None]:
    """A drawing of each row's compound; None where its SMILES is not there or can't be drawn."""
    smiles = [str(row.get(CANONICAL) or row.get(SMILES) or "") for row in rows]
    return drawn([Drawing(one) for one in smiles])


def worst(cases: Sequence[Case]) -> list[Picture]:
    """Drawings of the first cases, their atoms coloured where predictions have attributions; none
    where their SMILES are not kept or can't be drawn."""
    some = [case for case in cases[:DRAWN] if isinstance(case.row.get(CANONICAL), str)]
    if not some:
        return []
    explained = any(case.answer.get(ATTRIBUTIONS) for case in some)
    panels = [
        (f"{case.id}: error {case.error:.3g}", picture)
        for case, picture in zip(some, drawn([_drawing(case) for case in some]), strict=True)
        if picture is not None
    ]
    if not panels:
        return []
    shown = [(case.id, "") for case in some]
    caption = "the largest errors first" + EXPLAINED * explained
    return [Picture("worst", caption, shown, panels=panels, legend=LEGEND if explained else [])]


def _drawing(case: Case) -> Drawing:
    """The compound, its atoms' attributions in parts of the largest."""
    canonical, written = case.row[CANONICAL], case.row.get(SMILES)
    weights = np.asarray(case.answer.get(ATTRIBUTIONS) or [], np.float64)
    if not (isinstance(written, str) and weights.any()):
        return Drawing(canonical)
    return Drawing(canonical, written, (weights / np.abs(weights).max()).tolist())


def by_similarity(cases: Sequence[Case]) -> list[Table]:
    """Errors by how like the nearest training compound is, where predictions say."""
    told = [(case.answer[NEAREST], case.error) for case in cases if NEAREST in case.answer]
    if not told:
        return []
    near, errors = np.array(told).T
    line = np.searchsorted(SIMILARITIES, near, side="right")
    columns = {
        NEAREST: Metric("similarity", kind="text"),
        "cases": Metric("cases", kind="count"),
        "error": Metric("mean error", higher_is_better=False),
    }
    ends = [*(f"{end:g}" for end in SIMILARITIES[1:]), "1"]
    rows = [
        {
            NEAREST: f"{SIMILARITIES[at - 1]:g} to {ends[at - 1]}",
            "cases": int((line == at).sum()),
            "error": float(errors[line == at].mean()),
        }
        for at in np.unique(line).tolist()
    ]
    lead = "Tanimoto similarity of the nearest compound that the model learnt from."
    return [Table(columns, rows, title="By similarity", lead=lead)]


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
