"""Pictures of slides for pages: the slide, small, and where a model looks."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from PIL import Image as Pillow

from medray.formats.image.raster import encode_png
from medray.storage.catalog.datasets import Dataset
from medray.storage.shards.samples import Sample
from medray.tasks.section import Picture

WIDTH = 360  # pixels of a panel at most
INK = np.array([220, 30, 0], np.float32)


def drawn(wanted: Sequence[Picture], truth: Dataset, predictions: Dataset) -> list[Picture]:
    """The pictures that a task asks for: each slide, and its attention over it.

    Args:
        wanted: which cases, and what is said of them.
        truth: slides with their overviews.
        predictions: with maps, where they were asked for.
    """
    own, answered = _positions(truth), _positions(predictions)
    made = []
    for picture in wanted:
        panels = []
        for case, words in picture.cases:
            if case not in own:
                continue
            number, row = truth.place(own[case])
            if "overview" not in truth.shards[number].names(row):
                continue
            overview = np.asarray(truth.array(own[case], "overview")[...])
            panels.append((words, encode_png(_sized(overview))))
            prediction = predictions.sample(answered[case]) if case in answered else None
            if prediction is not None and "heat" in prediction.arrays:
                looked = attended(overview, prediction)
                panels.append(("attention", encode_png(_sized(looked))))
        made.append(replace(picture, panels=panels))
    return made


def attended(overview: np.ndarray, prediction: Sample) -> np.ndarray:
    """An overview in grey, uint8 (3, height, width), inked where tiles are attended: the most
    attended one wholly, one without attention not at all.

    Args:
        overview: of the slide, uint8 (3, height, width).
        prediction: with its map, and `width` and `side` of the slide.
    """
    attention = np.nan_to_num(np.asarray(prediction.arrays["heat"])[0])
    side = prediction.row["side"] * overview.shape[2] / prediction.row["width"]
    places = [np.minimum(np.arange(n) // side, m - 1).astype(int)
              for n, m in zip(overview.shape[1:], attention.shape, strict=True)]  # fmt: skip
    share = (attention / max(float(attention.max()), 1e-9))[np.ix_(*places)]
    grey = np.broadcast_to(overview.mean(0), overview.shape)
    inked: np.ndarray = np.rint(grey + share * (INK[:, None, None] - grey)).astype(np.uint8)
    return inked


def _sized(pixels: np.ndarray) -> np.ndarray:
    """So that the longer side is WIDTH."""
    image = Pillow.fromarray(np.ascontiguousarray(np.moveaxis(pixels, 0, -1)))
    by = WIDTH / max(image.size)
    size = (max(1, round(image.width * by)), max(1, round(image.height * by)))
    return np.ascontiguousarray(np.moveaxis(np.asarray(image.resize(size)), -1, 0))


def _positions(dataset: Dataset) -> dict[str, int]:
    return {name: at for at, name in enumerate(dataset.samples["sample_id"].to_pylist())}
