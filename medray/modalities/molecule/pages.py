"""What a page shows of scores beside the task's own: the worst cases drawn and explained, errors by
scaffold and by how like the training compounds are."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np

from medray.formats.molecules.draw import Drawing, drawn
from medray.formats.molecules.options import SMILES
from medray.modalities.molecule.plan import ATTRIBUTIONS, NEAREST
from medray.modalities.worst import CANONICAL, Case
from medray.tasks.metric import Metric
from medray.tasks.section import Table

SCAFFOLD = "scaffold"  # a column, where ingest made it
SHOWN = 15  # scaffolds
SIMILARITIES = (0.0, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)  # where lines of the table begin


def drawings(rows: Sequence[Mapping[str, Any]]) -> list[bytes | None]:
    """A drawing of each row's compound; None where its SMILES is not there or can't be drawn."""
    smiles = [str(row.get(CANONICAL) or row.get(SMILES) or "") for row in rows]
    return drawn([Drawing(one) for one in smiles])


def explained(case: Case) -> Drawing:
    """The compound, with its atoms' attributions in parts of the largest where there are any."""
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
