"""Centres and faces: what is learnt of boxes, and boxes read again."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from medray.errors import DataError, SpecError
from medray.tasks import build_task
from medray.tasks.detection import merging
from medray.tasks.detection.centres import centre_loss, peaks
from medray.tasks.detection.merging import iou_of, merged
from medray.tasks.detection.validation import BINS, histogram, summary_of

TASK = {"name": "detection", "classes": ["one", "two"]}


def maps_of(boxes: list[tuple[int, list[float]]], cells: tuple[int, ...]) -> Tensor:
    """What a perfect network answers: (1, 2 + 2 * axes, *cells)."""
    axes = len(cells)
    maps = torch.full((1, 2 + 2 * axes, *cells), -20.0)
    maps[:, 2:] = 0
    for kind, edges in boxes:
        begin, end = edges[:axes], edges[axes:]
        at = tuple(int((low + high) / 2) for low, high in zip(begin, end, strict=True))
        maps[(0, kind, *at)] = 20.0
        for axis in range(axes):
            middle = at[axis] + 0.5
            maps[(0, 2 + axis, *at)] = math.log(middle - begin[axis])
            maps[(0, 2 + axes + axis, *at)] = math.log(end[axis] - middle)
    return maps


def target_of(boxes: list[tuple[int, list[float]]], cells: tuple[int, ...]) -> dict[str, Tensor]:
    edges = torch.tensor([one for _, one in boxes])
    return {
        "boxes": (edges / torch.tensor([*cells, *cells], dtype=torch.float32))[None],
        "kinds": torch.tensor([[kind for kind, _ in boxes]]),
        "ignored": torch.zeros(1, len(boxes), dtype=torch.bool),
    }


TWO = [(0, [2.0, 3.0, 7.0, 9.0]), (1, [10.0, 1.5, 14.0, 5.5])]
THREE = [(1, [1.0, 2.0, 3.0, 5.0, 7.0, 6.0])]


@pytest.mark.parametrize(("boxes", "cells"), [(TWO, (16, 12)), (THREE, (6, 9, 8))])
def test_boxes_are_read_as_they_were_written(boxes: list, cells: tuple[int, ...]) -> None:
    (found,) = peaks(maps_of(boxes, cells), 0.01, 100)
    assert found[:, -1].tolist() == [kind for kind, _ in boxes]
    assert found[:, :-2] == pytest.approx(np.array([one for _, one in boxes]), abs=1e-4)
    assert found[:, -2] == pytest.approx(1.0)


def test_only_the_highest_of_a_class_are_told() -> None:
    maps = torch.full((1, 6, 8, 8), -20.0)
    for at, logit in ((1, 1.0), (4, 3.0), (6, 2.0)):
        maps[0, 0, at, at] = logit
    (found,) = peaks(maps, 0.01, 2)
    assert sorted(found[:, -2].tolist()) == pytest.approx([1 / (1 + math.exp(-s)) for s in (2, 3)])


@pytest.mark.parametrize(("boxes", "cells"), [(TWO, (16, 12)), (THREE, (6, 9, 8))])
def test_a_perfect_answer_has_no_loss_at_its_centres(boxes: list, cells: tuple[int, ...]) -> None:
    axes = len(cells)
    perfect, target = maps_of(boxes, cells), target_of(boxes, cells)
    # Cells beside a centre learn the same faces.
    for kind, edges in boxes:
        grid = torch.stack(torch.meshgrid(*(torch.arange(n) + 0.5 for n in cells), indexing="ij"))
        low = torch.tensor(edges[:axes]).view(-1, *[1] * axes)
        high = torch.tensor(edges[axes:]).view(-1, *[1] * axes)
        inside = ((grid > low) & (grid < high)).all(0)
        perfect[0, 2 : 2 + axes, inside] = (grid - low)[:, inside].log()
        perfect[0, 2 + axes :, inside] = (high - grid)[:, inside].log()
        assert kind in (0, 1)
    assert centre_loss(perfect, target, 5.0).item() == pytest.approx(0, abs=1e-4)


def test_the_loss_by_hand() -> None:
    # One object in one cell: p = 0.5 at its centre and everywhere else, a box of twice the size.
    maps = torch.zeros(1, 6, 3, 3)
    maps[:, 1] = -30.0
    target = target_of([(0, [1.0, 1.0, 2.0, 2.0])], (3, 3))
    focal = 9 * 0.25 * math.log(2)  # eight empty cells and one that is found
    # Distances are exp(0) = 1, so 2 x 2 about 1 x 1: IoU = 1/4 and the hull is the box.
    assert centre_loss(maps, target, 2.0).item() == pytest.approx(focal + 2 * 0.75, rel=1e-5)
    assert centre_loss(maps, target, 0.0).item() == pytest.approx(focal, rel=1e-5)


def test_what_is_ignored_is_neither_learnt_nor_held_against_an_answer() -> None:
    target = target_of([(0, [1.0, 1.0, 4.0, 4.0])], (6, 6))
    target["ignored"][:] = True
    maps = torch.full((1, 6, 6, 6), -30.0)
    maps[0, 0, 1:4, 1:4] = 5.0
    assert centre_loss(maps, target, 5.0).item() == pytest.approx(0, abs=1e-6)
    maps[0, 0, 5, 5] = 5.0
    assert centre_loss(maps, target, 5.0).item() > 1


def test_padding_is_no_object_and_an_empty_image_has_a_loss() -> None:
    target = target_of([(0, [1.0, 1.0, 4.0, 4.0])], (6, 6))
    padded = {
        "boxes": torch.cat([target["boxes"], torch.zeros(1, 3, 4)], 1),
        "kinds": torch.cat([target["kinds"], torch.full((1, 3), -1)], 1),
        "ignored": torch.zeros(1, 4, dtype=torch.bool),
    }
    maps = torch.randn(1, 6, 6, 6, generator=torch.Generator().manual_seed(0))
    assert centre_loss(maps, padded, 5.0).item() == centre_loss(maps, target, 5.0).item()
    padded["kinds"][:] = -1
    p = maps[:, :2].sigmoid()
    assert centre_loss(maps, padded, 5.0).item() == pytest.approx(
        float((-(p**2) * torch.log(1 - p)).sum()), rel=1e-5
    )


def test_the_smaller_of_two_boxes_has_the_cells_that_both_hold() -> None:
    boxes = [(0, [0.0, 0.0, 12.0, 12.0]), (0, [4.0, 4.0, 8.0, 8.0])]
    cells = (12, 12)
    maps = torch.full((1, 6, 12, 12), -30.0)
    maps[:, 2:] = math.log(2)  # right for the middle of the small one, and for nothing else
    both = centre_loss(maps, target_of(boxes, cells), 1.0).item()
    alone = centre_loss(maps, target_of(boxes[:1], cells), 1.0).item()
    assert both < alone


def test_overlaps_by_hand() -> None:
    one = np.array([[0, 0, 2, 2]])
    other = np.array([[1, 1, 3, 3], [0, 0, 2, 2], [5, 5, 6, 6]])
    assert iou_of(one, other)[0].tolist() == pytest.approx([1 / 7, 1, 0])
    assert iou_of(np.array([[0, 0, 0, 2, 2, 2]]), np.array([[0, 0, 1, 2, 2, 3]])) == 1 / 3


DOUBLES = np.array([
    [0, 0, 10, 10, 0.9, 0], [1, 0, 11, 10, 0.6, 0],
    [0, 0, 10, 10, 0.8, 1], [20, 20, 30, 30, 0.3, 0],
])  # fmt: skip


def test_doubles_of_a_class_are_told_once() -> None:
    kept = merged(DOUBLES, 0.5, "nms", 100)
    assert kept.tolist() == [DOUBLES[at].tolist() for at in (0, 2, 3)]
    assert merged(DOUBLES, 0.95, "nms", 100).shape == (4, 6)
    assert len(merged(DOUBLES, 0.5, "nms", 1)) == 2
    assert merged(DOUBLES[:0], 0.5, "nms", 100).shape == (0, 6)


def test_many_classes_are_told_apart_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether all boxes are held against each other at once, or class by class."""
    random = np.random.default_rng(0)
    begin, kinds = random.uniform(0, 20, (60, 2)), random.integers(0, 3, (60, 1))
    edges = [begin, begin + random.uniform(4, 12, (60, 2))]
    boxes = np.concatenate([*edges, random.integers(1, 9, (60, 1)) / 9, kinds], 1)
    few = merged(boxes, 0.4, "nms", 100)
    monkeypatch.setattr(merging, "FEW", 0)
    assert 0 < len(few) < 60
    assert merged(boxes, 0.4, "nms", 100).tolist() == few.tolist()


