"""Boxes that mean the same object, of one image or of tiles that overlap."""

from typing import Literal

import numpy as np

Merge = Literal["nms", "weighted"]
BLOCK = 512  # boxes that are held against each other at once
FEW = 128  # boxes of all classes up to which a call for each class costs more than all pairs


def iou_of(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Intersection over union of all pairs, float64 (n, m).

    Args:
        one: edges (n, 2 * axes), where boxes begin and where they end.
        other: as many edges of each, (m, 2 * axes).
    """
    both = intersection_of(one, other)
    either = volume_of(one)[:, None] + volume_of(other)[None] - both
    made: np.ndarray = np.divide(both, either, out=np.zeros_like(both), where=either > 0)
    return made


def intersection_of(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Of all pairs, float64 (n, m); see `iou_of`."""
    axes = one.shape[1] // 2
    one, other = one.astype(np.float64), other.astype(np.float64)
    both: np.ndarray = np.ones((len(one), len(other)))
    for axis in range(axes):
        low = np.maximum(one[:, axis, None], other[:, axis])
        high = np.minimum(one[:, axes + axis, None], other[:, axes + axis])
        both *= np.maximum(high - low, 0)
    return both


def volume_of(boxes: np.ndarray) -> np.ndarray:
    """Area or volume of boxes (n, 2 * axes), float64 (n,)."""
    axes = boxes.shape[1] // 2
    edges = boxes.astype(np.float64)
    made: np.ndarray = np.maximum(edges[:, axes:] - edges[:, :axes], 0).prod(1)
    return made


def merged(found: np.ndarray, overlap: float, how: Merge, most: int) -> np.ndarray:
    """The boxes without doubles, highest score first, class by class.

    `nms` keeps the box of the highest score and drops those of its class that overlap it by more
    than `overlap`. `weighted` has the edges of all that overlap a kept box so count, each by its
    score, as weighted box fusion does (Solovyev et al. 2021); the score is the highest still, since
    tiles that see an object are more or fewer by where it lies.

    Args:
        found: (objects, 2 * axes + 2): begin, end, score and class.
        overlap: intersection over union from which on boxes mean the same.
        how: doubles are told.
        most: that are kept of a class.
    """
    kinds = found[:, -1]
    together = how == "nms" and len(found) <= min(most, FEW)
    groups = [found] if together else [found[kinds == kind] for kind in np.unique(kinds)]
    made = [found[:0]]
    for mine in groups:
        mine = mine[np.lexsort((-mine[:, -2], mine[:, -1]))]
        kept = _suppressed(mine, overlap, most)
        if how == "weighted":
            weights = _doubles(kept, mine, overlap) * mine[:, -2]
            kept = kept.copy()
            kept[:, :-2] = weights @ mine[:, :-2] / weights.sum(1, keepdims=True)
        made.append(kept)
    everything = np.concatenate(made)
    ordered: np.ndarray = everything[np.argsort(-everything[:, -2], kind="stable")]
    return ordered


def _doubles(one: np.ndarray, other: np.ndarray, overlap: float) -> np.ndarray:
    """Which pairs mean the same, bool (n, m)."""
    made: np.ndarray = iou_of(one[:, :-2], other[:, :-2]) > overlap
    made &= one[:, -1, None] == other[:, -1]
    return made


def _suppressed(mine: np.ndarray, overlap: float, most: int) -> np.ndarray:
    """Of boxes by falling score those that no better one overlaps, in blocks: the matrix of one is
    2 MiB, however many boxes a slide has."""
    kept = mine[:0]
    for start in range(0, len(mine), BLOCK):
        block = mine[start : start + BLOCK]
        if len(kept):
            block = block[~_doubles(kept, block, overlap).any(0)]
        same = _doubles(block, block, overlap)
        np.fill_diagonal(same, val=False)
        free = np.ones(len(block), bool)
        for at in np.flatnonzero(same.any(1)):  # most overlap none
            if free[at]:
                free[at + 1 :] &= ~same[at, at + 1 :]
        kept = np.concatenate([kept, block[free]])
        if len(kept) >= most:
            break
    return kept[:most]
