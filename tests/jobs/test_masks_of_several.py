"""Masks of several networks: folds and seeds, whom they are asked about, and what they choose."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from medray.data.order import seed_of
from medray.jobs.run import run
from medray.storage.catalog.datasets import Dataset, open_dataset
from medray.storage.catalog.models import open_model
from medray.storage.shards.samples import Sample
from medray.storage.store.objects import Objects

TRAIN: dict[str, Any] = {
    "kind": "train",
    "data": "volumes",
    "task": {"name": "segmentation", "classes": ["none", "ball"]},
    "model": {"name": "unet", "dims": 3, "features": [4, 8], "convs": 1},
    "plan": {"patch": [8, 8, 8]},
    "output": "net",
    "train": {
        "epochs": 2, "steps_per_epoch": 6, "batch_size": 4, "augment": None, "validate_every": 2,
        "select": "last", "threads": 1, "optimiser": {"lr": 0.02},
    },
}  # fmt: skip
PREDICT = {
    "kind": "predict", "model": "net", "data": "volumes", "select": {"split": "val"},
    "options": {"outputs": "probabilities"}, "output": "told",
}  # fmt: skip
EVALUATE = {
    "kind": "evaluate", "predictions": "told", "data": "volumes", "output": "scores",
    "bootstrap": 20,
}  # fmt: skip


def volumes() -> list[Sample]:
    random = np.random.default_rng(0)
    made = []
    for at in range(12):
        far = sum((axis - random.uniform(2, 7)) ** 2 for axis in np.indices((10, 10, 10)))
        label = (far < 7).astype(np.uint8)
        image = (random.normal(100, 12, label.shape) + 25.0 * label).astype(np.int16)[None]
        row = {"subject": f"p{at}", "split": "val" if at < 3 else "train", "fold": at % 3,
               "spacing_mm": [1.0, 1.0, 1.0]}  # fmt: skip
        made.append(Sample(f"s{at:02d}", row, {"image": image, "label": label}))
    return made


@pytest.fixture
def data(make_dataset: Callable[..., Dataset]) -> Dataset:
    return make_dataset("volumes", volumes())


def job(objects: Objects, *steps: dict[str, Any]) -> Any:
    return run(list(steps), storage=objects, cluster="inline")


def told(objects: Objects, name: str) -> dict[str, np.ndarray]:
    """Probabilities by sample."""
    made = open_dataset(objects, name)
    ids = made.samples["sample_id"].to_pylist()
    return {one: made.array(at, "probability")[...] for at, one in enumerate(ids)}


def test_seeds_answer_with_the_mean_of_their_masks(objects: Objects, data: Dataset) -> None:
    # Volumes of 10 x 10 x 10 are little over a patch: one window each, so nothing is blended.
    done = job(objects, {**TRAIN, "members": 2}, PREDICT, EVALUATE)
    each = []
    for at in range(2):
        settings = {**TRAIN["train"], "seed": seed_of(0, at) % 2**32}
        job(objects, {**TRAIN, "train": settings, "output": "one"},
            {**PREDICT, "model": "one", "output": f"told{at}"})  # fmt: skip
        each.append(told(objects, f"told{at}"))
    mean = told(objects, "told")
    assert set(mean) == {"s00", "s01", "s02"}
    for one, answer in mean.items():
        assert np.abs(each[0][one] - each[1][one]).max() > 0.02
        np.testing.assert_allclose(answer, (each[0][one] + each[1][one]) / 2, atol=1e-5)
    # What validation says of the model is said of the mean.
    kept = open_model(objects, "net").config["task"]["keep_largest"]
    metrics = done.steps[0].metrics
    gained = metrics.get("val_gain_largest", 0.0)
    assert bool(kept) == ("val_gain_largest" in metrics)
    assert metrics["val_dice"] + gained == pytest.approx(done.steps[2].metrics["dice"], abs=1e-6)


def test_folds_answer_out_of_fold_and_together(objects: Objects, data: Dataset) -> None:
    folds = {**TRAIN, "select": {"split": "train"}, "folds": "fold"}
    job(objects, folds, PREDICT)
    together = told(objects, "told")
    package = open_model(objects, "net")
    members = package.config["folds"]["members"]
    assert [one["value"] for one in members] == [0, 1, 2]
    assert [one["plan"]["samples"] for one in members] == [9, 9, 9], "one plan, of all folds"
    # Each fold's network alone is the training that goes without it.
    job(objects, {**PREDICT, "select": {"split": "train"}, "output": "held"})
    each = []
    for fold in range(3):
        others = [one for one in range(3) if one != fold]
        alone = {
            **TRAIN,
            "select": {"split": "train", "fold": others},
            "validation": {"split": "train", "fold": fold},
            "output": "one",
        }
        job(objects, alone, {**PREDICT, "model": "one", "select": {}, "output": f"told{fold}"})
        each.append(told(objects, f"told{fold}"))
    for one, answer in together.items():
        mean = np.mean([answers[one] for answers in each], axis=0)
        np.testing.assert_allclose(answer, mean, atol=1e-5)
    held = told(objects, "held")
    assert len(held) == 9
    for one, answer in held.items():
        np.testing.assert_allclose(answer, each[int(one[1:]) % 3][one], atol=1e-6)


def test_other_samples_of_a_subject_are_answered_by_who_did_not_learn_from_it(
    objects: Objects, data: Dataset, make_dataset: Callable[..., Dataset]
) -> None:
    folds = {**TRAIN, "select": {"split": "train"}, "folds": "fold"}
    make_dataset("again", [Sample(f"again-{one.id}", one.row, one.arrays) for one in volumes()])
    job(objects, folds, {**PREDICT, "select": {"split": "train"}, "output": "held"},
        PREDICT, {**PREDICT, "data": "again", "select": {}, "output": "seen"})  # fmt: skip
    assert open_dataset(objects, "seen").attributes["held_out"] == "subject"
    seen, expected = told(objects, "seen"), told(objects, "held") | told(objects, "told")
    assert {one.removeprefix("again-") for one in seen} == set(expected)
    for one, answer in seen.items():
        np.testing.assert_allclose(answer, expected[one.removeprefix("again-")], atol=1e-6)
