"""Numbered instances to classes of voxels, and back."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from medray.errors import DataError
from medray.tasks import build_task
from medray.tasks.masks.instances import MOST, Instances, grow


def task_of(**options: object) -> Instances:
    made = build_task({"name": "instances", **options})
    assert isinstance(made, Instances)
    return made


LABEL = np.array(
    [
        [5, 5, 5, 5, 9, 9, 9, 0],
        [5, 5, 5, 5, 9, 9, 9, 0],
        [5, 5, 5, 5, 9, 9, 9, 0],
        [0, 0, 0, 0, 0, 0, 0, 0],
    ]
)
CLASSES = np.array(
    [
        [1, 1, 1, 2, 2, 1, 2, 0],  # at the image's rim nothing ends
        [1, 1, 1, 2, 2, 1, 2, 0],
        [2, 2, 2, 2, 2, 2, 2, 0],
        [0, 0, 0, 0, 0, 0, 0, 0],
    ]
)


def test_a_border_is_where_another_number_is_near() -> None:
    assert (task_of().places(LABEL) == CLASSES).all()
    wide = task_of(border=2).places(LABEL)
    assert wide[0].tolist() == [1, 1, 2, 2, 2, 2, 2, 0]
    assert wide.dtype == np.uint8


def test_instances_that_touch_come_back_as_they_were() -> None:
    made = task_of().split(CLASSES)
    assert made.dtype == np.uint16
    assert (made == np.where(LABEL == 5, 1, np.where(LABEL == 9, 2, 0))).all()


@pytest.mark.parametrize("shape", [(40, 50), (14, 30, 34)])
def test_balls_that_touch_come_back(shape: tuple[int, ...]) -> None:
    label = np.zeros(shape, int)
    middle = [size / 2 for size in shape[:-1]]
    for number, x in enumerate((8, 19), start=1):
        far = sum((at - c) ** 2 for at, c in zip(np.indices(shape), [*middle, x], strict=True))
        label[(far <= 36) & (label == 0)] = number
    task = task_of()
    made = task.split(task.places(label))
    assert set(np.unique(made)) == {0, 1, 2}
    assert (made == label).mean() > 0.998  # who has the voxels between them is a matter of order
    assert ((made > 0) == (label > 0)).all()


def test_what_is_too_thin_for_a_seed_is_an_instance_and_small_ones_can_go() -> None:
    classes = np.array([[2, 2, 0, 1, 1, 1, 0, 2]])
    assert task_of().split(classes).tolist() == [[2, 2, 0, 1, 1, 1, 0, 3]]
    assert task_of(min_voxels=2).split(classes).tolist() == [[2, 2, 0, 1, 1, 1, 0, 0]]
    assert task_of(min_voxels=4).split(classes).tolist() == [[0] * 8]


def test_seeds_grow_at_one_pace_and_not_over_gaps() -> None:
    seeds = np.array([[1, 0, 0, 0, 0, 2, 0, 0, 0]])
    inside = np.array([[1, 1, 1, 1, 1, 1, 0, 1, 1]], bool)
    assert grow(seeds, inside).tolist() == [[1, 1, 1, 2, 2, 2, 0, 0, 0]]


def test_more_than_a_mask_can_number_is_refused() -> None:
    classes = np.zeros((2 * MOST + 2, 1), np.uint8)
    classes[::2] = 1
    with pytest.raises(DataError, match="too-many-instances"):
        task_of().split(classes)
    assert task_of().split(classes[2:]).max() == MOST


def test_the_loss_is_cross_entropy_and_dice_of_the_classes() -> None:
    target = torch.from_numpy(task_of().places(LABEL)).long()[None]
    logits = torch.randn(1, 3, 4, 8, generator=torch.Generator().manual_seed(0))
    told = task_of(dice=0).loss(logits, target)
    torch.testing.assert_close(told[0], functional.cross_entropy(logits, target))
    certain = 40.0 * functional.one_hot(target, 3).movedim(-1, 1)
    assert task_of().loss(certain, target).item() == pytest.approx(0, abs=1e-5)


def test_validation_is_of_instances() -> None:
    task = task_of()
    perfect, merged = CLASSES, np.minimum(CLASSES, 1)
    rows = np.array([task.judge(perfect, LABEL), task.judge(merged, LABEL)])
    assert rows[0].tolist() == [1, 1, 1, 1]
    assert rows[1].tolist() == pytest.approx([2 * 12 / 21 / 3, (12 + 9) / 42, (12 + 9) / 42, 1])
    told = task.summarise(rows, None)
    assert set(told) == task.validates
    assert told["val_pq"] == pytest.approx((1 + 8 / 21) / 2)
    nothing = np.zeros((4, 8), int)
    assert np.isnan(task.judge(nothing, nothing)).all()


def test_a_mask_is_counted() -> None:
    voxels = np.bincount(task_of().split(CLASSES).ravel())
    assert task_of().counted(voxels) == {"instances": 2, "instance_voxels": [12, 9]}
