"""Detection: which boxes are right, average precision as COCO's, and FROC.

Everything is counted once for each image and class, as `Matched`; what is said of many images is
made of these counts, each image weighed by how often a resample has drawn it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

COCO = tuple(np.linspace(0.5, 0.95, 10).tolist())
"""Overlaps that a box must have to be right: mean average precision is over all of them."""
RECALLS = np.linspace(0, 1, 101)
ALARMS = (1 / 8, 1 / 4, 1 / 2, 1.0, 2.0, 4.0, 8.0)
"""False alarms an image at which sensitivity is told (Setio et al. 2017, LUNA16)."""
IGNORED, CROWD, OUTSIDE = 1, 2, 3
"""Of objects that need not be found: any number of boxes may take what is IGNORED, as the
development kit of Pascal VOC does with difficult ones, and a CROWD, as COCO; one box what is only
OUTSIDE of the sizes that are asked for."""


@dataclass(frozen=True)
class Matched:
    """Boxes of one class that an image was answered by, highest score first.

    Args:
        true: objects that had to be found.
        hits: bool (overlaps, boxes), whether a box finds an object that no box before it has found.
        ignored: bool (overlaps, boxes), whether it says nothing: it is of what need not be found.
        taken: int (overlaps, boxes), the object that it finds by its number; -1: none.
    """

    true: int
    hits: npt.NDArray[np.bool_]
    ignored: npt.NDArray[np.bool_]
    taken: npt.NDArray[np.int64]


def match(
    iou: np.ndarray,
    flags: Sequence[int],
    overlaps: Sequence[float],
    *,
    outside: npt.NDArray[np.bool_] | None = None,
) -> Matched:
    """Give boxes to objects, one to one, as pycocotools does.

    Each box, in order, takes the free object that it overlaps most, if by enough. One that finds
    none takes what need not be found, where it overlaps that by enough.

    Args:
        iou: (boxes, objects), boxes by falling score; of a crowd the share of the box in it.
        flags: of each object 0, or why it need not be found.
        overlaps: that are enough.
        outside: boxes of another size than is asked for, which are no mistake if they find nothing.
    """
    told = np.asarray(flags, np.int64)
    wanted, often = told == 0, (told == IGNORED) | (told == CROWD)
    hits = np.zeros((len(overlaps), len(iou)), bool)
    ignored, taken = np.zeros_like(hits), np.full(hits.shape, -1, np.int64)
    highest = iou.max(1, initial=0)
    for level, enough in enumerate(overlaps):
        least = min(enough, 1 - 1e-10)
        free = np.ones(len(told), bool)
        for box in np.flatnonzero(highest >= least):
            for among in (wanted & free, ~wanted & (free | often)):
                there = np.flatnonzero(among & (iou[box] >= least))
                if not len(there):
                    continue
                best = there[iou[box, there] == iou[box, there].max()][-1]
                free[best], taken[level, box] = False, best
                hits[level, box], ignored[level, box] = wanted[best], not wanted[best]
                break
        if outside is not None:
            ignored[level] |= outside & (taken[level] < 0)
    return Matched(int(wanted.sum()), hits, ignored, taken)


@dataclass(frozen=True)
class Pool:
    """Boxes of one class of many images, at one overlap, by falling score.

    Args:
        images: how many.
        true: (images,) objects of each.
        scores: (boxes,).
        hits: (boxes,) bool.
        owner: (boxes,) the image of each.
    """

    images: int
    true: FloatArray
    scores: FloatArray
    hits: npt.NDArray[np.bool_]
    owner: npt.NDArray[np.int64]

    @classmethod
    def of(
        cls,
        true: Sequence[int],
        scores: Sequence[Sequence[float]],
        hits: Sequence[npt.NDArray[np.bool_]],
        ignored: Sequence[npt.NDArray[np.bool_]],
    ) -> "Pool":
        """Images one after another; boxes that say nothing are left out."""
        owner = np.repeat(np.arange(len(true)), [len(one) for one in scores])
        flat = [np.concatenate([np.zeros(0), *map(np.asarray, one)]) for one in (scores, hits)]
        left_out = np.concatenate([np.zeros(0, bool), *ignored]).astype(bool)
        order = np.argsort(-flat[0], kind="mergesort")
        order = order[~left_out[order]]
        return cls(
            len(true),
            np.asarray(true, np.float64),
            flat[0][order],
            flat[1][order].astype(bool),
            owner[order],
        )

    def counted(self, weights: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Hits and false alarms among the boxes down to each, (repeats, boxes), and the objects
        there are, (repeats,).

        Args:
            weights: (repeats, images).
        """
        each = weights[:, self.owner]
        return (each * self.hits).cumsum(1), (each * ~self.hits).cumsum(1), weights @ self.true


def average_precision(pool: Pool, weights: FloatArray) -> FloatArray:
    """Mean of the precision at 101 recalls, interpolated as COCO's: (repeats,).

    NaN where there is no object.
    """
    hits, alarms, true = pool.counted(weights)
    out = np.full(len(weights), np.nan)
    for row in np.flatnonzero(true > 0):
        if not hits.shape[1]:
            out[row] = 0.0
            continue
        total = hits[row] + alarms[row]
        precision = hits[row] / (total + np.spacing(1))
        precision = np.maximum.accumulate(precision[::-1])[::-1]
        at = np.searchsorted(hits[row] / true[row], RECALLS, side="left")
        reached = at < len(precision)
        out[row] = precision[at[reached]].sum() / len(RECALLS)
    return out


def froc(pool: Pool, weights: FloatArray, images: int = 1) -> FloatArray:
    """Sensitivity at each of ALARMS: (repeats, 7); NaN where there is no object.

    At a rate of false alarms it is that of the lowest score of which no more come an image.

    Args:
        pool: of boxes.
        weights: (repeats, images).
        images: that each of the pool's stands for.
    """
    hits, alarms, true = pool.counted(weights)
    there = weights.sum(1) * images
    out = np.full((len(weights), len(ALARMS)), np.nan)
    # Boxes of one score are called together, or none of them is.
    last = np.append(np.diff(pool.scores) != 0, True)[: len(pool.scores)]
    for row in np.flatnonzero(true > 0):
        some = np.concatenate([[0.0], hits[row][last]]) / true[row]
        rate = np.concatenate([[0.0], alarms[row][last]]) / there[row]
        at = np.searchsorted(rate, np.asarray(ALARMS), side="right") - 1
        out[row] = some[at]
    return out
