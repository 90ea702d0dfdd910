"""Numbered instances to classes of voxels, and back."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from medray.errors import DataError
from medray.tasks import build_task
from medray.tasks.masks.instances import MOST, Instances, grow, parted


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


def discs(*columns: float) -> np.ndarray:
    """One seed of discs of radius 6 in a row."""
    y, x = np.indices((20, 60))
    inside = np.zeros(y.shape, bool)
    for column in columns:
        inside |= (y - 10) ** 2 + (x - column) ** 2 <= 36
    return inside.astype(int)


def test_seeds_are_parted_at_necks_that_are_deep_enough() -> None:
    # Discs 11 apart meet in a chord of half sqrt(36 - 5.5²) = 2.4, those 5 apart of 5.5.
    whole = discs(12, 23)
    parts, count = parted(whole, 1)
    assert count == 2
    assert {parts[10, 12], parts[10, 23]} == {1, 2}
    assert parted(discs(12, 17), 1)[1] == 1
    # Centres are 7 deep and the neck 2 to 3, so they are no more than 5 deeper.
    assert parted(whole, 5.5)[1] == 1


def test_a_convex_seed_stays_whole_and_others_keep_apart() -> None:
    label = np.zeros((30, 50), int)
    label[2:6, 2:45] = 1
    label[10:28, 3:20] = 2
    y, x = np.indices(label.shape)
    label[((y - 19) / 9) ** 2 + ((x - 35) / 12) ** 2 <= 1] = 3
    parts, count = parted(label, 0.5)
    assert count == 3
    assert (parts == label).all()


def test_nuclei_whose_border_was_missed_are_told_apart() -> None:
    classes = discs(12, 23).astype(np.uint8)
    assert task_of(neck=0).split(classes).max() == 1
    made = task_of().split(classes)
    assert made.max() == 2
    assert ((made > 0) == (classes > 0)).all(), "what was parted is grown again"
    left, right = made[10, 12], made[10, 23]
    assert abs(int((made == left).sum()) - int((made == right).sum())) <= 15


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
