"""Judge masks: one row per case and class, then a summary over cases.

The conventions about what is empty, kept in every row as `status`:

- `scored`: the structure is in both masks.
- `missed`: it is in the truth only. Dice 0, surface Dice 0, HD95 the volume's diagonal.
- `invented`: it is in the prediction only. Scored like `missed`; sensitivity isn't defined.
- `absent`: it is in neither. Excluded from means, and counted.
- `no-prediction`: the case has no prediction at all. The worst value of everything, and counted.

So a worse model can never score better by leaving something out. An axis of one voxel is dropped
first: a single slice is judged in its plane.
"""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy import ndimage

from medray.tasks.metrics.bootstrap import Bootstrap, Estimate, FloatArray, subjects
from medray.tasks.metrics.lesions import LesionCounts, match_lesions
from medray.tasks.metrics.overlap import confusion, overlap, voxel_error
from medray.tasks.metrics.surface import surface_distances, volume_diagonal_mm

LabelArray = npt.NDArray[np.integer]

AVERAGED = ("dice", "hd95_mm", "surface_dice", "iou", "sensitivity", "precision")

CASE_SCHEMA = pa.schema(
    [
        ("class", pa.string()),
        ("status", pa.string()),
        *((name, pa.float64()) for name in AVERAGED),
        ("voxel_error", pa.float64()),
        ("actual_voxels", pa.int64()),
        ("predicted_voxels", pa.int64()),
        ("actual_ml", pa.float64()),
        ("predicted_ml", pa.float64()),
        ("lesions_found", pa.int64()),
        ("lesions_false", pa.int64()),
        ("lesions_missed", pa.int64()),
    ]
)


def score_segmentation(
    predicted: LabelArray | None,
    actual: LabelArray,
    spacing_mm: tuple[float, ...],
    classes: Sequence[str],
    *,
    tolerance_mm: float = 1.0,
    min_iou: float = 0.1,
) -> list[dict[str, Any]]:
    """Score one case: a row per class but the background.

    Args:
        predicted: labels (Z, Y, X) or (Y, X) on the truth's grid; None if there is no prediction.
        actual: labels of the same shape.
        spacing_mm: voxel size along each axis; ones where it is not known, so "mm" are pixels.
        classes: names of labels 0, 1, …; the first is the background.
        tolerance_mm: of surface Dice.
        min_iou: least overlap of a found lesion (see lesions.py).

    Returns:
        Rows with the columns of CASE_SCHEMA. `voxel_error`, the share of wrong voxels in the whole
        case, is the same in all rows of a case.

    Raises:
        DataError: the grids differ ("grid-mismatch") or a label has no class ("unknown-label").
    """
    given = np.zeros_like(actual) if predicted is None else predicted
    counts = confusion(given, actual, len(classes))
    given, actual, spacing_mm = _flatten(given, actual, spacing_mm)
    boxes = [ndimage.find_objects(labels, len(classes) - 1) for labels in (given, actual)]
    worst_mm = volume_diagonal_mm(actual.shape, spacing_mm)
    voxel_ml = math.prod(spacing_mm) / 1000.0 if actual.ndim == 3 else None
    rows = []
    for label, name in enumerate(classes[1:], start=1):
        found = overlap(counts, label)
        row: dict[str, Any] = {
            "class": name,
            "status": _status(predicted is None, found.predicted, found.actual),
            "dice": found.dice,
            "iou": found.iou,
            "sensitivity": found.sensitivity,
            "precision": found.precision,
            "voxel_error": 1.0 if predicted is None else voxel_error(counts),
            "actual_voxels": found.actual,
            "predicted_voxels": None if predicted is None else found.predicted,
            "actual_ml": None if voxel_ml is None else found.actual * voxel_ml,
            "predicted_ml": (
                None if voxel_ml is None or predicted is None else found.predicted * voxel_ml
            ),
        }
        match row["status"]:
            case "scored":
                box = _union(boxes[0][label - 1], boxes[1][label - 1])
                masks = given[box] == label, actual[box] == label
                surface = surface_distances(*masks, spacing_mm)
                row |= {"hd95_mm": surface.hausdorff(), "surface_dice": surface.dice(tolerance_mm)}
                row |= _lesion_columns(match_lesions(*masks, min_iou))
            case "absent":
                row |= {"hd95_mm": None, "surface_dice": None}
                row |= _lesion_columns(LesionCounts(0, 0, 0))
            case _:
                row |= {"hd95_mm": worst_mm, "surface_dice": 0.0}
                row |= _lesion_columns(match_lesions(given == label, actual == label, min_iou))
        if row["status"] == "no-prediction":
            row |= dict.fromkeys(("dice", "iou", "sensitivity", "precision"), 0.0)
        rows.append(row)
    return rows


