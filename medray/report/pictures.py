"""Pictures of cases for the report: masks over images, and images that were called wrongly."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from medray.modalities.image.overlay import best_slice, draw_overlay, encode_png, flips
from medray.report.content import Overlay, pick_cases
from medray.storage.catalog.datasets import Dataset

_THUMBNAILS = 6


def masks(
    cases: Sequence[Mapping[str, Any]], truth: Dataset, predictions: Dataset
) -> list[Overlay]:
    """The best, the median and the worst case: image, truth and prediction of one slice.

    Args:
        cases: score rows (medray.tasks.metrics.segmentation).
        truth: with images and labels.
        predictions: with labels.
    """
    in_truth, in_predictions = _positions(truth), _positions(predictions)
    pictures = []
    for title, case in pick_cases(cases):
        at = in_truth[case]
        actual = truth.array(at, "label")[...]
        predicted = predictions.array(in_predictions[case], "label")[...]
        row = truth.samples.slice(at, 1).to_pylist()[0]
        slice_at = best_slice([actual, predicted]) if actual.ndim == 3 else None
        image = _plane(truth, at, slice_at)
        spacing = (row.get("spacing_mm") or [1.0, 1.0])[-2:]
        drawn = {
            name: draw_overlay(
                image,
                labels if labels is None or slice_at is None else labels[slice_at],
                spacing_mm=(spacing[0], spacing[1]),
                turn=flips(row.get("affine")),
            )
            for name, labels in (("image", None), ("truth", actual), ("prediction", predicted))
        }
        dice = [r["dice"] for r in cases if r["case"] == case and r["dice"] is not None]
        caption = f"mean Dice {np.mean(dice):.3f}"
        if slice_at is not None:
            caption += f" · slice {slice_at + 1} of {len(actual)}"
        panels = [(name, encode_png(pixels)) for name, pixels in drawn.items()]
        pictures.append(Overlay(title, case, caption, panels))
    return pictures


def thumbnails(
    worst: Sequence[Mapping[str, Any]], truth: Dataset, classes: Sequence[str]
) -> list[Overlay]:
    """The images of the worst cases, which say most about what the model doesn't see.

    Args:
        worst: score rows (medray.tasks.metrics.classification), worst first.
        truth: with images.
        classes: names.
    """
    positions = _positions(truth)
    panels = []
    for row in worst[:_THUMBNAILS]:
        at = positions[row["case"]]
        depth = truth.array(at, "image").shape
        image = _plane(truth, at, depth[1] // 2 if len(depth) == 4 else None)
        names = [name for name, is_it in zip(classes, row["actual"], strict=True) if is_it == 1]
        caption = f"{row['case']}: {', '.join(names) or 'none'}, error {row['error']:.2f}"
        panels.append((caption, encode_png(draw_overlay(image, None, width=220))))
    return [Overlay("worst", "", "truth, and how far off the model was", panels)] if panels else []


def _positions(dataset: Dataset) -> dict[str, int]:
    return {name: at for at, name in enumerate(dataset.samples["sample_id"].to_pylist())}


def _plane(dataset: Dataset, at: int, slice_at: int | None) -> np.ndarray:
    """One slice of the image: (Y, X) of the first channel, or RGB (Y, X, 3)."""
    array = dataset.array(at, "image")
    if slice_at is not None:
        window: np.ndarray = array[slice(0, 1), slice(slice_at, slice_at + 1)]
        return np.asarray(window[0, 0])
    image = np.asarray(array[...])
    if image.shape[0] == 3 and image.dtype == np.uint8:
        return np.moveaxis(image, 0, -1)
    return np.asarray(image[0])
