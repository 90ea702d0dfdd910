import numpy as np
import pytest
import torch
from torch.nn import functional

from medray.errors import DataError, SpecError
from medray.storage.shards.samples import Sample
from medray.tasks import TASKS, build_task
from medray.tasks.masks.voxel_loss import SMOOTH

CLASSES = ["background", "a", "b"]


def task_of(**options: object):
    frequencies = options.pop("frequencies", None)
    return build_task({"name": "segmentation", "classes": CLASSES, **options}, frequencies)


def batch(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(4, 3, 5, 6, generator=generator)
    return logits, torch.randint(0, 3, (4, 5, 6), generator=generator)


def test_cross_entropy_is_torchs_mean_over_voxels() -> None:
    logits, target = batch()
    got = task_of(dice=0).loss(logits, target)
    wanted = functional.cross_entropy(logits, target, reduction="none").mean((1, 2))
    assert torch.allclose(got, wanted)


def test_cross_entropy_smoothed_and_weighted_is_torchs() -> None:
    logits, target = batch()
    got = task_of(dice=0, label_smoothing=0.1).loss(logits, target)
    wanted = functional.cross_entropy(logits, target, reduction="none", label_smoothing=0.1)
    assert torch.allclose(got, wanted.mean((1, 2)))
    weighted = task_of(dice=0, class_weights=(1, 2, 3)).loss(logits, target)
    torchs = functional.cross_entropy(
        logits, target, weight=torch.tensor([1.0, 2, 3]), reduction="none"
    )
    assert torch.allclose(weighted, torchs.mean((1, 2)))


def test_dice_loss_by_hand() -> None:
    logits, target = batch()
    p = logits.softmax(1)
    one_hot = functional.one_hot(target, 3).movedim(-1, 1)
    for background in (False, True):
        first = 0 if background else 1
        both, size = (p * one_hot).sum((2, 3)), (p + one_hot).sum((2, 3))
        dice = (2 * both + SMOOTH) / (size + SMOOTH)
        got = task_of(cross_entropy=0, dice_background=background).loss(logits, target)
        assert torch.allclose(got, 1 - dice[:, first:].mean(1), atol=1e-6)
    both, size = (p * one_hot).sum((0, 2, 3)), (p + one_hot).sum((0, 2, 3))
    got = task_of(cross_entropy=0, dice_over="batch").loss(logits, target)
    assert torch.allclose(got, (1 - (2 * both / size)[1:].mean()).expand(4), atol=1e-5)


def test_focal_loss_forgets_what_is_right() -> None:
    target = torch.zeros(1, 2, 2, dtype=torch.long)
    sure = torch.tensor([6.0, 0, 0]).view(1, 3, 1, 1).expand(1, 3, 2, 2)
    unsure = torch.zeros(1, 3, 2, 2)
    plain, focal = task_of(dice=0), task_of(dice=0, focal_gamma=2)
    p = 1 / 3
    assert focal.loss(unsure, target).item() == pytest.approx(-np.log(p) * (1 - p) ** 2, rel=1e-5)
    assert focal.loss(sure, target) < 1e-4 * plain.loss(sure, target)


def test_deep_supervision_halves_the_weight_of_each_level() -> None:
    logits, target = batch()
    coarse = torch.randn(4, 3, 2, 3)
    task = task_of(dice=0)
    shrunk = functional.interpolate(target[:, None].float(), (2, 3))[:, 0].long()
    wanted = (task.loss(logits, target) + 0.5 * task.loss(coarse, shrunk)) / 1.5
    assert torch.allclose(task.loss([logits, coarse], target), wanted)


def test_loss_per_sample_does_not_hang_on_the_batch() -> None:
    logits, target = batch()
    task = task_of(class_weights="balanced", frequencies=[0.9, 0.06, 0.04])
    whole = task.loss(logits, target)
    assert torch.allclose(task.loss(logits[1:3], target[1:3]), whole[1:3])


def test_balanced_weights_keep_the_mean_at_one() -> None:
    logits, target = torch.zeros(1, 3, 10, 10), torch.zeros(1, 10, 10, dtype=torch.long)
    target[0, 0, :6], target[0, 1, :4] = 1, 2
    task = task_of(dice=0, class_weights="balanced", frequencies=[0.9, 0.06, 0.04])
    # Uniform logits: log 3 per voxel, times a mean weight of 1.
    assert task.loss(logits, target).item() == pytest.approx(np.log(3), rel=1e-5)


def test_weights_must_be_one_per_class() -> None:
    with pytest.raises(SpecError, match="class-weights"):
        task_of(class_weights=(1, 2))


def test_validation_means_over_cases_then_classes() -> None:
    task = task_of(keep_largest=[])
    truth = np.array([[0, 1, 1], [2, 2, 0]], np.uint8)
    perfect = task.judge(truth, truth)
    half = task.judge(np.array([[0, 1, 0], [2, 2, 0]], np.uint8), truth)
    without = task.judge(np.zeros((2, 3), np.uint8), np.zeros((2, 3), np.uint8))
    assert perfect == [1.0, 1.0]
    assert half == [pytest.approx(2 / 3), 1.0]
    metrics = task.summarise(np.array([perfect, half, without]), None)
    assert metrics["val_dice_a"] == pytest.approx((1 + 2 / 3) / 2)
    assert metrics["val_dice_b"] == 1.0
    assert metrics["val_dice"] == pytest.approx((1 + 5 / 6) / 2)


def kept(labels: np.ndarray, **options: object) -> np.ndarray:
    return np.concatenate(list(task_of(**options).postprocess(np.array_split(labels, 3))))


def test_postprocess_keeps_the_largest_part_and_drops_small_ones() -> None:
    labels = np.zeros((8, 8), np.uint8)
    labels[0:3, 0:3], labels[5, 5:7], labels[7, 0] = 1, 1, 2
    assert kept(labels, keep_largest=["a", "b"]).sum() == 9 + 2
    assert kept(labels, keep_largest=["a"]).sum() == 9 + 2
    assert kept(labels, keep_largest=["b"]).sum() == labels.sum()
    assert kept(labels, keep_largest=["*"]).sum() == 9
    assert labels[5, 5] == 1  # the input stays as it is
    small = kept(labels, min_voxels=2)
    assert small[5, 5] == 1
    assert small[7, 0] == 0
    with pytest.raises(SpecError, match="unknown-class"):
        task_of(keep_largest=["c"])
    for plain in ({}, {"keep_largest": []}):
        assert np.array_equal(kept(labels, **plain), labels)


def test_parts_that_touch_by_a_corner_are_one() -> None:
    labels = np.eye(5, dtype=np.uint8)
    assert np.array_equal(kept(labels, keep_largest=["a"]), labels)


def cohort() -> list[tuple[np.ndarray, np.ndarray]]:
    """(answer, truth): a false part of class a, and two true ones of class b."""
    made = []
    for size in (3, 4):
        truth = np.zeros((8, 16, 16), np.uint8)
        truth[1:4, 1 : 1 + size, 1:5] = 1
        truth[1:4, 8:10, 1:5] = truth[1:4, 8:10, 12:15] = 2
        answer = truth.copy()
        answer[6, 14, 10:14] = 1
        made.append((answer, truth))
    return made


def test_the_validation_chooses_whose_largest_part_is_kept() -> None:
    task = task_of()
    table = np.array([task.judge(answer, truth) for answer, truth in cohort()])
    assert table.shape == (2, task.columns)
    metrics = task.summarise(table, None)
    plain = task_of(keep_largest=[])
    few = plain.summarise(np.array([plain.judge(a, t) for a, t in cohort()]), None)
    assert {k: v for k, v in metrics.items() if "gain" not in k} == few
    assert task.chosen(metrics) == {"keep_largest": ["a"]}
    gain = metrics["val_gain_largest_a"]
    assert gain == pytest.approx(1 - metrics["val_dice_a"])
    assert task_of(**task.chosen(metrics)).describe() == [
        "of a only the largest connected part is kept"
    ]
    perfect = np.array([task.judge(truth, truth) for _, truth in cohort()])
    assert task.chosen(task.summarise(perfect, None)) == {"keep_largest": []}
    assert plain.chosen(metrics) == {}
    one = build_task({"name": "segmentation", "classes": ["background", "a"]})
    masks = [
        ((answer == 1).astype(np.uint8), (truth == 1).astype(np.uint8))
        for answer, truth in cohort()
    ]
    table = np.array([one.judge(answer, truth) for answer, truth in masks])
    assert one.chosen(one.summarise(table, None)) == {"keep_largest": ["*"]}


def test_tasks_are_registered() -> None:
    assert set(TASKS.names()) >= {"segmentation", "classification"}


@pytest.mark.parametrize(
    "options",
    [
        {"dice": 0},
        {"cross_entropy": 0},
        {"dice_background": True},
        {"dice_over": "batch"},
        {"focal_gamma": 2, "label_smoothing": 0.1, "class_weights": (1, 2, 3)},
    ],
)
def test_ignored_voxels_take_no_part_in_the_loss(options: dict[str, object]) -> None:
    logits, target = batch()
    task, plain = task_of(ignore=True, **options), task_of(**options)
    assert torch.allclose(task.loss(logits, target), plain.loss(logits, target))
    # The last rows ignored is the loss of an image without them, whatever stands there.
    target[:, 3:] = len(CLASSES)
    wanted = plain.loss(logits[:, :, :3].contiguous(), target[:, :3].contiguous())
    for value in (0.0, 50.0):
        logits[:, :, 3:] = value
        assert torch.allclose(task.loss(logits, target), wanted, atol=1e-6)
    alone = logits.clone().requires_grad_()
    task.loss(alone, torch.full_like(target, len(CLASSES))).sum().backward()
    assert torch.isfinite(alone.grad).all()
    deep = task.loss([logits, logits[..., ::2, ::2]], target)
    assert torch.isfinite(deep).all()


def test_ignored_voxels_take_no_part_in_scores() -> None:
    truth = np.zeros((6, 8, 8), np.uint8)
    truth[1:4, 2:5, 2:5] = 1
    answer = truth.copy()
    answer[1, 2, 2] = 0
    row = {"spacing_mm": [1.0, 1.0, 1.0]}
    task = task_of(ignore=True)

    def scored(one: np.ndarray, two: np.ndarray) -> list[dict]:
        return task.score(Sample("a", row, {"label": one}), Sample("a", row, {"label": two}))

    wanted, judged = scored(truth, answer), task.judge(answer, truth)
    hidden, wild = truth.copy(), answer.copy()
    hidden[5], wild[5] = len(CLASSES), 1  # a false part where nobody looked
    got = scored(hidden, wild)
    assert task.judge(wild, hidden)[:2] == pytest.approx(judged[:2], nan_ok=True)
    for name in ("dice", "hd95_mm", "lesions_false", "status"):
        assert got[0][name] == wanted[0][name]
    assert got[0]["voxel_error"] == pytest.approx(wanted[0]["voxel_error"] * 6 / 5)
    with pytest.raises(DataError, match="unknown-label"):
        task_of().judge(wild, hidden)
