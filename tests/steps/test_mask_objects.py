"""Masks to objects: a box of every connected part."""

import numpy as np
import pytest

from medray.errors import DataError
from medray.steps.transform.transforms.mask_objects import MaskObjects
from medray.storage.shards.samples import Sample
from medray.storage.shards.stored import InMemory, whole


def made(label: np.ndarray, **options: object) -> Sample:
    image = np.arange(label.size, dtype=np.int16).reshape(1, *label.shape)
    row = {"subject": "p", "label_voxels": [1], "foreground_mean": 2.0, "image_mean": 3.0}
    sample = InMemory(Sample("s", row, {"image": image, "label": label}))
    kind = MaskObjects(MaskObjects.Options(**options), {}, {})
    (one,) = kind.apply(sample)
    assert np.array_equal(whole(one.arrays["image"]), image)
    return one


def boxes(sample: Sample) -> list[tuple[str, list[float], list[float]]]:
    return [(one["class"], one["begin"], one["end"]) for one in sample.row["objects"]]


def test_every_part_of_a_class_is_an_object() -> None:
    label = np.zeros((6, 8), np.uint8)
    label[0:2, 0:3] = 1
    label[2, 3] = 1  # over a corner
    label[5, 7] = 1
    label[4:6, 0:2] = 2
    sample = made(label, classes=["one", "two"])
    assert boxes(sample) == [
        ("one", [0, 0], [3, 4]),
        ("one", [5, 7], [6, 8]),
        ("two", [4, 0], [6, 2]),
    ]
    assert set(sample.row) == {"subject", "image_mean", "objects", "objects_clipped"}
    assert boxes(made(label, classes=["one", "two"], min_voxels=4)) == [
        ("one", [0, 0], [3, 4]),
        ("two", [4, 0], [6, 2]),
    ]
    hard = made(label, classes=["one", "two"], difficult_below=4).row["objects"]
    assert [one["difficult"] for one in hard] == [False, True, False]


def test_numbered_objects_may_touch() -> None:
    label = np.zeros((2, 4, 4), np.uint16)
    label[:, :, :2], label[:, :2, 2:] = 300, 7
    sample = made(label, classes=["cell"], instances=True)
    assert boxes(sample) == [("cell", [0, 0, 2], [2, 2, 4]), ("cell", [0, 0, 0], [2, 4, 2])]


def test_an_empty_mask_has_no_objects_and_an_unknown_class_is_named() -> None:
    assert made(np.zeros((3, 3), np.uint8), classes=["one"]).row["objects"] == []
    with pytest.raises(DataError) as caught:
        made(np.full((3, 3), 2, np.uint8), classes=["one"])
    assert caught.value.code == "unknown-label"
