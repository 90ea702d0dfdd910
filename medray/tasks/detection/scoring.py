"""Detections held against the truth: rows of each image and class, and what they come to."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from medray.formats.imaging.objects import Object, boxes_of, objects_of
from medray.tasks.detection.merging import intersection_of, iou_of, volume_of
from medray.tasks.detection.options import DetectionOptions, boxes
from medray.tasks.metrics.bootstrap import Bootstrap, subjects
from medray.tasks.metrics.detection import (
    ALARMS,
    COCO,
    CROWD,
    OUTSIDE,
    FloatArray,
    Matched,
    Pool,
    average_precision,
    froc,
    match,
)
from medray.tasks.objects import Compared

SIZES = ("small", "medium", "large")
CURVE = 200  # points of a curve of precision at most


def rows_of(
    options: DetectionOptions, truth: Mapping[str, Any], answer: Mapping[str, Any] | None
) -> list[dict[str, Any]]:
    """A row per class.

    `hits` and `ignored` hold a number for each box, by falling score, of which bit t is set where
    it finds an object, or says nothing, at the overlap 0.5 + 0.05 t; bit 10 is of FROC's overlap.
    `sizes` has the same of objects that are small, medium and large, as COCO's areas.

    Args:
        options: of the task.
        truth: row of the image.
        answer: row of the prediction; None: there is none, and nothing is found.

    Raises:
        DataError: the truth is unusable.
    """
    given = [] if answer is None else objects_of(answer)
    axes = _axes(truth, given)
    real = boxes(truth, options.classes, axes)
    mm = truth.get("spacing_mm") if options.size_unit == "mm" else None
    cell = np.prod(mm) if mm else 1.0
    made = []
    for kind, name in enumerate(options.classes):
        mine = _ranked(given, name, options.most)
        wanted = real[real[:, -2] == kind]
        given_boxes = boxes_of(mine, axes)
        scores = [float(one.score or 0) for one in mine]
        iou = overlaps_of(given_boxes, wanted)
        flags = wanted[:, -1].astype(int)
        levels = (*COCO, options.froc_overlap)
        whole = match(iou, flags.tolist(), levels)
        # Bit 0 is of the overlap of a half; what is called there is what pages count.
        called = _called(options, kind, mine)
        found = int((whole.hits[0] & called).sum())
        false = int((~whole.hits[0] & ~whole.ignored[0] & called).sum())
        sizes = {}
        for label, (low, high) in zip(SIZES, _ranges(options.sizes), strict=True):
            outside = [_outside(volume_of(of) * cell, low, high, axes)
                       for of in (wanted[:, :-2], given_boxes)]  # fmt: skip
            some = np.where((flags == 0) & outside[0], OUTSIDE, flags)
            sizes[label] = _packed(match(iou, some.tolist(), COCO, outside=outside[1]))
        made.append(
            {
                "class": name,
                "status": "scored" if answer is not None else "no-prediction",
                "found": found,
                "missed": whole.true - found,
                "false": false,
                "scores": scores,
                **_packed(whole),
                "sizes": sizes,
            }
        )
    return made


def compared(
    options: DetectionOptions, truth: Mapping[str, Any], answer: Mapping[str, Any]
) -> list[Compared]:
    """Objects found and missed, and what was called and is right or false; what need not be found,
    and what finds only that, is left out."""
    given = objects_of(answer)
    axes = _axes(truth, given)
    real, made = boxes(truth, options.classes, axes), list[Compared]()
    for kind, name in enumerate(options.classes):
        mine = _ranked(given, name, options.most)
        mine = [
            one for one, called in zip(mine, _called(options, kind, mine), strict=True) if called
        ]
        wanted = real[real[:, -2] == kind]
        matched = match(
            overlaps_of(boxes_of(mine, axes), wanted), wanted[:, -1].astype(int).tolist(), COCO[:1]
        )
        taken = set(matched.taken[0].tolist())
        for number, one in enumerate(wanted.tolist()):
            if not one[-1]:
                begin, end = tuple(one[:axes]), tuple(one[axes:-2])
                made.append(Compared(name, begin, end, "found" if number in taken else "missed"))
        for one, right, ignored in zip(mine, matched.hits[0], matched.ignored[0], strict=True):
            if not ignored:
                made.append(Compared(name, one.begin, one.end, "right" if right else "false"))
    return made


def overlaps_of(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes and objects, (boxes, objects); of a crowd the share of the
    box that lies in it.

    Args:
        found: (boxes, 2 * axes).
        truth: (objects, 2 * axes + 2), as ObjectTask.boxes has it.
    """
    edges, crowd = truth[:, :-2], truth[:, -1] == CROWD
    made = iou_of(found, edges)
    if crowd.any():
        share = intersection_of(found, edges) / np.maximum(volume_of(found)[:, None], 1e-12)
        made = np.where(crowd[None], share, made)
    return made


