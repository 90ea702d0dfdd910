import os
import signal
import subprocess
import sys
import textwrap

import pytest
import torch

from medray.engine.training.checkpoint import Checkpoints
from medray.storage.store.objects import Objects

TENSORS = {"model": {"w": torch.arange(6.0).view(2, 3)}, "optimiser": {"w/step": torch.tensor(3.0)}}


def save(checkpoints: Checkpoints, *steps: int) -> None:
    for step in steps:
        named = {"model": {"w": torch.full((2,), float(step))}}
        checkpoints.save(step, named, {"validations": [step]})


def test_what_is_saved_is_read(objects: Objects) -> None:
    checkpoints = Checkpoints(objects, "runs/x/checkpoints")
    assert checkpoints.newest() is None
    path = checkpoints.save(12, TENSORS, {"best": 12})
    found = checkpoints.newest()
    assert found is not None
    assert (found.step, found.path, found.state) == (12, path, {"best": 12})
    assert torch.equal(found.tensors["model"]["w"], TENSORS["model"]["w"])
    assert found.tensors["optimiser"]["w/step"].item() == 3
    assert list(checkpoints.read(path, only={"model"}).tensors) == ["model"]


def test_the_newest_are_kept_and_the_best(objects: Objects) -> None:
    checkpoints = Checkpoints(objects, "c")
    save(checkpoints, 1, 2, 3, 4, 10)
    checkpoints.prune(keep=2, also=2)
    assert [step for step, _ in checkpoints.committed()] == [2, 4, 10]
    assert len(objects.folders("c")) == 3


@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_a_damaged_checkpoint_is_passed_over(objects: Objects, damage: str) -> None:
    checkpoints = Checkpoints(objects, "c")
    save(checkpoints, 1, 2)
    path = f"{checkpoints.committed()[-1][1]}/model.safetensors"
    data = bytearray(objects.get(path))
    if damage == "remove":
        objects.delete([path])
    else:
        data[-1] ^= 1
        objects.put(path, bytes(data if damage == "flip" else data[:-3]))
    found = checkpoints.newest()
    assert found is not None
    assert found.step == 1
    save(checkpoints, 2)  # what a resumed run then does
    again = checkpoints.newest()
    assert again is not None
    assert again.step == 2


@pytest.mark.parametrize("where", ["model", "optimiser", "state", "manifest"])
def test_a_kill_during_the_save_leaves_the_one_before(objects: Objects, where: str) -> None:
    checkpoints = Checkpoints(objects, "c")
    save(checkpoints, 5)
    script = """
        import sys, torch
        from medray.engine.training.checkpoint import Checkpoints
        from medray.storage.store.objects import Objects
        tensors = {"model": {"w": torch.zeros(2)}, "optimiser": {"w": torch.zeros(2)}}
        Checkpoints(Objects(sys.argv[1]), "c").save(6, tensors, {})
    """
    died = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), objects.url],
        env={**os.environ, "MEDRAY_FAULTS": f"checkpoint.before-{where}=kill"},
        capture_output=True,
    )
    assert died.returncode == -signal.SIGKILL
    assert len(objects.folders("c")) == (1 if where == "model" else 2)
    found = checkpoints.newest()
    assert found is not None
    assert found.step == 5
    save(checkpoints, 6, 7)
    checkpoints.prune(keep=1)
    assert len(objects.folders("c")) == 1  # what the kill left is gone too
