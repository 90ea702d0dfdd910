"""Objectives: the same steps as written by hand, on any number of ranks, and resumed anywhere."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, one_hot

from medray.engine.training.checkpoint import Checkpoints
from medray.engine.training.hands import Hands
from medray.engine.training.loop import fit, outcome
from medray.engine.training.package import save_trained
from medray.engine.training.ranks import World
from medray.engine.training.setup import TrainSetup, assemble
from medray.errors import SpecError
from medray.modalities import modality_of
from medray.modalities.plan import Wanted
from medray.spec.base import Plugin
from medray.spec.training import OptimiserSettings, TrainSettings, Unlabelled
from medray.storage.catalog.datasets import Dataset
from medray.storage.shards.samples import Sample
from medray.tasks import build_task
from tests.engine.training.several import launch
from tests.engine.training.survival import path_with, plugged

SETTINGS = TrainSettings(
    epochs=4,
    steps_per_epoch=1,
    batch_size=7,
    augment=None,
    optimiser=OptimiserSettings(name="sgd", lr=1e-2),
)
MASKS = {"name": "segmentation", "classes": ["background", "a", "b"]}
UNET = {"name": "unet", "features": [4, 8], "convs": 1}
COX = {"name": "toy-cox", "target": ["time", "event"]}
ADVERSARIAL = Plugin(name="adversarial", features=[4], optimiser={"lr": 0.05})
MEAN_TEACHER = Plugin(name="mean-teacher", decay=0.9)
EVERY = Unlabelled(select={"split": "train"})
FILES = {
    "cox": {"model", "optimiser", "history"},
    "hazard": {"model", "optimiser", "history"},
    "partial": {"model", "optimiser", "history"},
    "adversarial": {"model", "optimiser", "discriminator", "optimiser-discriminator", "history"},
    "mean-teacher": {"model", "optimiser", "teacher", "history"},
}


@pytest.fixture(autouse=True)
def _plugged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = plugged(tmp_path / "plugin")
    for folder in folders:
        monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", path_with(folders))
    torch.set_num_threads(1)


def setup_of(data: Dataset, task: dict, model: dict, objective: Plugin | None) -> TrainSetup:
    modality = modality_of(model)
    given = {"patch": (8, 8, 8)} if task is MASKS else {}
    wanted = Wanted(model, SETTINGS, modality.PlanOptions.model_validate(given))
    chosen = data.select({"split": "train"})
    plan = modality.plan(data, chosen, build_task(task), wanted)
    settings = SETTINGS.model_copy(update={"objective": objective})
    return TrainSetup(data.objects, data.reference, task, model, plan, settings, "runs/one")


@pytest.fixture
def setups(balls: Dataset, make_dataset: Callable[..., Dataset]) -> dict[str, TrainSetup]:
    """A training of each objective but `supervised`, which all other tests are about."""
    generator = np.random.default_rng(0)
    samples = []
    for number in range(30):
        features = generator.normal(size=6).astype(np.float32)
        row = {"time": float(np.exp(features[0])), "event": number % 3 and 1.0}
        row |= {"split": "val" if number % 5 == 0 else "train"}
        samples.append(Sample(f"s{number}", row, {"features": features}))
    table = make_dataset("cohort", samples)
    dropout = {**UNET, "dropout": 0.2}
    mlp = {"name": "mlp", "hidden": [8], "dropout": 0.0}
    return {
        "cox": setup_of(table, COX, mlp, None),
        "hazard": setup_of(table, {"name": "survival", "intervals": 4}, mlp, None),
        "partial": setup_of(table, {"name": "survival", "loss": "cox"}, mlp, None),
        "adversarial": setup_of(balls, MASKS, UNET, ADVERSARIAL),
        "mean-teacher": replace(setup_of(balls, MASKS, dropout, MEAN_TEACHER), unlabelled=EVERY),
    }


def tensors(setup: TrainSetup) -> dict[str, dict[str, Tensor]]:
    found = Checkpoints(setup.objects, f"{setup.run}/checkpoints").newest()
    assert found is not None
    return found.tensors


def curve(setup: TrainSetup) -> list[list[float]]:
    rows = outcome(setup).rows
    return [[v for name, v in row.items() if name.startswith("loss")] for row in rows]


class Stopped(Exception):
    pass


@pytest.mark.parametrize("name", list(FILES))
def test_a_run_resumed_at_every_step_is_the_same_bit_for_bit(
    setups: dict[str, TrainSetup], name: str
) -> None:
    whole = replace(setups[name], run="runs/whole")
    fit(whole, World())

    def stop(metrics: dict[str, Any]) -> None:
        raise Stopped

    cut = replace(setups[name], run="runs/cut")
    for _ in range(SETTINGS.epochs):
        with pytest.raises(Stopped):
            fit(cut, World(report=stop))
    fit(cut, World())
    assert curve(cut) == curve(whole)
    one, other = tensors(cut), tensors(whole)
    assert one.keys() == other.keys() == FILES[name]
    for file in FILES[name] - {"history"}:
        assert one[file].keys() == other[file].keys()
        assert all(torch.equal(one[file][key], other[file][key]) for key in one[file])


def test_two_ranks_train_as_one(setups: dict[str, TrainSetup], tmp_path: Path) -> None:
    """Seven samples a step: three and four. Without dropout, which ranks draw each for itself."""
    setups["mean-teacher"] = replace(setups["mean-teacher"], model=UNET)
    both = {name: replace(one, run=f"runs/both-{name}") for name, one in setups.items()}
    assert launch(*both.values(), size=2, folder=tmp_path) == [0, 0]
    for name, one in both.items():
        alone = replace(setups[name], run=f"runs/alone-{name}")
        fit(alone, World())
        assert np.allclose(curve(one), curve(alone), rtol=0, atol=1e-6), name
        for file in FILES[name] - {"history"}:
            here, there = tensors(one)[file], tensors(alone)[file]
            assert all(torch.allclose(here[k], there[k], rtol=0, atol=1e-6) for k in here), name


@pytest.mark.drill
def test_the_number_of_ranks_may_change(setups: dict[str, TrainSetup], tmp_path: Path) -> None:
    """Two networks on two ranks, which end after two steps; one goes on."""
    alone = replace(setups["adversarial"], run="runs/alone")
    fit(alone, World())
    mixed = replace(setups["adversarial"], run="runs/mixed")
    ends = ("train.step=exit:3", "train.step=exit:3")
    assert launch(mixed, size=2, folder=tmp_path, faults=ends) == [1, 1]
    fit(mixed, World())
    assert np.allclose(curve(mixed), curve(alone), rtol=0, atol=1e-6)


@pytest.mark.drill
def test_a_shared_loss_of_spread_parameters(setups: dict[str, TrainSetup], tmp_path: Path) -> None:
    alone = setups["cox"]
    fit(alone, World())
    fsdp = alone.settings.model_copy(update={"strategy": "fsdp"})
    spread = replace(alone, run="runs/fsdp", settings=fsdp)
    assert launch(spread, size=2, folder=tmp_path) == [0, 0]
    assert np.allclose(curve(spread), curve(alone), rtol=0, atol=1e-6)


def test_two_networks_take_the_steps_that_are_written_by_hand(
    setups: dict[str, TrainSetup],
) -> None:
    setup = setups["adversarial"]
    fit(setup, World())
    parts = assemble(setup, World())
    network, judge = parts.objective.networks["model"], parts.objective.networks["discriminator"]
    network.train()
    sgd = {"lr": 0.0, "momentum": 0.99, "nesterov": True}
    mine = torch.optim.SGD(network.parameters(), weight_decay=0, **sgd)
    rates = [row["lr"] for row in outcome(setup).rows]
    weights = [one for one in judge.parameters() if one.ndim > 1]
    rest = [one for one in judge.parameters() if one.ndim <= 1]
    decayed = [{"params": weights, "weight_decay": 1e-2}, {"params": rest, "weight_decay": 0.0}]
    theirs = torch.optim.AdamW(decayed, betas=(0.9, 0.99))
    entropy = binary_cross_entropy_with_logits
    losses = []
    for batch, rate in zip(parts.loader.batches(0, 4), rates, strict=True):
        for group in mine.param_groups:
            group["lr"] = rate
            group["weight_decay"] = 0.0
        for group in theirs.param_groups:
            group["lr"] = 5 * rate
        (part,) = batch.parts
        outputs = network(part.inputs)
        finest = outputs[0] if isinstance(outputs, list) else outputs
        found, drawn = finest.softmax(1), one_hot(part.target, 3).movedim(-1, 1).float()
        one, other = judge(found.detach()), judge(drawn)
        caught = (entropy(one, torch.zeros_like(one)) + entropy(other, torch.ones_like(other))) / 2
        theirs.zero_grad()
        caught.backward()
        theirs.step()
        verdict = judge(found)
        passing = entropy(verdict, torch.ones_like(verdict))
        loss = parts.task.loss(outputs, part.target).mean() + 0.1 * passing
        mine.zero_grad()
        loss.backward()
        _decayed(network, mine)
        losses.append([loss.item(), passing.item(), caught.item()])
    assert np.allclose(curve(setup), losses, rtol=0, atol=1e-5)
    made = tensors(setup)
    for file, one in (("model", network), ("discriminator", judge)):
        wanted = one.state_dict()
        assert all(torch.allclose(made[file][k], wanted[k], atol=1e-5) for k in wanted), file


def _decayed(network: nn.Module, optimiser: torch.optim.Optimizer) -> None:
    """A step with weight decay on weights alone."""
    for one in network.parameters():
        if one.ndim > 1 and one.grad is not None:
            one.grad += 1e-2 * one.detach()
    optimiser.step()


def test_the_teacher_is_judged_and_becomes_the_model(setups: dict[str, TrainSetup]) -> None:
    setup = setups["mean-teacher"]
    result = fit(setup, World())
    assert set(result.rows[0]) >= {"loss", "loss_teacher", "lr", "seconds"}
    assert result.rows[0]["loss_teacher"] > 0
    package = save_trained(setup, result, "taught", spec="")
    best = Checkpoints(setup.objects, f"{setup.run}/checkpoints").read(result.checkpoint)
    taught = {name: torch.from_numpy(value) for name, value in package.weights().items()}
    assert all(torch.equal(taught[name], best.tensors["teacher"][name]) for name in taught)
    assert any(not torch.equal(taught[name], best.tensors["model"][name]) for name in taught)


def test_an_update_that_is_not_finite_leaves_out_those_after_it() -> None:
    networks = {name: nn.Linear(1, 1) for name in ("model", "judge")}
    before = {name: one.weight.detach().clone() for name, one in networks.items()}
    chosen = dict.fromkeys(networks, OptimiserSettings(lr=0.1))
    hands = Hands(World(), SETTINGS, 2, networks, chosen)
    for spoilt in (True, False):
        hands.begin(0, 1)
        for name in ("judge", "model"):
            with hands.part(name, last=True) as network:
                answer = network(torch.ones(2, 1))
            hands.backward(answer[:, 0] * (torch.nan if spoilt and name == "judge" else 1))
            hands.update(name)
        assert hands.finite is not spoilt
        same = [torch.equal(networks[name].weight, before[name]) for name in networks]
        assert same == [spoilt, spoilt]


@pytest.mark.parametrize(
    ("name", "changed", "code"),
    [
        ("adversarial", {"accumulate": 2}, "needs-whole-batch"),
        ("cox", {"accumulate": 2}, "needs-whole-batch"),
        ("cox", {"objective": Plugin(name="supervised")}, "needs-whole-batch"),
        ("adversarial", {"strategy": "fsdp"}, "one-network"),
        ("mean-teacher", {"strategy": "fsdp"}, "one-network"),
        ("mean-teacher", {"accumulate": 2}, "needs-whole-batch"),
        ("mean-teacher", {"objective": None}, "targets-only"),
        ("cox", {"objective": Plugin(name="adversarial")}, "needs-whole-batch"),
        ("cox", {"objective": Plugin(name="adversariel")}, "unknown-plugin"),
    ],
)
def test_what_an_objective_cannot_do_is_refused(
    setups: dict[str, TrainSetup], name: str, changed: dict[str, Any], code: str
) -> None:
    setup = setups[name]
    settings = setup.settings.model_copy(update=changed)
    with pytest.raises(SpecError, match=code):
        assemble(replace(setup, settings=settings), World())


def test_a_task_without_places_has_no_masks_to_tell_apart(setups: dict[str, TrainSetup]) -> None:
    setup = setups["cox"]
    settings = setup.settings.model_copy(update={"objective": Plugin(name="adversarial")})
    task = {"name": "regression", "target": ["time", "event"]}
    with pytest.raises(SpecError, match="objective-mismatch"):
        assemble(replace(setup, task=task, settings=settings), World())
