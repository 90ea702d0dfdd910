"""The quick verdict on boxes while a network trains: counts by score, which add up over images."""

from collections.abc import Sequence

import numpy as np

from medray.tasks.metrics.detection import COCO, Pool, average_precision, froc, match

BINS = 100  # of scores: average precision is then off by less than one in a thousand


def histogram(
    scores: np.ndarray, iou: np.ndarray, flags: np.ndarray, froc_overlap: float
) -> list[float]:
    """Objects of an image and class; then hits and false alarms by score at an overlap of a half,
    and both again at `froc_overlap`: 1 + 4 * BINS numbers.

    Args:
        scores: of boxes, falling.
        iou: (boxes, objects).
        flags: of objects, 0 or why it need not be found.
        froc_overlap: of a hit in FROC.
    """
    matched = match(iou, flags.astype(int).tolist(), (COCO[0], froc_overlap))
    bins = np.minimum((scores * BINS).astype(int), BINS - 1)
    row = [float(matched.true)]
    for hits, ignored in zip(matched.hits, matched.ignored, strict=True):
        for some in (hits, ~hits & ~ignored):
            row += np.bincount(bins[some], minlength=BINS).astype(float).tolist()
    return row


def summary_of(table: np.ndarray, classes: Sequence[str]) -> dict[str, float]:
    """Metrics of all images' rows.

    Args:
        table: (images, classes * (1 + 4 * BINS)).
        classes: names.
    """
    images, one = len(table), np.ones((1, 1))
    counts = table.sum(0).reshape(len(classes), 1 + 4 * BINS)
    made: dict[str, list[float]] = {"map50": [], "froc": []}
    for row in counts:
        half, low = (_pool(row[0], row[at : at + 2 * BINS]) for at in (1, 1 + 2 * BINS))
        made["map50"].append(float(average_precision(half, one)[0]))
        # The pool is of one image that stands for all: alarms are told of each.
        made["froc"].append(float(froc(low, one, images)[0].mean()))
    metrics = {}
    for name, values in made.items():
        known = [value for value in values if np.isfinite(value)]
        metrics[f"val_{name}"] = float(np.mean(known)) if known else float("nan")
        if len(classes) > 1:
            pairs = zip(classes, values, strict=True)
            metrics |= {f"val_{name}_{kind}": value for kind, value in pairs}
    for kind, row in zip(classes, counts, strict=True):
        hits, alarms = (row[at : at + BINS][::-1].cumsum() for at in (1, 1 + BINS))
        f1 = 2 * hits / np.maximum(hits + alarms + row[0], 1)
        metrics[f"val_called_at_{kind}"] = float((BINS - 1 - f1.argmax()) / BINS)
    return metrics


def _pool(true: float, histograms: np.ndarray) -> Pool:
    """Boxes of all images, those of one bin with hits and false alarms by turns."""
    hits, alarms = histograms.reshape(2, BINS).astype(int)
    scores, right = list[float](), list[bool]()
    for at in range(BINS - 1, -1, -1):
        count = hits[at] + alarms[at]
        places = (np.arange(count) * hits[at]) // max(1, count)
        stands = np.diff(places, append=hits[at]) > 0
        scores += [at / BINS] * int(count)
        right += stands.tolist()
    flags = np.array(right, bool)
    return Pool(1, np.array([true]), np.array(scores), flags, np.zeros(len(flags), np.int64))
