"""Several ranks, as real processes over gloo: the same training as one rank's."""

import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from medray.engine.training.checkpoint import Checkpoints
from medray.engine.training.loop import fit, outcome
from medray.engine.training.ranks import World
from medray.engine.training.setup import TrainSetup
from medray.modalities.image.options import ImagePlanOptions
from medray.modalities.image.plan import make_plan
from medray.modalities.image.survey import fingerprint
from medray.spec.training import OptimiserSettings, TrainSettings
from medray.storage.catalog.datasets import Dataset
from medray.tasks import build_task
from tests.engine.training.several import launch

TASK = {"name": "segmentation", "classes": ["background", "a", "b"]}
PATCH = ImagePlanOptions(patch=(8, 8, 8))


@pytest.fixture
def setup(balls: Dataset) -> TrainSetup:
    task = build_task(TASK)
    look = fingerprint(balls, balls.select({"split": "train"}), task)
    plan = make_plan(look, task, given=PATCH)
    settings = TrainSettings(
        epochs=2, steps_per_epoch=4, batch_size=5, optimiser=OptimiserSettings(lr=1e-2), ema=0.9
    )
    model = {"name": "unet", "features": [4, 8], "convs": 1}
    return TrainSetup(balls.objects, balls.reference, TASK, model, plan, settings, "runs/alone")


def weights(setup: TrainSetup, file: str = "model") -> dict[str, torch.Tensor]:
    found = Checkpoints(setup.objects, f"{setup.run}/checkpoints").newest()
    assert found is not None
    return found.tensors[file]


def close(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return all(torch.allclose(one[name], two[name], rtol=1e-3, atol=1e-4) for name in one)


def curve(setup: TrainSetup) -> list[float]:
    return [row["loss"] for row in outcome(setup).rows]


def test_two_ranks_train_as_one(setup: TrainSetup, tmp_path: Path) -> None:
    """Five samples a step: one rank has two, the other three."""
    torch.set_num_threads(1)
    alone = fit(setup, World())
    both = replace(setup, run="runs/both")
    assert launch(both, size=2, folder=tmp_path) == [0, 0]
    losses = [row["loss"] for row in alone.rows]
    assert curve(both)[0] == pytest.approx(losses[0], rel=1e-6)
    assert curve(both) == pytest.approx(losses, rel=1e-3)
    assert close(weights(both), weights(setup))
    assert close(weights(both, "average"), weights(setup, "average"))
    assert outcome(both).metrics == pytest.approx(alone.metrics, abs=0.02)


@pytest.mark.drill
def test_a_killed_rank_is_resumed_bit_for_bit(setup: TrainSetup, tmp_path: Path) -> None:
    whole, cut = replace(setup, run="runs/whole"), replace(setup, run="runs/cut")
    assert launch(whole, size=2, folder=tmp_path) == [0, 0]
    statuses = launch(cut, size=2, folder=tmp_path, faults=("", "train.step=kill:6"))
    assert statuses[1] == -signal.SIGKILL
    assert statuses[0] != 0  # it ends too, and does not wait for ever
    assert launch(cut, size=2, folder=tmp_path) == [0, 0]
    assert curve(cut) == curve(whole)
    one, two = weights(cut), weights(whole)
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.drill
def test_world_size_may_change_between_resumes(setup: TrainSetup, tmp_path: Path) -> None:
    """Two ranks, then one, then two: losses stay those of one rank within rounding."""
    alone = [row["loss"] for row in fit(setup, World()).rows]
    every = setup.settings.model_copy(update={"checkpoint_every": 1})
    mixed = replace(setup, run="runs/mixed", settings=every)
    assert launch(
        mixed, size=2, folder=tmp_path, faults=("train.step=exit:3", "train.step=exit:3")
    ) == [1, 1]
    assert launch(mixed, size=1, folder=tmp_path, faults=("train.step=exit:2",)) == [1]
    assert launch(mixed, size=2, folder=tmp_path) == [0, 0]
    assert curve(mixed) == pytest.approx(alone, rel=1e-3)
    assert len(curve(mixed)) == 8


@pytest.mark.drill
def test_sharded_parameters_train_as_whole_ones(setup: TrainSetup, tmp_path: Path) -> None:
    """FSDP on two ranks, resumed on one rank with plain parameters."""
    alone = fit(setup, World())
    fsdp = setup.settings.model_copy(update={"strategy": "fsdp"})
    sharded = replace(setup, run="runs/fsdp", settings=fsdp)
    assert launch(sharded, size=2, folder=tmp_path) == [0, 0]
    assert curve(sharded) == pytest.approx([row["loss"] for row in alone.rows], rel=1e-3)
    assert close(weights(sharded), weights(setup))
    assert np.isfinite(list(outcome(sharded).metrics.values())).all()
    cut = replace(setup, run="runs/cut", settings=fsdp)
    launch(cut, size=2, folder=tmp_path, faults=("train.step=exit:6", "train.step=exit:6"))
    rest = fit(replace(setup, run="runs/cut"), World())
    assert [row["loss"] for row in rest.rows] == pytest.approx(curve(sharded), rel=1e-3)