def test_fused_edges_are_the_mean_by_scores() -> None:
    best = merged(DOUBLES, 0.5, "weighted", 100)[0]
    share = 0.6 / 1.5
    assert best.tolist() == pytest.approx([share, 0, 10 + share, 10, 0.9, 0])


def test_validation_adds_up_over_images() -> None:
    task = build_task(TASK)
    truth = np.array([[0, 0, 10, 10, 0, 0], [20, 20, 30, 30, 0, 0], [5, 5, 9, 9, 1, 0]])
    answers = [
        np.array([[0, 0, 10, 10, 0.905, 0], [40, 40, 50, 50, 0.805, 0], [5, 5, 9, 9, 0.505, 1]]),
        np.array([[20, 20, 30, 30, 0.705, 0]]),
    ]
    table = np.array([task.judge(one, truth) for one in answers])
    assert table.shape == (2, task.columns)
    found = task.summarise(table, None)
    # Class one: 4 objects, hits at ranks 1 and 3 of 3; class two: 1 of 2 found at once.
    assert found["val_map50_one"] == pytest.approx((26 + 25 * 2 / 3) / 101)
    assert found["val_map50_two"] == pytest.approx(51 / 101)
    assert found["val_map50"] == pytest.approx(
        (found["val_map50_one"] + found["val_map50_two"]) / 2
    )
    # False alarms an image: 0 down to 0.905, 0.5 from 0.805 on.
    assert found["val_froc_one"] == pytest.approx((2 * 0.25 + 5 * 0.5) / 7)
    assert task.chosen(found) == {"called_at": [0.7, 0.5]}
    assert set(task.validates) < set(found)


