import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from medray.engine.training.checkpoint import Checkpoints
from medray.engine.training.loop import fit
from medray.engine.training.package import save_trained
from medray.engine.training.ranks import World
from medray.engine.training.setup import TrainSetup, assemble
from medray.errors import FatalError, SpecError
from medray.modalities import modality_of
from medray.modalities.image.options import ImagePlanOptions
from medray.modalities.image.plan import make_plan
from medray.modalities.image.survey import fingerprint
from medray.modalities.plan import Wanted
from medray.spec.training import (
    EarlyStopping,
    Frozen,
    InitialWeights,
    OptimiserSettings,
    TrainSettings,
)
from medray.storage.catalog.datasets import Dataset
from medray.storage.shards.samples import Sample
from medray.tasks import build_task

TASK = {"name": "segmentation", "classes": ["background", "a", "b"]}
PATCH = ImagePlanOptions(patch=(8, 8, 8))
MODEL = {"name": "unet", "features": [4, 8], "convs": 1, "dropout": 0.1}
FIRST = InitialWeights(model="first")
ENCODER = Frozen(parts=("encoder",))
FAST = TrainSettings(
    epochs=3,
    steps_per_epoch=4,
    batch_size=4,
    ema=0.9,
    augment={"elastic_chance": 0.3},
    optimiser=OptimiserSettings(lr=1e-2),
)


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def setup(balls: Dataset) -> TrainSetup:
    task = build_task(TASK)
    look = fingerprint(balls, balls.select({"split": "train"}), task)
    plan = make_plan(look, task, given=PATCH)
    return TrainSetup(balls.objects, balls.reference, TASK, MODEL, plan, FAST, "runs/a")


def with_(setup: TrainSetup, run: str = "", **settings: object) -> TrainSetup:
    changed = setup.settings.model_copy(update=settings)
    return replace(setup, settings=changed, run=run or setup.run)


def weights(setup: TrainSetup, file: str = "model") -> dict[str, torch.Tensor]:
    found = Checkpoints(setup.objects, f"{setup.run}/checkpoints").newest()
    assert found is not None
    return found.tensors[file]


