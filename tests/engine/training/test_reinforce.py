"""REINFORCE: it finds the optimum that is known, resumes anywhere, and ends where it collapses."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from medray.engine.training.checkpoint import Checkpoints
from medray.engine.training.hands import MODEL, Hands
from medray.engine.training.loop import fit, outcome
from medray.engine.training.objectives.base import Given
from medray.engine.training.objectives.reinforce import Reinforce
from medray.engine.training.ranks import World
from medray.engine.training.setup import TrainSetup
from medray.errors import FatalError
from medray.jobs.check import check_documents
from medray.jobs.run import run
from medray.modalities.generation import Generation, Rollout, Verdict
from medray.modalities.notation import Notations
from medray.modalities.notation.cases import filled
from medray.modalities.notation.generation import Molecules
from medray.modalities.notation.plan import NotationPlan
from medray.models.notation.lstm import NotationLstm
from medray.spec.base import Plugin, Settings
from medray.spec.load import read_job
from medray.spec.training import (
    InitialWeights,
    OptimiserSettings,
    ScheduleSettings,
    TrainSettings,
)
from medray.storage.catalog.datasets import Dataset
from medray.storage.catalog.models import open_model
from medray.storage.shards.samples import Sample
from medray.storage.store.objects import Objects
from medray.tasks import build_task
from medray.tasks.base import NO_LABEL
from tests.engine.training.several import launch

Make = Callable[[str, list[Sample]], Dataset]
LANGUAGE = {"name": "language"}
LSTM = {"name": "notation-lstm", "hidden": 16, "embedding": 4}
QED = Plugin(name="reinforce", reward={"name": "qed"}, strength=5.0)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Letters(Molecules):
    """Texts of the letters a and b, rewarded for every a; no chemistry."""

    rewards: ClassVar[dict[str, type[Settings]]] = {"letters": Settings}

    def verdict(self, rollout: Rollout, plan: Any, reward: Any) -> Verdict:
        texts = [text or "…" for text in rollout.drawn]
        return Verdict(texts, np.array([worth(text) for text in texts]))


class Lettered(Notations):
    def generation(self) -> Generation:
        return Letters()


def worth(text: str) -> float:
    return text.count("a") / 2


def likelihoods(network: NotationLstm, every: list[tuple[list[int], bool]]) -> np.ndarray:
    given, following = (torch.from_numpy(one) for one in filled(every))
    with torch.no_grad():
        logits = network(given)
    nats = cross_entropy(logits, following.long(), ignore_index=NO_LABEL, reduction="none")
    return np.exp(-nats.sum(1).numpy())


def test_the_optimum_is_the_prior_times_the_exponential_of_the_reward() -> None:
    """Of texts of at most two letters and all that do not end within three, 15 in all: what is
    drawn in the end is known, text by text."""
    plan = NotationPlan(
        answers="text",
        classes=("^", "a", "b"),
        frequencies=(2.0,),
        batch_size=256,
        samples=1,
        column="text",
        longest=1,
    )
    task = build_task(LANGUAGE, plan.frequencies)

    def build() -> NotationLstm:
        torch.manual_seed(3)
        return NotationLstm(NotationLstm.Options(hidden=16, embedding=4), 3, 3)

    strength = 3.0
    chosen = Reinforce.Options(reward=Plugin(name="letters"), strength=strength, least_unique=0)
    objects = Objects("memory:///")
    objective = Reinforce(chosen, Given(task, build, Lettered(), plan, objects, TrainSettings()))
    schedule = ScheduleSettings(name="cosine", warmup=0)
    settings = TrainSettings(batch_size=256, schedule=schedule, clip_norm=None)
    optimiser = OptimiserSettings(lr=2e-2, weight_decay=0)
    hands = Hands(World(), settings, 256, objective.networks, {MODEL: optimiser})
    every = [
        ([*letters], length < 3)
        for length in range(4)
        for letters in product((1, 2), repeat=length)
    ]
    assert len(every) == 15
    prior = likelihoods(build(), every)
    assert prior.sum() == pytest.approx(1, abs=1e-5)
    texts = ["".join("^ab"[at] for at in tokens) if end else "…" for tokens, end in every]
    wanted = prior * np.exp(strength * np.array([worth(text) for text in texts]))
    wanted /= wanted.sum()
    assert np.abs(wanted - prior).sum() / 2 > 0.3
    steps = 300
    for step in range(steps):
        hands.begin(step, steps)
        losses = objective.step(Step(step), hands)
    assert set(losses) == {"loss", "reward", "nats_from_prior"}
    found = likelihoods(objective.networks[MODEL].eval(), every)  # type: ignore[arg-type]
    assert np.abs(found - wanted).sum() / 2 < 0.04
    apart = float((found * np.log(found / prior)).sum())
    assert losses["nats_from_prior"].mean().item() == pytest.approx(apart, abs=0.3)
    assert torch.equal(
        objective.followers["prior"].head.weight,  # type: ignore[arg-type, union-attr]
        build().head.weight,
    )


class Step:
    """As much of a batch as is looked at."""

    def __init__(self, step: int) -> None:
        self.step, self.parts = step, ()


def chains(count: int) -> list[str]:
    generator = np.random.default_rng(0)
    return [
        "".join(generator.choice(["C", "C", "O", "N"], generator.integers(2, 7)))
        for _ in range(count)
    ]


@pytest.fixture
def writer(objects: Objects, make_dataset: Make) -> str:
    """A model that has begun to write chains; its reference."""
    rows = [
        {"canonical": text, "split": "train" if at % 6 else "val"}
        for at, text in enumerate(chains(120))
    ]
    make_dataset("chains", [Sample(f"s{at:03d}", row) for at, row in enumerate(rows)])
    train = {
        "kind": "train",
        "data": "chains",
        "task": LANGUAGE,
        "model": LSTM,
        "train": {"epochs": 6, "optimiser": {"lr": 0.02}},
        "output": "writer",
    }
    run([train], storage=objects, cluster="inline")
    return open_model(objects, "writer").reference


def setup_of(objects: Objects, writer: str, objective: Plugin, **settings: Any) -> TrainSetup:
    package = open_model(objects, writer)
    given: dict[str, Any] = {
        "epochs": 3,
        "steps_per_epoch": 1,
        "batch_size": 15,
        "init_from": InitialWeights(model=writer),
        "objective": objective,
        "optimiser": OptimiserSettings(lr=1e-2),
    }
    chosen = TrainSettings(**(given | settings))
    plan = NotationPlan.model_validate(package.config["plan"])
    return TrainSetup(
        objects, package.parents[0], LANGUAGE, LSTM, plan, chosen, "runs/one", shared={}
    )


def tensors(setup: TrainSetup) -> dict[str, dict[str, Tensor]]:
    found = Checkpoints(setup.objects, f"{setup.run}/checkpoints").newest()
    assert found is not None
    return found.tensors


def curve(setup: TrainSetup) -> list[list[float]]:
    names = Reinforce.losses
    return [[row[name] for name in names] for row in outcome(setup).rows]


class Stopped(Exception):
    pass


def test_a_run_resumed_at_every_step_is_the_same_bit_for_bit(objects: Objects, writer: str) -> None:
    whole = replace(setup_of(objects, writer, QED), run="runs/whole")
    result = fit(whole, World())
    assert result.weights == "model"
    assert result.step == 3
    assert result.checkpoint.split("/")[-1].startswith("0000000003")  # the last, not the best

    def stop(metrics: dict[str, Any]) -> None:
        raise Stopped

    cut = replace(whole, run="runs/cut")
    for _ in range(3):
        with pytest.raises(Stopped):
            fit(cut, World(report=stop))
    fit(cut, World())
    assert curve(cut) == curve(whole)
    one, other = tensors(cut), tensors(whole)
    assert one.keys() == other.keys() == {"model", "prior", "optimiser", "history"}
    for file in ("model", "prior", "optimiser"):
        assert all(torch.equal(one[file][key], other[file][key]) for key in other[file])
    before = open_model(objects, writer).weights()
    assert all(np.array_equal(other["prior"][name].numpy(), before[name]) for name in before)
    assert not np.array_equal(other["model"]["head.weight"].numpy(), before["head.weight"])


def test_two_ranks_train_as_one(objects: Objects, writer: str, tmp_path: Path) -> None:
    """Fifteen texts a step: seven and eight."""
    alone = replace(setup_of(objects, writer, QED), run="runs/alone")
    fit(alone, World())
    both = replace(alone, run="runs/both")
    assert launch(both, size=2, folder=tmp_path) == [0, 0]
    assert np.allclose(curve(both), curve(alone), rtol=0, atol=1e-5)


def test_a_network_that_repeats_itself_ends_the_training(objects: Objects, writer: str) -> None:
    picky = Plugin(name="reinforce", reward={"name": "qed"}, least_unique=1.0)
    with pytest.raises(FatalError, match="of what it draws in step 0") as told:
        fit(setup_of(objects, writer, picky, batch_size=64), World())
    assert told.value.code == "collapsed"


def test_a_compound_is_approached(objects: Objects, writer: str) -> None:
    reward = {"name": "similarity", "to": "CCCCCC"}
    like = Plugin(name="reinforce", reward=reward, strength=20.0, least_unique=0)
    setup = setup_of(objects, writer, like, steps_per_epoch=6, batch_size=48)
    rewards = [row["reward"] for row in fit(setup, World()).rows]
    assert np.mean(rewards[-6:]) > np.mean(rewards[:6]) + 0.15


def test_a_model_of_molecules_rewards(objects: Objects, writer: str, tmp_path: Path) -> None:
    """One that has learnt how many oxygens there are: few are wanted."""
    lines = ["smiles,oxygens", *(f"{text},{text.count('O')}" for text in chains(120))]
    (tmp_path / "counts").mkdir()
    (tmp_path / "counts/o.csv").write_text("\n".join([*lines, ""]))
    steps: list[dict[str, Any]] = [
        {
            "kind": "ingest",
            "format": {"name": "smiles", "targets": ["oxygens"]},
            "source": str(tmp_path / "counts"),
            "output": "counted",
            "split": {"train": 0.8, "val": 0.2},
        },
        {
            "kind": "train",
            "data": "counted",
            "task": {"name": "regression", "target": "oxygens"},
            "model": {"name": "message-passing", "hidden": 16, "layers": 2},
            "train": {"epochs": 12, "optimiser": {"lr": 0.01}},
            "output": "counter",
        },
        {
            "kind": "train",
            "data": "chains",
            "task": LANGUAGE,
            "model": LSTM,
            "train": {
                "init_from": "writer",
                "objective": {
                    "name": "reinforce",
                    "model": "counter",
                    "between": [3, 0],
                    "strength": 20.0,
                    "least_unique": 0,
                },
                "epochs": 3,
                "steps_per_epoch": 6,
                "batch_size": 48,
                "optimiser": {"lr": 0.02},
            },
            "output": "without",
        },
    ]
    assert check_documents(read_job(steps), objects, cluster="inline")[1] == []
    run(steps, storage=objects, cluster="inline")
    package, counter = open_model(objects, "without"), open_model(objects, "counter")
    assert package.parents[1:] == [writer, counter.reference]
    history = package.read("history.json")
    rewards = [row["reward"] for row in json.loads(history)]
    assert np.mean(rewards[-6:]) > np.mean(rewards[:6]) + 0.1


@pytest.mark.parametrize(
    ("objective", "train", "field", "code"),
    [
        ({"reward": {"name": "qed"}}, {"init_from": None}, "train.objective", "no-prior"),
        ({"reward": {"name": "qde"}}, {}, "train.objective", "unknown-plugin"),
        ({"reward": {"name": "similarity"}}, {}, "train.objective", "bad-field"),
        ({"reward": {"name": "qed"}, "model": "writer"}, {}, "train.objective", "bad-field"),
        ({}, {}, "train.objective", "bad-field"),
        ({"model": "writre"}, {}, "train.objective.model", "no-such-model"),
        (
            {"reward": {"name": "qed"}},
            {"early_stopping": {}},
            "train.objective",
            "objective-mismatch",
        ),
    ],
)
def test_what_it_cannot_do_with_is_told_before_anything_runs(
    objects: Objects,
    writer: str,
    objective: dict[str, Any],
    train: dict[str, Any],
    field: str,
    code: str,
) -> None:
    given = {"init_from": "writer", **train, "objective": {"name": "reinforce", **objective}}
    step = {
        "kind": "train",
        "data": "chains",
        "task": LANGUAGE,
        "model": LSTM,
        "train": given,
        "output": "better",
    }
    found = check_documents(read_job([step]), objects, cluster="inline")[1]
    assert (1, field, code) in [(one.document, one.field, one.code) for one in found]