def test_bins_lose_little_of_average_precision() -> None:
    generator = np.random.default_rng(3)
    scores = np.sort(generator.uniform(0, 1, 400))[::-1]
    right = generator.uniform(0, 1, 400) < scores
    row = np.zeros(1 + 4 * BINS)
    iou = np.where(np.eye(400, dtype=bool) & right[None], 1.0, 0.0)
    row[:] = histogram(scores, iou, np.zeros(400), 0.1)
    from medray.tasks.metrics.detection import Pool, average_precision

    exact = average_precision(
        Pool.of([400], [scores.tolist()], [right], [np.zeros(400, bool)]), np.ones((1, 1))
    )[0]
    assert summary_of(row[None], ["one"])["val_map50"] == pytest.approx(exact, abs=3e-3)


def test_rows_say_what_an_answer_calls() -> None:
    task = build_task({**TASK, "called_at": [0.5, 0.9]})
    found = np.array([[1, 2, 3, 6, 0.8, 0], [1, 2, 3, 6, 0.7, 1]], np.float32)
    told = task.told(found, [2.0, 0.5])["objects"]
    assert [one["called"] for one in told] == [True, False]
    assert told[0]["size_mm"] == [4.0, 2.0]
    assert told[0]["begin"] == [1, 2]
    assert "size_mm" not in task.told(found, None)["objects"][0]


@pytest.mark.parametrize(
    ("objects", "code"),
    [
        (None, "no-objects"),
        ([{"class": "one"}], "bad-objects"),
        ([{"class": "one", "begin": [1, 2], "end": [3]}], "bad-objects"),
        ([{"class": "one", "begin": [1, 2, 3], "end": [3, 4, 5]}], "bad-objects"),
        ([{"class": "three", "begin": [1, 2], "end": [3, 4]}], "unknown-class"),
    ],
)
def test_truth_that_cannot_be_learnt_is_named(objects: object, code: str) -> None:
    with pytest.raises(DataError) as caught:
        build_task(TASK).boxes({"objects": objects}, 2)
    assert caught.value.code == code


def test_a_call_needs_a_score_for_each_class() -> None:
    with pytest.raises(SpecError) as caught:
        build_task({**TASK, "called_at": [0.5]})
    assert caught.value.code == "bad-field"
