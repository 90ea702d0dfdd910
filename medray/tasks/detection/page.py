"""What a page shows of detections: curves, sizes, and pictures of what was missed and invented."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from medray.tasks.detection.options import DetectionOptions
from medray.tasks.metric import Metric
from medray.tasks.section import CASE, Figure, Picture, ScoredCases, Section, Table

SHOWN = 6  # images with most mistakes that are drawn
DEFINED = (
    "mAP50 is the mean over classes of the average precision at 101 recalls, a box being right "
    "where its intersection over union with an object is at least 0.5; mAP50-95 is the mean of ten "
    "such, from 0.5 to 0.95 (COCO). FROC is the mean sensitivity at 1/8, 1/4, 1/2, 1, 2, 4 and 8 "
    "false alarms an image, of all classes together; a hit overlaps an object by at least {:g}."
)
_SIZES = {
    "size": Metric("size", kind="text"),
    "objects": Metric("objects", kind="count"),
    "map50": Metric("mAP50"),
    "map50_95": Metric("mAP50-95"),
}
_CALLED = {
    "class": CASE["class"],
    "true": Metric("objects", kind="count"),
    "found": Metric("found", kind="count"),
    "false": Metric("false alarms", kind="count"),
    "sensitivity": Metric("sensitivity"),
    "precision": Metric("precision"),
}


def section(plain: Section, scores: ScoredCases, options: DetectionOptions) -> Section:
    """The section of any task, with curves, a table of sizes, and the images with most mistakes.

    Args:
        plain: of any task.
        scores: as `evaluate` found them.
        options: of the task.
    """
    summary = scores.summary
    curves = summary["curves"]
    unit = "mm" if options.size_unit == "mm" else "voxels"
    small, medium = options.sizes
    sizes = [{"size": name, **row} for name, row in summary["sizes"].items()]
    counted = [_rates(name, row) for name, row in summary["objects"].items()]
    return replace(
        plain,
        tables=[
            *plain.tables,
            Table(_CALLED, counted, title="Called", lead="From the score on that an answer calls."),
            Table(
                _SIZES,
                sizes,
                title="By size",
                lead=f"Small: a mean side of at most {small:g} {unit}; medium: of at most "
                f"{medium:g} {unit}.",
            ),
        ],
        figures=[*plain.figures, *_figures(curves)],
        pictures=_pictures(scores),
        definitions=[
            *plain.definitions,
            DEFINED.format(options.froc_overlap),
        ],
    )


def _rates(name: str, row: Mapping[str, Any]) -> dict[str, Any]:
    called = row["found"] + row["false"]
    return {
        "class": name,
        **row,
        "sensitivity": row["found"] / row["true"] if row["true"] else None,
        "precision": row["found"] / called if called else None,
    }


def _figures(curves: Mapping[str, Any]) -> list[Figure]:
    precision = {
        name: tuple(zip(*points, strict=True))
        for name, points in curves["precision"].items()
        if points
    }
    response = {
        name: (one["alarms"], one["sensitivity"])
        for name, one in curves["froc"].items()
        if one["sensitivity"]
    }
    made = []
    if precision:
        data = {"label": "recall", "lines": precision, "up": "precision"}
        made.append(Figure("line", "Precision at each recall, overlap of a half", data))
    if response:
        label = "false alarms an image"
        data = {"label": label, "lines": response, "up": "sensitivity"}
        made.append(Figure("line", "Free-response curve", data))
    return made


def _pictures(scores: ScoredCases) -> list[Picture]:
    """Of the images with most mistakes."""
    wrong: dict[str, list[int]] = {}
    for row in scores.cases:
        if row["status"] == "no-prediction":
            continue
        missed, false = wrong.setdefault(row["case"], [0, 0])
        wrong[row["case"]] = [missed + row["missed"], false + row["false"]]
    ranked = sorted(wrong, key=lambda case: (-sum(wrong[case]), case))
    return [
        Picture("mistakes", f"{wrong[case][0]} missed, {wrong[case][1]} false", [(case, "")])
        for case in ranked[:SHOWN]
        if sum(wrong[case])
    ]