def same(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def curve(setup: TrainSetup, world: World | None = None) -> list[float]:
    return [row["loss"] for row in fit(setup, world or World()).rows]


class Stopped(Exception):
    pass


def stop_after(epochs: int) -> World:
    """A world that is torn down in the report of an epoch, after its checkpoint."""

    def report(metrics: dict) -> None:
        if metrics["epoch"] == epochs:
            raise Stopped

    return World(report=report)


def test_it_learns_and_tells_how(setup: TrainSetup) -> None:
    quick = OptimiserSettings(lr=4e-2)
    setup = with_(setup, epochs=12, augment=None, steps_per_epoch=5, optimiser=quick)
    setup = replace(setup, model={"name": "unet", "features": [8, 16]})
    result = fit(setup, World())
    losses = [row["loss"] for row in result.rows]
    assert len(losses) == result.step == 60
    assert np.mean(losses[-5:]) < 0.6 * np.mean(losses[:5])
    judged = [row for row in result.rows if "val_dice" in row]
    assert result.metrics["val_dice"] > max(0.3, 2 * judged[0]["val_dice"])
    assert [row["step"] for row in judged] == list(range(4, 60, 5))
    best = max(judged, key=lambda row: row["val_dice"])
    assert result.checkpoint.rpartition("/")[2].startswith(f"{best['step'] + 1:010d}-")
    assert set(result.rows[0]) == {"epoch", "step", "loss", "lr", "seconds"}
    before = weights(setup)
    assert fit(setup, World()).rows == result.rows  # a finished run is not repeated
    assert same(weights(setup), before)


def test_a_resumed_run_is_the_same_bit_for_bit(setup: TrainSetup) -> None:
    whole, cut = with_(setup, "runs/whole"), with_(setup, "runs/cut")
    wanted = curve(whole)
    for epoch in (1, 2):
        with pytest.raises(Stopped):
            fit(cut, stop_after(epoch))
    assert curve(cut) == wanted
    for file in ("model", "average", "optimiser"):
        assert same(weights(cut, file), weights(whole, file))


def test_a_kill_between_checkpoints_repeats_the_steps_since(setup: TrainSetup) -> None:
    whole, cut = with_(setup, "runs/whole"), with_(setup, "runs/cut", checkpoint_every=3)
    wanted = curve(whole)
    script = (
        "import pickle, sys, torch; torch.set_num_threads(1)\n"
        "from medray.engine.training.loop import fit\n"
        "from medray.engine.training.ranks import World\n"
        "fit(pickle.load(sys.stdin.buffer), World())\n"
    )
    import pickle

    died = subprocess.run(
        [sys.executable, "-c", script],
        input=pickle.dumps(cut),
        env={**os.environ, "MEDRAY_FAULTS": "train.step=kill:8"},
        capture_output=True,
    )
    assert died.returncode == -signal.SIGKILL
    steps = [step for step, _ in Checkpoints(cut.objects, "runs/cut/checkpoints").committed()]
    assert max(steps) < 8
    assert curve(cut) == wanted
    assert same(weights(cut), weights(whole))


def test_parts_of_a_step_add_up_to_the_step(setup: TrainSetup) -> None:
    model = {**MODEL, "dropout": 0.0}
    whole, parts = with_(setup, "runs/whole"), with_(setup, "runs/parts", accumulate=3)
    one, two = curve(replace(whole, model=model)), curve(replace(parts, model=model))
    assert one[0] == two[0]
    assert two == pytest.approx(one, rel=1e-3)


def test_the_task_says_which_way_is_better(setup: TrainSetup, plugged: None) -> None:
    named = {**TASK, "name": "agreement"}
    quick = OptimiserSettings(lr=4e-2)
    result = fit(replace(with_(setup, epochs=5, optimiser=quick), task=named), World())
    given = {
        row["step"]: row["val_agreement_error"]
        for row in result.rows
        if "val_agreement_error" in row
    }
    assert len(set(given.values())) > 1
    assert result.metrics["val_agreement_error"] == max(given.values())
    best = max(given, key=lambda step: given[step]) + 1
    assert result.checkpoint.rpartition("/")[2].startswith(f"{best:010d}-")


def test_it_stops_early_and_keeps_the_best(setup: TrainSetup) -> None:
    stopping = EarlyStopping(metric="val_dice_a", patience=2)
    # Nothing is learnt at this rate, so the first validation stays the best.
    slow = OptimiserSettings(lr=1e-12, weight_decay=0)
    result = fit(with_(setup, epochs=9, early_stopping=stopping, optimiser=slow), World())
    assert (result.stopped, result.step) == ("early", 12)
    assert "/0000000012-" in result.checkpoint or result.metrics["val_dice_a"] >= 0
    again = fit(with_(setup, epochs=9, early_stopping=stopping, optimiser=slow), World())
    assert again.step == 12
    with pytest.raises(SpecError, match="unknown-metric"):
        fit(with_(setup, "runs/b", early_stopping=EarlyStopping(metric="val_dize")), World())


def test_nan_stops_in_time_names_the_sample_and_keeps_the_last_good(make_dataset) -> None:
    generator = np.random.default_rng(0)
    samples = []
    for number in range(8):
        image = generator.normal(size=(1, 8, 8)).astype(np.float32)
        label = (image[0] > 0).astype(np.uint8)
        samples.append(Sample(f"s{number}", {"split": "train"}, {"image": image, "label": label}))
    good = make_dataset("good", samples)
    samples[5].arrays["image"][0, 3, 3] = np.nan
    bad = make_dataset("bad", samples)
    task = {"name": "segmentation", "classes": ["background", "a"]}
    built = build_task(task)
    given = ImagePlanOptions(patch=(8, 8), normalise="none")
    plan = make_plan(fingerprint(good, list(range(8)), built), built, given=given)
    settings = FAST.model_copy(
        update={"batch_size": 8, "steps_per_epoch": 2, "augment": None, "nan_patience": 2}
    )
    model = {"name": "unet", "features": [4, 8], "convs": 1}
    setup = TrainSetup(good.objects, good.reference, task, model, plan, settings, "runs/a")
    with pytest.raises(Stopped):
        fit(setup, stop_after(1))
    sound = weights(setup)
    with pytest.raises(FatalError, match="loss-diverged") as caught:
        fit(replace(setup, data=bad.reference), World())
    assert "step 3" in caught.value.message
    assert caught.value.message.endswith("s5")
    assert same(weights(setup), sound)
    assert all(tensor.isfinite().all() for tensor in sound.values())


def test_init_from_and_freeze(setup: TrainSetup) -> None:
    first = with_(setup, "runs/first", epochs=1)
    package = save_trained(first, fit(first, World()), "first", spec="")
    assert package.config["plan"]["patch"] == [8, 8, 8]
    assert same(
        {k: torch.from_numpy(v) for k, v in package.weights().items()}, weights(first, "average")
    )
    assert package.parents == [setup.data]
    history = json.loads(package.read("history.json"))
    assert len(history) == 4
    assert "seconds" not in history[0]

    # Another task: the head has another shape and stays fresh, all else is taken over.
    other = replace(
        with_(setup, "runs/second", init_from=FIRST, freeze=(ENCODER,), ema=None),
        task={**TASK, "classes": ["background", "a", "b", "c"]},
        plan=setup.plan.model_copy(
            update={"classes": ("background", "a", "b", "c"), "frequencies": (0.7, 0.1, 0.1, 0.1)}
        ),
    )
    begun = assemble(other, World()).objective.networks["model"].state_dict()
    taken = {name for name in begun if np.array_equal(begun[name], package.weights().get(name))}
    assert {name for name in begun if name.startswith("heads")} == set(begun) - taken
    fit(other, World())
    after = weights(other)
    assert all(torch.equal(after[name], begun[name]) for name in begun if "encoder" in name)
    assert not any(torch.equal(after[name], begun[name]) for name in begun if "ups" in name)
    optimised = {name.rpartition("/")[0] for name in weights(other, "optimiser")}
    assert not any(name.startswith("encoder") for name in optimised)

    with pytest.raises(SpecError, match="unknown-layer"):
        fit(with_(setup, "runs/third", freeze=(Frozen(parts=("encodr",)),)), World())
    cnn = replace(
        with_(setup, "runs/4", init_from=FIRST), model={"name": "segnet", "features": [6]}
    )
    with pytest.raises(SpecError, match="wrong-model"):
        fit(cnn, World())


@pytest.mark.parametrize(
    "settings",
    [
        {"precision": "bf16", "channels_last": True},
        {"optimiser": OptimiserSettings(name="sgd", lr=0.01), "ema": None, "clip_norm": None},
        {"cache_bytes": 0, "select": "last"},
    ],
)
def test_other_settings_resume_bit_for_bit_too(setup: TrainSetup, settings: dict) -> None:
    whole, cut = with_(setup, "runs/w", epochs=2, **settings), with_(setup, "runs/c", epochs=2)
    cut = with_(cut, **settings)
    wanted = curve(whole)
    with pytest.raises(Stopped):
        fit(cut, stop_after(1))
    assert curve(cut) == wanted
    assert np.isfinite(wanted).all()


def test_fp16_needs_a_gpu(setup: TrainSetup) -> None:
    with pytest.raises(SpecError, match="fp16-needs-cuda"):
        fit(with_(setup, precision="fp16"), World())


def test_a_classifier_is_trained_by_the_same_loop(make_dataset) -> None:
    generator = np.random.default_rng(0)
    samples = []
    for number in range(48):
        bright = number % 2
        image = generator.normal(100 + 40 * bright, 30, (1, 12, 12)).astype(np.uint8)
        row = {"target": bright, "split": "val" if number % 3 == 0 else "train"}
        samples.append(Sample(f"s{number}", row, {"image": image}))
    data = make_dataset("bright", samples)
    task = {"name": "classification", "classes": ["dark", "bright"]}
    model = {"name": "cnn", "features": [4, 8], "convs": 1}
    built = build_task(task)
    modality, given = modality_of(model), ImagePlanOptions(normalise="dataset")
    plan = modality.plan(data, data.select({"split": "train"}), built, Wanted(model, FAST, given))
    (channel,) = plan.channels
    assert (channel.scheme, round(channel.mean, -1)) == ("dataset", 120)
    assert plan.frequencies == (0.5, 0.5)
    settings = TrainSettings(epochs=4, steps_per_epoch=6, batch_size=8, augment=None)
    setup = TrainSetup(data.objects, data.reference, task, model, plan, settings, "runs/a")
    result = fit(setup, World())
    assert result.metrics["val_auc"] > 0.95


def test_settings_are_checked(tmp_path: Path) -> None:
    assert TrainSettings(workers=(2, 4)).world_sizes == (2, 4)
    assert TrainSettings(workers=3).world_sizes == (3, 3)
    with pytest.raises(ValueError, match="in this order"):
        TrainSettings(workers=(3, 2))
