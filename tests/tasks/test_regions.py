"""Regions of several classes: learnt by a sigmoid each, painted in order."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from medray.errors import SpecError
from medray.jobs.run import run
from medray.modalities.image.averaged import AveragedWindows
from medray.storage.catalog.datasets import Dataset, open_dataset
from medray.storage.store.objects import Objects
from medray.tasks import build_task
from medray.tasks.masks.voxel_loss import SMOOTH
from medray.tasks.segmentation import Segmentation

# As the labels of brain tumours: 1 oedema, 2 core, 3 enhancing; whole, core and enhancing tumour.
CLASSES = ["none", "oedema", "core", "enhancing"]
REGIONS = [
    {"name": "whole", "classes": ["oedema", "core", "enhancing"], "paints": "oedema"},
    {"name": "tumour core", "classes": ["core", "enhancing"], "paints": "core"},
    {"name": "enhancing tumour", "classes": ["enhancing"], "paints": "enhancing"},
]
TARGET = torch.tensor([[[0, 1, 1, 2], [3, 3, 2, 0]]])


def task_of(**options: Any) -> Segmentation:
    made = build_task(
        {"name": "segmentation", "classes": CLASSES, "regions": REGIONS, "keep_largest": []}
        | options
    )
    assert isinstance(made, Segmentation)
    return made


def logits(seed: int = 0) -> torch.Tensor:
    return torch.randn(1, 3, 2, 4, generator=torch.Generator().manual_seed(seed))


def masks(target: torch.Tensor) -> torch.Tensor:
    return torch.stack([target >= 1, (target == 2) | (target == 3), target == 3], 1).float()


def test_the_loss_is_of_each_region_by_itself() -> None:
    given, wanted = logits(), masks(TARGET)
    told = task_of(dice=0).loss(given, TARGET)
    expected = functional.binary_cross_entropy_with_logits(given, wanted)
    torch.testing.assert_close(told[0], expected)
    p = given.sigmoid()
    both, size = (p * wanted).sum((2, 3)), p.sum((2, 3)) + wanted.sum((2, 3))
    dice = (2 * both + SMOOTH) / (size + SMOOTH)
    torch.testing.assert_close(task_of(cross_entropy=0).loss(given, TARGET), 1 - dice.mean(1))


def test_ignored_voxels_have_no_say() -> None:
    target, task = TARGET.clone(), task_of(ignore=True)
    target[0, 0, :2] = len(CLASSES)
    first, second = logits(), logits()
    second[:, :, 0, :2] = 7.0
    torch.testing.assert_close(task.loss(first, target), task.loss(second, target))
    known = target[0] < len(CLASSES)
    entropy = functional.binary_cross_entropy_with_logits(
        first[0][:, known], masks(TARGET)[0][:, known]
    )
    torch.testing.assert_close(task_of(ignore=True, dice=0).loss(first, target)[0], entropy)


def test_coarser_outputs_weigh_half() -> None:
    task, fine = task_of(dice_over="batch"), logits()
    coarse = logits(1)[:, :, :1, :2]
    shrunk = TARGET[:, ::2, ::2]
    expected = (task.loss(fine, TARGET) + task.loss(coarse, shrunk) / 2) / 1.5
    torch.testing.assert_close(task.loss([fine, coarse], TARGET), expected)


def test_later_regions_are_painted_over_earlier_ones() -> None:
    on = np.array([[1, 1, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 0, 1]])
    assert task_of().painted(on).tolist() == [1, 2, 3, 2, 3]
    assert task_of(regions=REGIONS[::-1]).painted(on[::-1]).tolist() == [1, 1, 1, 2, 3]
    assert task_of().channels == ("whole", "tumour core", "enhancing tumour")


def test_probabilities_and_logits_are_each_others_inverse() -> None:
    task = task_of()
    torch.testing.assert_close(task.logits(task.probabilities(logits())), logits())
    assert torch.isfinite(task.logits(torch.tensor([0.0, 1.0]))).all()


@pytest.mark.parametrize(
    ("options", "code", "about"),
    [
        ({"focal_gamma": 2}, "region-options", "focal_gamma"),
        ({"class_weights": "balanced"}, "region-options", "class_weights"),
        ({"regions": [{**REGIONS[0], "paints": "tumour"}]}, "unknown-class", "regions.0"),
        ({"regions": [{**REGIONS[0], "classes": ["tumour"]}]}, "unknown-class", "regions.0"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any], code: str, about: str) -> None:
    with pytest.raises(SpecError) as caught:
        task_of(**options)
    assert (caught.value.code, caught.value.about) == (code, about)


def test_several_networks_have_a_mean() -> None:
    one, two = (torch.nn.Conv2d(1, 3, 1).requires_grad_(False) for _ in range(2))
    for network in (one, two):
        network.divisor = (1, 1)
    windows = torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(2))
    task = task_of()
    told = task.probabilities(AveragedWindows([one, two], task)(windows))
    torch.testing.assert_close(told, (one(windows).sigmoid() + two(windows).sigmoid()) / 2)


def test_the_whole_way(objects: Objects, balls: Dataset) -> None:
    regions = [
        {"name": "either", "classes": ["a", "b"], "paints": "a"},
        {"name": "b", "classes": ["b"], "paints": "b"},
    ]
    steps: list[dict[str, Any]] = [
        {
            "kind": "train", "data": "balls", "output": "net",
            "task": {"name": "segmentation", "classes": ["none", "a", "b"], "regions": regions},
            "model": {"name": "unet", "dims": 3, "features": [8, 16]},
            "plan": {"patch": [8, 8, 8]},
            "train": {"epochs": 3, "steps_per_epoch": 40, "batch_size": 4, "augment": None,
                      "validate_every": 3, "select": "last", "threads": 1,
                      "optimiser": {"lr": 0.02}},
        },
        {"kind": "predict", "model": "net", "data": "balls", "select": {"split": "val"},
         "output": "told"},
        {"kind": "evaluate", "predictions": "told", "data": "balls", "output": "scores",
         "bootstrap": 20},
        {"kind": "predict", "model": "net", "data": "balls", "select": {"split": "val"},
         "output": "sure", "options": {"outputs": "probabilities"}},
        {"kind": "evaluate", "predictions": "sure", "data": "balls", "output": "sure-scores",
         "bootstrap": 20},
    ]  # fmt: skip
    done = run(steps, storage=objects, cluster="inline")
    assert done.steps[2].metrics["dice"] > 0.5
    sure = open_dataset(objects, done.steps[3].output)
    assert sure.array(0, "probability").shape[0] == 2
    # What probabilities say is what the mask says, but for what is right at the threshold.
    assert done.steps[4].metrics["dice"] == pytest.approx(done.steps[2].metrics["dice"], abs=1e-3)
