"""Pictures of cases for a page: masks over images, and whole images."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from medray.modalities.image.overlay import COLOURS, best_slice, draw_overlay, encode_png, flips
from medray.modalities.image.radiology.planes import volume_of
from medray.storage.catalog.datasets import Dataset
from medray.storage.shards.stored import InShard, Stored
from medray.tasks.base import Task, whole
from medray.tasks.section import Colour, Picture, Volume

WIDTH = 220  # of a picture among several, in pixels


def drawn(
    wanted: Sequence[Picture], task: Task, truth: Dataset, predictions: Dataset
) -> list[Picture]:
    """The pictures that a task asks for.

    Args:
        wanted: which cases, and what is said of them.
        task: of masks: a case is its image, the truth and the prediction; else its image alone.
        truth: with images, and labels where the task is of masks.
        predictions: with labels, or probabilities of classes, where the task is of masks.
    """
    if not wanted or "image" not in truth.shards[0].names(0):
        return []
    places = positions(truth)
    if task.answers != "place":
        return [_images(picture, truth, places) for picture in wanted]
    answered = positions(predictions)
    return [
        _masks(
            replace(picture, caption=_joined(picture.caption, words), cases=[(case, words)]),
            task,
            stored_at(truth, places[case]),
            stored_at(predictions, answered[case]),
        )
        for picture in wanted
        for case, words in picture.cases
    ]


def leafed(
    wanted: Sequence[Picture], task: Task, truth: Dataset, predictions: Dataset
) -> list[Volume]:
    """The cases that a task asks for, to be leafed through with truth and prediction; of volumes.

    Args:
        wanted: see `drawn`, as the other arguments.
    """
    if task.answers != "place" or not wanted or "image" not in truth.shards[0].names(0):
        return []
    places, answered = positions(truth), positions(predictions)
    made = []
    for picture, (case, words) in [(one, case) for one in wanted for case in one.cases]:
        stored = stored_at(truth, places[case])
        if len(stored.array("image").shape) != 4:
            continue
        given = whole(task.given(stored_at(predictions, answered[case])), "label")
        masks = {"truth": stored.array("label"), "prediction": given}
        said = _joined(picture.caption, words)
        made.append(volume_of(picture.title, said, stored, masks, _legend(task)))
    return made


def _legend(task: Task) -> list[tuple[str, Colour]]:
    named = () if task.numbered else task.classes[1:]
    colours = [COLOURS[number % len(COLOURS)] for number in range(len(named))]
    return list(zip(named, colours, strict=True))


def _masks(picture: Picture, task: Task, truth: Stored, prediction: Stored) -> Picture:
    """Image, truth and prediction of one slice: that where the masks cover most."""
    actual = np.asarray(truth.array("label")[...])
    predicted = whole(task.given(prediction), "label")
    caption = picture.caption
    slice_at = best_slice([actual, predicted]) if actual.ndim == 3 else None
    if slice_at is not None:
        caption = _joined(caption, f"slice {slice_at + 1} of {len(actual)}")
    image = plane_of(truth, slice_at)
    spacing = (truth.row.get("spacing_mm") or [1.0, 1.0])[-2:]
    panels = []
    for name, labels in (("image", None), ("truth", actual), ("prediction", predicted)):
        pixels = draw_overlay(
            image,
            labels if labels is None or slice_at is None else labels[slice_at],
            spacing_mm=(spacing[0], spacing[1]),
            turn=flips(truth.row.get("affine")),
        )
        panels.append((name, encode_png(pixels)))
    return replace(picture, caption=caption, panels=panels, legend=_legend(task))


def pictured(picture: Picture, data: Dataset) -> Picture:
    """A picture with an image of each of its cases."""
    return _images(picture, data, positions(data))


def _images(picture: Picture, truth: Dataset, places: dict[str, int]) -> Picture:
    """An image of each case; of a volume its middle slice."""
    panels = []
    for case, words in picture.cases:
        stored = stored_at(truth, places[case])
        shape = stored.array("image").shape
        image = plane_of(stored, shape[1] // 2 if len(shape) == 4 else None)
        pixels = encode_png(draw_overlay(image, None, width=WIDTH))
        panels.append((f"{case}: {words}", pixels))
    return replace(picture, panels=panels)


def stored_at(dataset: Dataset, at: int) -> Stored:
    shard, row = dataset.place(at)
    return InShard(dataset.shards[shard], row)


def positions(dataset: Dataset) -> dict[str, int]:
    return {name: at for at, name in enumerate(dataset.samples["sample_id"].to_pylist())}


def _joined(*parts: str) -> str:
    return " · ".join(filter(None, parts))


def plane_of(stored: Stored, slice_at: int | None) -> np.ndarray:
    """One slice of the image: (Y, X) of the first channel, or RGB (Y, X, 3)."""
    array = stored.array("image")
    if slice_at is not None:
        window: np.ndarray = array[slice(0, 1), slice(slice_at, slice_at + 1)]
        return np.asarray(window[0, 0])
    image = np.asarray(array[...])
    if image.shape[0] == 3 and image.dtype == np.uint8:
        return np.moveaxis(image, 0, -1)
    return np.asarray(image[0])
