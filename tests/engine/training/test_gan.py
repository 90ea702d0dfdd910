"""Images drawn by a generator that a critic has taught, in whatever form."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from medray.engine.training.checkpoint import Checkpoints
from medray.engine.training.loop import fit
from medray.engine.training.ranks import World
from medray.engine.training.setup import TrainSetup
from medray.errors import MedrayError
from medray.jobs.check import check_documents
from medray.jobs.run import run
from medray.modalities.image import Images
from medray.modalities.image.options import ImagePlanOptions
from medray.modalities.plan import Wanted
from medray.spec.base import Plugin
from medray.spec.load import read_job
from medray.spec.training import OptimiserSettings, TrainSettings
from medray.storage.catalog.datasets import Dataset, open_dataset
from medray.storage.shards.samples import Sample
from medray.storage.store.objects import Objects
from medray.tasks import build_task
from tests.engine.training.several import launch

Make = Callable[[str, list[Sample]], Dataset]
TASK = {"name": "synthesis", "classes": ["left", "right"]}
MODEL = {"name": "dcgan", "features": [8, 16], "chance": 8, "embedding": 4}
WGAN_GP = {"name": "gan", "loss": "wasserstein", "spectral": False, "penalty": 10, "turns": 2}
TRAIN: dict[str, Any] = {
    "kind": "train",
    "data": "halves",
    "task": TASK,
    "model": MODEL,
    "train": {
        "objective": {"name": "gan"},
        "epochs": 5,
        "steps_per_epoch": 60,
        "batch_size": 16,
        "optimiser": {"lr": 2e-3, "betas": [0.5, 0.99], "weight_decay": 0},
        "schedule": {"name": "constant"},
        "ema": 0.98,
        "augment": None,
    },
    "output": "painter",
}
DRAW = {"kind": "generate", "model": "painter", "count": 50, "unit": 20, "output": "drawn"}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def halves(make_dataset: Make) -> Dataset:
    """Images whose left half is light, and others whose right half is."""
    generator, samples = np.random.default_rng(0), []
    for at in range(96):
        image = generator.normal(60, 6, (1, 10, 12))
        image[..., :6] += 90 * (at % 2 == 0)
        image[..., 6:] += 90 * (at % 2)
        row = {
            "target": at % 2,
            "split": "train" if at % 8 > 1 else "val",
            "spacing_mm": [1.0, 2.0],
        }
        samples.append(Sample(f"s{at:03d}", row, {"image": image.clip(0, 255).astype(np.uint8)}))
    return make_dataset("halves", samples)


def test_images_of_each_class_are_drawn_and_say_that_they_are_synthetic(
    halves: Dataset, objects: Objects
) -> None:
    assert check_documents(read_job([TRAIN, DRAW]), objects, cluster="inline")[1] == []
    trained, made = run([TRAIN, DRAW], storage=objects, cluster="inline").steps
    drawn = open_dataset(objects, "drawn")
    assert drawn.attributes["synthetic"] is True
    table = drawn.samples
    assert table["synthetic"].to_pylist() == [True] * 50
    assert table["split"].unique().to_pylist() == ["train"]
    assert table["spacing_mm"].to_pylist()[0] == [1.0, 2.0]
    images = np.stack([np.asarray(one.arrays["image"]) for one in drawn]).astype(float)
    assert images.shape == (50, 1, 10, 12)
    brighter = (images[..., 6:].mean((1, 2, 3)) > images[..., :6].mean((1, 2, 3))).astype(int)
    assert (brighter == table["target"].to_numpy()).mean() > 0.9
    assert made.metrics["samples"] == 50
    assert 0 < trained.metrics["val_sliced_wasserstein"] < 1
    run([{**DRAW, "unit": 7, "output": "again"}], storage=objects, cluster="inline")
    again = open_dataset(objects, "again")
    assert all(
        np.array_equal(one.arrays["image"], other.arrays["image"])
        for one, other in zip(drawn, again, strict=True)
    )
    assert again.samples["target"].equals(table["target"])


def test_drawn_images_are_united_with_real_ones_and_never_scored(
    halves: Dataset, objects: Objects
) -> None:
    unite = {
        "kind": "transform",
        "data": "halves",
        "operation": {"name": "union"},
        "using": {"more": "drawn"},
        "output": "both",
    }
    short = {**TRAIN, "train": {**TRAIN["train"], "epochs": 1, "steps_per_epoch": 2}}
    learn = {
        "kind": "train",
        "data": "both",
        "task": {"name": "classification", "classes": ["left", "right"]},
        "model": {"name": "cnn", "features": [4]},
        "train": {"epochs": 1, "steps_per_epoch": 2},
        "output": "reader",
    }
    steps = [short, DRAW, unite, learn]
    assert check_documents(read_job(steps), objects, cluster="inline")[1] == []
    run(steps, storage=objects, cluster="inline")
    both = open_dataset(objects, "both")
    assert len(both) == 96 + 50
    assert both.samples["synthetic"].to_pylist() == [None] * 96 + [True] * 50
    assert len(both.select({"split": "val"})) == 24
    assert len(both.select({"split": "train"})) == 72 + 50
    assert both.attributes["synthetic_samples"] == 50
    first, last = both.sample(0), both.sample(145)
    assert np.array_equal(first.arrays["image"], halves.sample(0).arrays["image"])
    assert last.id == open_dataset(objects, "drawn").sample(49).id


def test_a_generator_that_makes_the_same_again_and_again_ends_the_training(
    halves: Dataset, objects: Objects
) -> None:
    train = {
        **TRAIN["train"],
        "objective": {"name": "gan", "least_spread": 0.9},
        "optimiser": {"lr": 1e-9},  # it stays as it began, whose images hardly differ
        "ema": None,
    }
    with pytest.raises(MedrayError, match="has collapsed") as told:
        run([{**TRAIN, "train": train}], storage=objects, cluster="inline")
    assert told.value.code == "collapsed"


@pytest.mark.parametrize(
    ("change", "field", "code"),
    [
        ({"train": {"objective": None}}, "train.objective", "no-loss"),
        ({"train": {"objective": {"name": "supervised"}}}, "train.objective", "no-loss"),
        ({"model": {"name": "cnn"}}, "model.name", "task-mismatch"),
        (
            {"task": {"name": "classification", "classes": ["left", "right"]}},
            "model.name",
            "task-mismatch",
        ),
    ],
)
def test_what_does_not_fit_is_told_before_anything_runs(
    halves: Dataset, objects: Objects, change: dict[str, Any], field: str, code: str
) -> None:
    step = {**TRAIN, **change, "train": {**TRAIN["train"], **change.get("train", {})}}
    found = check_documents(read_job([step]), objects, cluster="inline")[1]
    assert (1, field, code) in [(one.document, one.field, one.code) for one in found]


def test_a_model_that_draws_predicts_nothing(halves: Dataset, objects: Objects) -> None:
    predict = {"kind": "predict", "model": "painter", "data": "halves", "output": "answers"}
    found = check_documents(read_job([TRAIN, predict]), objects, cluster="inline")[1]
    assert "draws-only" in [one.code for one in found]


class Stopped(Exception):
    pass


def setup(objects: Objects, data: Dataset, objective: dict[str, Any], name: str) -> TrainSetup:
    settings = TrainSettings(
        epochs=3,
        steps_per_epoch=2,
        batch_size=7,
        objective=Plugin.model_validate(objective),
        optimiser=OptimiserSettings(lr=1e-3),
        augment=None,
    )
    task = build_task(TASK)
    given = Wanted(MODEL, settings, ImagePlanOptions(), "cpu")
    plan = Images().plan(data, data.select({"split": "train"}), task, given)
    return TrainSetup(objects, data.reference, TASK, MODEL, plan, settings, f"runs/{name}")


@pytest.mark.parametrize("objective", [{"name": "gan"}, WGAN_GP])
def test_a_run_resumed_at_every_epoch_is_the_same_bit_for_bit(
    halves: Dataset, objects: Objects, objective: dict[str, Any]
) -> None:
    whole = setup(objects, halves, objective, "whole")
    fit(whole, World())

    def stop(metrics: dict[str, Any]) -> None:
        raise Stopped

    cut = replace(whole, run="runs/cut")
    for _ in range(3):
        with pytest.raises(Stopped):
            fit(cut, World(report=stop))
    fit(cut, World())
    one, other = (Checkpoints(objects, f"{each.run}/checkpoints").newest() for each in (cut, whole))
    assert one is not None
    assert other is not None
    assert {"model", "critic", "optimiser", "optimiser-critic"} <= one.tensors.keys()
    for file, tensors in other.tensors.items():
        if file != "history":
            assert all(torch.equal(one.tensors[file][key], tensors[key]) for key in tensors)


def test_two_ranks_learn_the_same_networks(
    halves: Dataset, objects: Objects, tmp_path: Path
) -> None:
    pair = setup(objects, halves, WGAN_GP, "pair")
    assert launch(pair, size=2, folder=tmp_path) == [0, 0]
    found = Checkpoints(objects, "runs/pair/checkpoints").newest()
    assert found is not None
    assert all(torch.isfinite(one).all() for one in found.tensors["critic"].values())
