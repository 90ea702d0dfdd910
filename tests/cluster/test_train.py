"""Ray Train runs the loop: each run in a process of its own, so that it can be killed whole."""

import os
import pickle
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

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
from tests.servers.bucket import Bucket

TASK = {"name": "segmentation", "classes": ["background", "a", "b"]}
PATCH = ImagePlanOptions(patch=(8, 8, 8))
DRIVER = """
import pickle, sys
from medray.cluster.session import start_local
from medray.cluster.train import train_on_ray
from medray.errors import MedrayError
with start_local(num_cpus=2):
    for setups in pickle.load(sys.stdin.buffer):
        try:
            print("done", *(one.step for one in train_on_ray(setups)), flush=True)
        except MedrayError as error:
            print("error", error.code, flush=True)
"""


@pytest.fixture
def setup(balls: Dataset) -> TrainSetup:
    task = build_task(TASK)
    look = fingerprint(balls, balls.select({"split": "train"}), task)
    plan = make_plan(look, task, given=PATCH)
    settings = TrainSettings(
        epochs=3,
        steps_per_epoch=4,
        batch_size=4,
        workers=2,
        checkpoint_every=2,
        optimiser=OptimiserSettings(lr=1e-2),
    )
    model = {"name": "unet", "features": [4, 8], "convs": 1}
    return TrainSetup(balls.objects, balls.reference, TASK, model, plan, settings, "runs/a")


Trained = TrainSetup | list[TrainSetup]  # by the same ranks


def start(*trained: Trained, faults: str = "") -> subprocess.Popen[bytes]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MEDRAY_FAULTS": faults}
    if not faults:
        del environment["MEDRAY_FAULTS"]
    process = subprocess.Popen(
        [sys.executable, "-c", DRIVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
    )
    assert process.stdin is not None
    setups = [one if isinstance(one, list) else [one] for one in trained]
    process.stdin.write(pickle.dumps(setups))
    process.stdin.close()
    process.stdin = None
    return process


def run(*trained: Trained, faults: str = "") -> list[str]:
    out, _ = start(*trained, faults=faults).communicate(timeout=280)
    return [line for line in out.decode().splitlines() if line.startswith(("done", "error"))]


def curve(setup: TrainSetup) -> list[float]:
    return [row["loss"] for row in outcome(setup).rows]


def weights(setup: TrainSetup) -> dict[str, torch.Tensor]:
    found = Checkpoints(setup.objects, f"{setup.run}/checkpoints").newest()
    assert found is not None
    return found.tensors["model"]


def assert_same(one: TrainSetup, two: TrainSetup) -> None:
    assert curve(one) == curve(two)
    first, second = weights(one), weights(two)
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.drill
@pytest.mark.timeout(300)
def test_ray_trains_as_one_process_does(setup: TrainSetup) -> None:
    torch.set_num_threads(1)
    alone = replace(setup, run="runs/alone")
    wanted = [row["loss"] for row in fit(alone, World()).rows]
    small = setup.settings.model_copy(update={"batch_size": 1})
    refused = replace(setup, run="runs/refused", settings=small)
    # What no other try would mend comes back as it was raised in the rank.
    assert run(setup, refused) == ["done 12", "error batch-too-small"]
    assert curve(setup) == pytest.approx(wanted, rel=1e-3)


@pytest.mark.drill
@pytest.mark.timeout(600)
def test_a_killed_rank_leaves_no_trace_in_the_loss_curve(setup: TrainSetup, tmp_path: Path) -> None:
    whole, cut = replace(setup, run="runs/whole"), replace(setup, run="runs/cut")
    assert run(whole) == ["done 12"]
    assert run(cut, faults=f"train.step=kill:7@{tmp_path}/spent") == ["done 12"]
    assert (tmp_path / "spent").exists()
    assert_same(cut, whole)


@pytest.mark.drill
@pytest.mark.timeout(600)
def test_the_same_ranks_train_one_network_after_the_other(
    setup: TrainSetup, tmp_path: Path
) -> None:
    other = replace(setup, settings=setup.settings.model_copy(update={"epochs": 2}))
    first, second = replace(setup, run="runs/0"), replace(other, run="runs/1")
    # Killed in the second: the first is done and stays so.
    assert run([first, second], faults=f"train.step=kill:17@{tmp_path}/spent") == ["done 12 8"]
    assert (tmp_path / "spent").exists()
    alone = replace(setup, run="runs/first"), replace(other, run="runs/second")
    assert run(*alone) == ["done 12", "done 8"]
    assert_same(first, alone[0])
    assert_same(second, alone[1])


@pytest.mark.drill
@pytest.mark.timeout(600)
def test_a_killed_run_leaves_no_trace_in_the_loss_curve(setup: TrainSetup, tmp_path: Path) -> None:
    whole, cut = replace(setup, run="runs/whole"), replace(setup, run="runs/cut")
    assert run(whole) == ["done 12"]
    # The ranks hang at step 9, so that the kill comes in the middle of the run for sure.
    driver = start(cut, faults="train.step=hang:9")
    checkpoints = Checkpoints(cut.objects, "runs/cut/checkpoints")
    deadline = time.monotonic() + 200
    while max((step for step, _ in checkpoints.committed()), default=0) < 8:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    driver.send_signal(signal.SIGKILL)
    driver.communicate()
    assert run(cut) == ["done 12"]
    assert_same(cut, whole)


@pytest.mark.drill
@pytest.mark.timeout(900)
def test_other_numbers_of_workers_go_on_with_the_same_order(setup: TrainSetup) -> None:
    torch.set_num_threads(1)
    wanted = [row["loss"] for row in fit(replace(setup, run="runs/alone"), World()).rows]

    def of(workers: int) -> TrainSetup:
        return replace(
            setup,
            settings=setup.settings.model_copy(update={"workers": workers, "max_failures": 0}),
        )

    assert run(of(2), faults="train.step=exit:5") == ["error ranks-lost"]
    assert run(of(1), faults="train.step=exit:5") == ["error ranks-lost"]
    assert run(of(2)) == ["done 12"]
    assert curve(setup) == pytest.approx(wanted, rel=1e-3)


@pytest.mark.drill
@pytest.mark.timeout(300)
def test_ray_trains_in_a_bucket_as_on_a_disk(setup: TrainSetup, bucket: Bucket) -> None:
    torch.set_num_threads(1)
    wanted = [row["loss"] for row in fit(replace(setup, run="runs/alone"), World()).rows]
    root = bucket.objects()
    for entry in setup.objects.walk("datasets"):
        root.put(entry.path, setup.objects.get(entry.path))
    there = replace(setup, objects=root)
    assert run(there) == ["done 12"]
    assert curve(there) == pytest.approx(wanted, rel=1e-3)
    assert sum(entry.size for entry in root.walk("runs/a/ray")) == 0, "empty marks of folders stay"