def _axes(truth: Mapping[str, Any], given: Sequence[Object]) -> int:
    """Axes of space, by the first box that there is."""
    first = next(iter((*objects_of(truth), *given)), None)
    return 2 if first is None else len(first.begin)


def _ranked(given: Sequence[Object], kind: str, most: int) -> list[Object]:
    mine = [one for one in given if one.kind == kind]
    return sorted(mine, key=lambda one: -(one.score or 0))[:most]


def _called(options: DetectionOptions, kind: int, mine: Sequence[Object]) -> list[bool]:
    least = options.calls_at(kind)
    return [(one.score or 0) >= least if one.called is None else one.called for one in mine]


def _ranges(sizes: Sequence[float]) -> list[tuple[float, float]]:
    return [(0.0, sizes[0]), (sizes[0], sizes[1]), (sizes[1], np.inf)]


def _outside(volumes: np.ndarray, low: float, high: float, axes: int) -> np.ndarray:
    """Whether volumes are not of a range of mean sides; both ends are in it, as in COCO."""
    made: np.ndarray = (volumes < low**axes) | (volumes > high**axes)
    return made


def _packed(one: Matched) -> dict[str, Any]:
    bits = 1 << np.arange(len(one.hits))
    return {
        "true": one.true,
        "hits": (bits @ one.hits.astype(np.int64)).astype(int).tolist(),
        "ignored": (bits @ one.ignored.astype(np.int64)).astype(int).tolist(),
    }


def summary(cases: pa.Table, classes: Sequence[str], bootstrap: Bootstrap) -> dict[str, Any]:
    """Average precision and FROC with intervals over images, or the subjects that they are of.

    Args:
        cases: rows of `rows_of`, with `case`.
        classes: names.
        bootstrap: how often and how images are drawn.
    """
    rows = cases.to_pylist()
    owners = subjects(cases)
    by_class = {name: [row for row in rows if row["class"] == name] for name in classes}
    images = len(by_class[classes[0]])
    pools = {name: _Pools(of) for name, of in by_class.items()}
    low = {name: one.at(len(COCO)) for name, one in pools.items()}
    low[""] = _together(list(low.values()))

    def statistics(weights: FloatArray) -> dict[tuple[str, str], FloatArray]:
        made: dict[tuple[str, str], FloatArray] = {}
        for name, one in pools.items():
            each = [average_precision(one.at(level), weights) for level in range(len(COCO))]
            made["map50", name], made["map50_95", name] = each[0], np.mean(each, axis=0)
        for metric in ("map50", "map50_95"):
            made[metric, ""] = _mean([made[metric, name] for name in classes])
        for name, pool in low.items():
            made["froc", name] = froc(pool, weights).mean(1)
        return made

    drawn = bootstrap.draw(statistics, images, owners)

    def estimates(name: str) -> dict[str, Any]:
        of = by_class.values() if not name else [by_class[name]]
        behind = np.any([[row["true"] > 0 for row in some] for some in of], axis=0)
        told = ("map50", "map50_95", "froc")
        return {
            metric: bootstrap.judge(drawn[metric, name], images, owners, behind).to_dict()
            for metric in told
        }

    statuses = [row["status"] for row in by_class[classes[0]]]
    return {
        "task": "detection",
        "cases": images,
        "counts": {status: statuses.count(status) for status in sorted(set(statuses))},
        "metrics": estimates(""),
        "classes": {name: estimates(name) for name in classes},
        "objects": {
            name: {what: sum(row[what] for row in of) for what in ("true", "found", "false")}
            for name, of in by_class.items()
        },
        "sizes": {size: _of_size(by_class, size) for size in SIZES},
        "curves": {
            "precision": {name: _curve(one.at(0)) for name, one in pools.items()},
            "froc": {name: _free_response(pool) for name, pool in low.items() if name},
        },
    }


