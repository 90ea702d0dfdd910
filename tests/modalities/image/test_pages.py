"""Pictures of cases: what a task asks for, of whatever a prediction holds."""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image

from medray.modalities.image.overlay import COLOURS
from medray.modalities.image.pages import drawn
from medray.storage.catalog.datasets import Dataset
from medray.storage.shards.samples import Sample
from medray.tasks import build_task
from medray.tasks.section import Picture

Make = Callable[[str, list[Sample]], Dataset]
TASK = build_task({"name": "segmentation", "classes": ["none", "a", "b"], "keep_largest": ["a"]})


def label(at: int) -> np.ndarray:
    mask = np.zeros((4, 24, 24), np.uint8)
    mask[at, 6:18, 6:18] = 1
    return mask


def data(make: Make) -> Dataset:
    image = np.zeros((1, 4, 24, 24), np.int16)
    row = {"spacing_mm": [2.0, 1.0, 1.0]}
    return make("truth", [Sample("c0", row, {"image": image, "label": label(2)})])


def test_masks_are_shown_where_they_cover_most(make_dataset: Make) -> None:
    given = make_dataset("masks", [Sample("c0", {}, {"label": label(2)})])
    wanted = Picture("best", "mean Dice 1.000", [("c0", "")])
    (made,) = drawn([wanted], TASK, data(make_dataset), given)
    assert made.caption == "mean Dice 1.000 · slice 3 of 4"
    assert [name for name, _ in made.panels] == ["image", "truth", "prediction"]
    assert made.legend == [("a", COLOURS[0]), ("b", COLOURS[1])]
    truth, prediction = made.panels[1][1], made.panels[2][1]
    assert truth == prediction
    assert truth != made.panels[0][1]


def test_of_probabilities_the_mask_is_shown_that_is_scored(make_dataset: Make) -> None:
    speck = label(2)
    speck[2, 0, 0] = 1  # no part of the largest
    probability = np.stack([speck == index for index in range(3)]).astype(np.float32)
    given = make_dataset("maps", [Sample("c0", {}, {"probability": probability})])
    (made,) = drawn([Picture("best", "", [("c0", "")])], TASK, data(make_dataset), given)
    assert made.panels[1][1] == made.panels[2][1]


def test_images_are_shown_beside_each_other(make_dataset: Make) -> None:
    task = build_task({"name": "classification", "classes": ["no", "yes"]})
    images = [Sample(f"s{i}", {}, {"image": np.full((1, 8, 8), i, np.uint8)}) for i in range(3)]
    truth, given = make_dataset("images", images), make_dataset("given", [Sample("s1", {})])
    wanted = Picture("worst", "said", [("s2", "no, error 1.00"), ("s0", "yes, error 0.90")])
    (made,) = drawn([wanted], task, truth, given)
    assert [caption for caption, _ in made.panels] == ["s2: no, error 1.00", "s0: yes, error 0.90"]
    assert Image.open(io.BytesIO(made.panels[0][1])).size == (220, 220)
    assert drawn([wanted], task, given, given) == []  # a truth without images
