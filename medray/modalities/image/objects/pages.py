"""Pictures of cases for a page, and overlays: boxes drawn over images."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageDraw

from medray.modalities.image.overlay import Pixels, draw_overlay, encode_png, flips
from medray.modalities.image.pages import plane_of, positions, stored_at
from medray.storage.catalog.datasets import Dataset
from medray.tasks.objects import Compared, ObjectTask
from medray.tasks.section import Colour, Picture

# Told apart by colour-blind readers too (after Okabe & Ito 2008).
COLOURS: dict[str, Colour] = {
    "found": (0, 158, 115),
    "missed": (240, 228, 66),
    "right": (86, 180, 233),
    "false": (213, 94, 0),
}
WORDS = {"found": "found", "missed": "missed", "right": "right", "false": "false alarm"}
WIDTH = 480


@dataclass(frozen=True)
class Frame:
    """A box to be drawn on one slice: rows and columns in voxels, and its colour."""

    edges: tuple[float, float, float, float]
    colour: Colour


def draw_boxes(
    image: np.ndarray,
    frames: Sequence[Frame],
    *,
    spacing_mm: tuple[float, float] = (1.0, 1.0),
    turn: tuple[bool, bool] = (False, False),
    width: int = WIDTH,
) -> Pixels:
    """One slice with boxes.

    Args:
        image: (Y, X), or RGB (Y, X, 3); as of `draw_overlay`.
        frames: with edges y, x, y, x.
        spacing_mm: of (Y, X).
        turn: see `overlay.flips`.
        width: of the result in pixels.

    Returns:
        RGB, uint8 (height, width, 3).
    """
    rows, columns = image.shape[:2]
    pixels = draw_overlay(image, None, spacing_mm=spacing_mm, turn=turn, width=width)
    down, across = pixels.shape[0] / rows, pixels.shape[1] / columns
    canvas = Image.fromarray(pixels)
    pen = ImageDraw.Draw(canvas)
    for frame in frames:
        y0, x0, y1, x1 = frame.edges
        if turn[0]:
            y0, y1 = rows - y1, rows - y0
        if turn[1]:
            x0, x1 = columns - x1, columns - x0
        box = (x0 * across, y0 * down, x1 * across - 1, y1 * down - 1)
        box = (box[0], box[1], max(box[0], box[2]), max(box[1], box[3]))
        pen.rectangle(box, outline=frame.colour, width=max(1, width // 240))
    made: Pixels = np.asarray(canvas)
    return made


def on_slice(found: Sequence[Compared], slice_at: int | None) -> list[Frame]:
    """Those that are on a slice along the first axis; None: of an image without slices, all."""
    frames = []
    for one in found:
        begin, end = one.begin, one.end
        if slice_at is not None and not begin[0] <= slice_at + 0.5 <= end[0]:
            continue
        edges = (begin[-2], begin[-1], end[-2], end[-1])
        frames.append(Frame(edges, COLOURS[one.what]))
    return frames


def busiest(found: Sequence[Compared], depth: int) -> int:
    """The slice with most mistakes, then with most boxes; the middle one where there are none."""
    counts = np.zeros(depth)
    for one in found:
        first, last = int(one.begin[0]), int(np.ceil(one.end[0]))
        counts[max(0, first) : last] += 1.0 if one.what in ("missed", "false") else 0.01
    return int(counts.argmax()) if counts.any() else depth // 2


def drawn(
    wanted: Sequence[Picture], task: ObjectTask, truth: Dataset, predictions: Dataset
) -> list[Picture]:
    """The pictures that a task asks for: what was marked beside what was called.

    Args:
        wanted: which cases, and what is said of them.
        task: compares them.
        truth: with images and objects.
        predictions: with objects.
    """
    if not wanted or "image" not in truth.shards[0].names(0):
        return []
    places, answered = positions(truth), positions(predictions)
    made = []
    for picture in wanted:
        for case, words in picture.cases:
            stored = stored_at(truth, places[case])
            found = task.compared(stored.row, stored_at(predictions, answered[case]).row)
            shape = stored.array("image").shape
            slice_at = busiest(found, shape[1]) if len(shape) == 4 else None
            image = plane_of(stored, slice_at)
            spacing = (stored.row.get("spacing_mm") or [1.0, 1.0])[-2:]
            panels = []
            for name, kinds in (("marked", ("found", "missed")), ("called", ("right", "false"))):
                pixels = draw_boxes(
                    image,
                    on_slice([one for one in found if one.what in kinds], slice_at),
                    spacing_mm=(spacing[0], spacing[1]),
                    turn=flips(stored.row.get("affine")),
                )
                panels.append((name, encode_png(pixels)))
            told = "" if slice_at is None else f"slice {slice_at + 1} of {shape[1]}"
            caption = " · ".join(filter(None, (case, picture.caption, words, told)))
            legend = [(WORDS[what], colour) for what, colour in COLOURS.items()]
            made.append(replace(picture, caption=caption, panels=panels, legend=legend))
    return made
