"""Images with boxes: Pascal VOC, COCO, YOLO, and tables."""

from pathlib import Path
from typing import Any

from medray.errors import SpecError
from medray.formats.base import Input, Source
from medray.formats.image.boxes.beside import plan_beside
from medray.formats.image.boxes.options import BoxLayout, BoxOptions
from medray.formats.image.boxes.reading import sized
from medray.formats.image.boxes.tables import plan_coco, plan_table
from medray.formats.image.boxes.voc import read_voc
from medray.formats.image.boxes.yolo import read_yolo
from medray.formats.imaging.entries import unpacked
from medray.formats.imaging.objects import CLIPPED, OBJECTS, Placing, placed
from medray.storage.shards.records import Refusal

_CUSTOM: dict[str, tuple[str, str]] = {
    "voc": ("Annotations", "JPEGImages"),
    "yolo": ("labels", "images"),
    "coco": ("annotations.json", ""),
    "boxes-csv": ("boxes.csv", ""),
}
"""Of each layout where boxes and images lie, unless the options say so."""

__all__ = ["BoxLayout", "BoxOptions", "boxes_of_image", "named_paths", "plan_boxes"]


def _places(layout: BoxLayout, options: BoxOptions) -> tuple[dict[str, str], str]:
    """Where boxes are, by split, and where images are."""
    annotations, images = _CUSTOM[layout]
    told = options.annotations or annotations
    by_split = told if isinstance(told, dict) else {"": told}
    if len(by_split) > 1 and layout != "coco":
        raise SpecError(
            "boxes of several splits in a file each are read of COCO alone",
            code="bad-field",
            about="format.boxes.annotations",
            hint="give one path",
        )
    return by_split, options.images if options.images is not None else images


def named_paths(layout: BoxLayout, options: BoxOptions) -> list[tuple[str, str]]:
    """(option, path) of what must be there."""
    annotations, images = _places(layout, options)
    named = [("boxes.annotations", path) for path in annotations.values()]
    return named + [("boxes.images", images)] * bool(images)


def plan_boxes(
    source: Source, layout: BoxLayout, options: BoxOptions, *, required: bool
) -> tuple[list[Input], list[Refusal]]:
    """Images with their boxes.

    Args:
        source: of both.
        layout: of the files.
        options: where they lie.
        required: images that nobody has looked at are refused, where a layout can have some.

    Raises:
        SpecError: see the layouts.
    """
    annotations, images = _places(layout, options)
    (first, *_) = annotations.values()
    match layout:
        case "voc":
            lists = options.lists
            return plan_beside(source, images, first, ".xml", lists=lists, required=required)
        case "yolo":
            return plan_beside(source, images, first, ".txt", required=required)
        case "coco":
            return plan_coco(source, images, annotations)
        case "boxes-csv":
            return plan_table(source, images, first)


def boxes_of_image(
    item: Input, path: Path | None, layout: BoxLayout, classes: tuple[str, ...], image: Any
) -> tuple[dict[str, Any], list[Refusal]]:
    """Columns of an image with boxes, and its boxes that can't be meant.

    Args:
        item: of a plan of `plan_boxes`.
        path: of the file with its boxes, where it has one of its own.
        layout: of the files.
        classes: that are known; empty: any. Of YOLO their names.
        image: (C, Y, X).

    Raises:
        DataError: the file is unusable, or of an image of another size.
    """
    shape = (int(image.shape[1]), int(image.shape[2]))
    if path is not None:
        found = read_voc(path, shape) if layout == "voc" else read_yolo(path, shape, classes)
    elif "boxes" in item.extra:
        if "size" in item.extra:
            width, height = item.extra["size"]
            sized(width, height, shape)
        found = unpacked(item.extra["boxes"])
    else:
        return {OBJECTS: None, CLIPPED: 0}, []
    return placed(item.key, found, Placing(shape, classes))
