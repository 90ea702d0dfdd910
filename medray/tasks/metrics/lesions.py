"""Lesion-wise detection: which connected components were found, missed or invented."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class LesionCounts:
    """Lesions of one class, in one case or summed over many."""

    found: int
    false: int
    missed: int

    @property
    def f1(self) -> float | None:
        """2 found / (2 found + false + missed); None where there is no lesion on either side."""
        total = 2 * self.found + self.false + self.missed
        return 2 * self.found / total if total else None


def match_lesions(predicted: Mask, actual: Mask, min_iou: float = 0.1) -> LesionCounts:
    """Pair predicted with true lesions, one to one, and count what is left over.

    A lesion is a connected component (26 neighbours in 3-D, 8 in 2-D). Pairs need an IoU of at
    least min_iou, and the pairing is the one with most pairs and, among these, the largest sum of
    IoU (assignment problem; MetricsReloaded, Maier-Hein et al. 2024). So one blob over two lesions
    finds one of them and misses the other, where "any overlap counts" would reward it twice.

    Args:
        predicted: mask of any shape.
        actual: mask of the same shape.
        min_iou: least overlap of a pair, above 0 and at most 1.
    """
    neighbours = np.ones((3,) * actual.ndim, dtype=bool)
    labels_p, n_p = ndimage.label(predicted, structure=neighbours)
    labels_a, n_a = ndimage.label(actual, structure=neighbours)
    if not n_p or not n_a:
        return LesionCounts(0, n_p, n_a)
    both = predicted & actual
    pairs, shared = np.unique(
        np.stack([labels_p[both], labels_a[both]]), axis=1, return_counts=True
    )
    size_p, size_a = np.bincount(labels_p.reshape(-1)), np.bincount(labels_a.reshape(-1))
    iou = shared / (size_p[pairs[0]] + size_a[pairs[1]] - shared)
    keep = iou >= min_iou
    if not keep.any():
        return LesionCounts(0, n_p, n_a)
    # Only components that overlap enter the matrix: noise of 10,000 specks must not square.
    rows, row = np.unique(pairs[0][keep], return_inverse=True)
    columns, column = np.unique(pairs[1][keep], return_inverse=True)
    gain = np.zeros((len(rows), len(columns)))
    # IoU sums to less than the number of pairs + 1, so this offset puts the count before the sum.
    gain[row, column] = iou[keep] + min(len(rows), len(columns)) + 1
    from scipy.optimize import linear_sum_assignment  # 0.3 s; who trains or predicts has no use

    chosen = linear_sum_assignment(gain, maximize=True)
    found = int(np.count_nonzero(gain[chosen]))
    return LesionCounts(found, n_p - found, n_a - found)