class _Pools:
    """Boxes of one class, at each overlap."""

    def __init__(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self._scores = [row["scores"] for row in rows]
        self._rows, self._made = rows, dict[int, Pool]()

    def at(self, level: int) -> Pool:
        """At one overlap, by its bit."""
        if level not in self._made:
            bits = {
                name: [(np.asarray(row[name], np.int64) >> level) & 1 > 0 for row in self._rows]
                for name in ("hits", "ignored")
            }
            true = [row["true"] for row in self._rows]
            self._made[level] = Pool.of(true, self._scores, bits["hits"], bits["ignored"])
        return self._made[level]


def _together(pools: Sequence[Pool]) -> Pool:
    order = np.argsort(-np.concatenate([one.scores for one in pools]), kind="mergesort")
    return Pool(
        pools[0].images,
        np.sum([one.true for one in pools], axis=0),
        np.concatenate([one.scores for one in pools])[order],
        np.concatenate([one.hits for one in pools])[order],
        np.concatenate([one.owner for one in pools])[order],
    )


def _of_size(by_class: Mapping[str, Sequence[Mapping[str, Any]]], size: str) -> dict[str, Any]:
    """Objects of a size and mAP over the classes that have some."""
    values, halves, true = list[float](), list[float](), 0
    for rows in by_class.values():
        own = [{**row["sizes"][size], "scores": row["scores"]} for row in rows]
        pools, one = _Pools(own), np.ones((1, len(own)))
        each = [float(average_precision(pools.at(level), one)[0]) for level in range(len(COCO))]
        true += sum(row["true"] for row in own)
        if np.isfinite(each[0]):
            values.append(float(np.mean(each)))
            halves.append(each[0])
    return {
        "objects": true,
        "map50": float(np.mean(halves)) if halves else None,
        "map50_95": float(np.mean(values)) if values else None,
    }


def _mean(values: Sequence[FloatArray]) -> FloatArray:
    """Over the classes that have a value; NaN where none has."""
    table = np.stack(values)
    known = np.isfinite(table)
    total, count = np.where(known, table, 0).sum(0), known.sum(0)
    made: FloatArray = np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)
    return made


def _thinned(count: int) -> np.ndarray:
    made: np.ndarray = np.unique(np.linspace(0, count - 1, min(count, CURVE)).astype(int))
    return made


def _curve(pool: Pool) -> list[list[float]]:
    """Recall and precision down to each score."""
    hits, alarms, true = (one[0] for one in pool.counted(np.ones((1, pool.images))))
    if not true or not len(hits):
        return []
    precision = hits / (hits + alarms)
    return [[float(hits[at] / true), float(precision[at])] for at in _thinned(len(hits))]


def _free_response(pool: Pool) -> dict[str, Any]:
    """Sensitivity at each rate of false alarms."""
    values = froc(pool, np.ones((1, pool.images)))[0]
    known = np.isfinite(values).all()
    return {"alarms": list(ALARMS), "sensitivity": values.tolist() if known else None}
