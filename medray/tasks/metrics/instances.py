"""Judge numbered instances (nuclei, cells): which were found, and how well they are outlined.

- AJI, the aggregated Jaccard index (Kumar et al. 2017): intersections of all true instances with
  the predicted ones of the largest IoU, over their unions and the voxels of all others predicted.
- PQ, panoptic quality (Kirillov et al. 2019): the sum of the IoU of matched pairs over
  matched + half of the unmatched of either side. A pair is matched above an IoU of 0.5, of which
  there can be one at most. PQ = SQ (the mean IoU of pairs) x F1.
- IoU of instances: the mean over the true ones of the largest IoU with a predicted one; 0 of those
  that nothing touches.
- IoU of the foreground: of all instances taken together.

A case without instances on both sides is `absent`: excluded from means, and counted. Where there
are some on one side only, all are 0.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from medray.errors import DataError
from medray.tasks.metrics.bootstrap import Bootstrap, FloatArray, subjects

LabelArray = npt.NDArray[np.integer]

MATCHED = 0.5  # IoU above which a pair is one instance
AVERAGED = ("pq", "sq", "f1", "aji", "iou", "foreground_iou")
COUNTED = ("actual", "predicted", "matched")


@dataclass(frozen=True)
class Overlaps:
    """Instances that touch, and how large they all are.

    Args:
        actual: voxels of each true instance.
        predicted: voxels of each predicted one.
        pairs: numbers from 0 of a true and a predicted instance that share voxels, (pairs, 2).
        shared: voxels of each pair.
    """

    actual: npt.NDArray[np.int64]
    predicted: npt.NDArray[np.int64]
    pairs: npt.NDArray[np.int64]
    shared: npt.NDArray[np.int64]

    @property
    def iou(self) -> FloatArray:
        """Of each pair."""
        one, other = self.actual[self.pairs[:, 0]], self.predicted[self.pairs[:, 1]]
        found: FloatArray = self.shared / (one + other - self.shared)
        return found


def overlaps(predicted: LabelArray, actual: LabelArray) -> Overlaps:
    """Count what two images of instances share.

    Args:
        predicted: numbers of instances, 0 where there is none; any numbers.
        actual: the truth, of the same shape.

    Raises:
        DataError: the shapes differ (code "grid-mismatch").
    """
    if predicted.shape != actual.shape:
        raise DataError(
            f"the prediction is {predicted.shape}, the truth {actual.shape}",
            code="grid-mismatch",
            hint="predict on the grid of the truth",
        )
    one, own = _numbered(actual)
    other, theirs = _numbered(predicted)
    both = (one > 0) & (other > 0)
    width = max(1, len(theirs))
    keys, shared = np.unique((one[both] - 1) * width + other[both] - 1, return_counts=True)
    return Overlaps(own, theirs, np.stack([keys // width, keys % width], 1), shared)


def _numbered(labels: LabelArray) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Flat numbers from 1 in the order of the labels, 0 for none; and the size of each."""
    values, numbers, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    numbers = numbers.ravel()
    if len(values) and values[0] == 0:
        return numbers, sizes[1:]
    return numbers + 1, sizes


def score_instances(predicted: LabelArray | None, actual: LabelArray) -> dict[str, Any]:
    """The row of one case.

    Args:
        predicted: instances (*space); None if there is no prediction, which scores 0.
        actual: the true ones.

    Returns:
        `status`, `actual`, `predicted` and `matched` instances, and AVERAGED: None where `absent`.

    Raises:
        DataError: the shapes differ (code "grid-mismatch").
    """
    given = np.zeros_like(actual) if predicted is None else predicted
    found = overlaps(given, actual)
    counts = {"actual": len(found.actual), "predicted": len(found.predicted), "matched": 0}
    missing = predicted is None
    if missing or not (counts["actual"] and counts["predicted"]):
        empty = not missing and not (counts["actual"] or counts["predicted"])
        status = "absent" if empty else "missed" if counts["actual"] else "invented"
        values: dict[str, float | None] = dict.fromkeys(AVERAGED, None if empty else 0.0)
        if status != "absent":
            values["sq"] = None  # there is no pair
        return {"status": "no-prediction" if missing else status, **counts, **values}
    iou = found.iou
    matched = iou > MATCHED
    counts["matched"] = int(matched.sum())
    either = counts["actual"] + counts["predicted"]
    best = np.zeros(len(found.actual))
    np.maximum.at(best, found.pairs[:, 0], iou)
    inside, union = int(found.shared.sum()), int(found.actual.sum() + found.predicted.sum())
    return {
        "status": "scored",
        **counts,
        "pq": 2 * float(iou[matched].sum()) / either,
        "sq": float(iou[matched].mean()) if matched.any() else None,
        "f1": 2 * counts["matched"] / either,
        "aji": _aji(found),
        "iou": float(best.mean()),
        "foreground_iou": inside / (union - inside),
    }


def _aji(found: Overlaps) -> float:
    """Kumar et al. 2017, algorithm 1."""
    iou = found.iou
    order = np.lexsort((found.pairs[:, 1], -iou, found.pairs[:, 0]))
    _, first = np.unique(found.pairs[order, 0], return_index=True)
    taken = order[first]
    others = found.pairs[taken, 1]
    shared = int(found.shared[taken].sum())
    union = int(found.actual.sum()) + int(found.predicted[others].sum()) - shared
    used = np.zeros(len(found.predicted), bool)
    used[others] = True
    return shared / (union + int(found.predicted[~used].sum()))


def summarise_instances(cases: pa.Table, bootstrap: Bootstrap, worst: int = 10) -> dict[str, Any]:
    """Means over the cases with 95 % intervals, all counts together, and the worst cases.

    Args:
        cases: rows of `score_instances` with `case`, and `subject` where cases share subjects.
        bootstrap: how intervals are made.
        worst: how many of the worst cases to list.
    """
    groups = subjects(cases)
    metrics = {}
    for name in AVERAGED:
        values = np.array(cases[name].to_pylist(), np.float64)
        known = ~np.isnan(values)
        filled = np.where(known, values, 0.0)

        def mean(weights: FloatArray, some: Any = known, of: FloatArray = filled) -> FloatArray:
            total = weights @ some
            means = np.full(len(weights), np.nan)
            np.divide(weights @ of, total, out=means, where=total > 0)
            return means

        metrics[name] = bootstrap.estimate(mean, len(values), groups, known).to_dict()
    columns = ["case", "status", *COUNTED, *AVERAGED]
    rows = [row for row in cases.select(columns).to_pylist() if row["pq"] is not None]
    return {
        "task": "instances",
        "cases": len(cases),
        "counts": dict(Counter(cases["status"].to_pylist())),
        "metrics": metrics,
        "totals": {name: sum(cases[name].to_pylist()) for name in COUNTED},
        "worst": sorted(rows, key=lambda row: row["pq"])[:worst],
    }