def summarise_segmentation(
    cases: pa.Table, bootstrap: Bootstrap | None = None, worst: int = 10
) -> dict[str, Any]:
    """Means with 95 % intervals, per class and over classes, and the worst cases.

    The overall value is the mean over classes of the classes' means, so a class that few cases have
    weighs as much as the others; its interval resamples cases (or subjects) for all classes
    together.

    Args:
        cases: rows of CASE_SCHEMA with `case`, and `subject` where cases share subjects.
        bootstrap: how intervals are made.
        worst: how many of the worst cases to list.

    Returns:
        {"task", "cases", "counts": {status: rows}, "metrics": {name: estimate},
        "classes": {class: {"counts", name: estimate, …}}, "worst": [row, …]}, where an estimate is
        {"value", "low", "high", "cases"}; JSON-able, absent values None.
    """
    bootstrap = bootstrap or Bootstrap()
    names = list(dict.fromkeys(cases["class"].to_pylist()))
    ids = list(dict.fromkeys(cases["case"].to_pylist()))
    groups = subjects(cases)
    values = {name: _matrix(cases, name, ids, names) for name in (*AVERAGED, "voxel_error")}
    lesions = [
        np.nan_to_num(_matrix(cases, f"lesions_{kind}", ids, names))
        for kind in ("found", "false", "missed")
    ]

    def estimates(columns: slice) -> dict[str, Any]:
        result = {
            name: _macro_mean(values[name][:, columns], bootstrap, groups) for name in AVERAGED
        }
        result["lesion_f1"] = _macro_f1([part[:, columns] for part in lesions], bootstrap, groups)
        return {name: estimate.to_dict() for name, estimate in result.items()}

    status = Counter(zip(cases["class"].to_pylist(), cases["status"].to_pylist(), strict=True))
    overall = estimates(slice(None))
    overall["voxel_error"] = bootstrap.mean(values["voxel_error"][:, 0], groups).to_dict()
    return {
        "task": "segmentation",
        "cases": len(ids),
        "counts": dict(Counter(cases["status"].to_pylist())),
        "metrics": overall,
        "classes": {
            name: {
                "counts": {s: n for (c, s), n in status.items() if c == name},
                **estimates(slice(i, i + 1)),
            }
            for i, name in enumerate(names)
        },
        "worst": _worst(cases, worst),
    }


def _status(unpredicted: bool, predicted: int, actual: int) -> str:
    if unpredicted:
        return "no-prediction"
    if predicted and actual:
        return "scored"
    if actual:
        return "missed"
    return "invented" if predicted else "absent"


def _flatten(
    given: LabelArray, actual: LabelArray, spacing_mm: tuple[float, ...]
) -> tuple[LabelArray, LabelArray, tuple[float, ...]]:
    thick = [axis for axis, size in enumerate(actual.shape) if size > 1]
    shape = tuple(actual.shape[axis] for axis in thick)
    return given.reshape(shape), actual.reshape(shape), tuple(spacing_mm[a] for a in thick)


def _union(one: tuple[slice, ...], two: tuple[slice, ...]) -> tuple[slice, ...]:
    return tuple(
        slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(one, two, strict=True)
    )


def _lesion_columns(counts: LesionCounts) -> dict[str, int]:
    return {
        "lesions_found": counts.found,
        "lesions_false": counts.false,
        "lesions_missed": counts.missed,
    }


def _matrix(cases: pa.Table, column: str, ids: list[str], names: list[str]) -> FloatArray:
    """One column as (cases, classes); NaN where there is no value."""
    row_of = {sample: i for i, sample in enumerate(ids)}
    column_of = {name: i for i, name in enumerate(names)}
    result = np.full((len(ids), len(names)), np.nan)
    for sample, name, value in zip(
        cases["case"].to_pylist(),
        cases["class"].to_pylist(),
        cases[column].to_pylist(),
        strict=True,
    ):
        if value is not None:
            result[row_of[sample], column_of[name]] = value
    return result


def _macro_mean(values: FloatArray, bootstrap: Bootstrap, groups: Sequence[str] | None) -> Estimate:
    """Mean over classes of the means over the cases that have a value."""
    known = ~np.isnan(values)
    any_class = known.any(axis=0)
    filled = np.where(known, values, 0.0)[:, any_class]
    known = known[:, any_class].astype(np.float64)

    def statistic(weights: FloatArray) -> FloatArray:
        total = weights @ known
        means = np.full(total.shape, np.nan)
        np.divide(weights @ filled, total, out=means, where=total > 0)
        average: FloatArray = means.mean(axis=1)
        return average

    return bootstrap.estimate(statistic, len(values), groups, known.any(axis=1))


def _macro_f1(
    parts: Sequence[FloatArray], bootstrap: Bootstrap, groups: Sequence[str] | None
) -> Estimate:
    """Mean over classes of the F1 of all cases' lesions taken together."""
    found, false, missed = parts
    has_lesion = (found + false + missed) > 0
    any_class = has_lesion.any(axis=0)
    found, false, missed = found[:, any_class], false[:, any_class], missed[:, any_class]

    def statistic(weights: FloatArray) -> FloatArray:
        hits = 2.0 * (weights @ found)
        total = hits + weights @ (false + missed)
        scores = np.full(total.shape, np.nan)
        np.divide(hits, total, out=scores, where=total > 0)
        average: FloatArray = scores.mean(axis=1)
        return average

    return bootstrap.estimate(statistic, len(found), groups, has_lesion.any(axis=1))


def _worst(cases: pa.Table, count: int) -> list[dict[str, Any]]:
    """The rows with the lowest Dice, ties by the larger HD95."""
    columns = ["case", "class", "status", "dice", "hd95_mm", "surface_dice"]
    rows = [row for row in cases.select(columns).to_pylist() if row["dice"] is not None]
    return sorted(rows, key=lambda row: (row["dice"], -row["hd95_mm"]))[:count]
