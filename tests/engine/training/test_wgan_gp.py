"""WGAN-GP over codes: begun behind a gate, resumed anywhere, and drawn from."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from medray.engine.training.checkpoint import Checkpoints
from medray.engine.training.loop import fit, outcome
from medray.engine.training.objectives.wgan_gp import apart
from medray.engine.training.ranks import World
from medray.engine.training.setup import TrainSetup
from medray.errors import FatalError, SpecError
from medray.jobs.check import check_documents
from medray.jobs.run import run
from medray.modalities.notation.plan import NotationPlan
from medray.spec.base import Plugin
from medray.spec.load import read_job
from medray.spec.training import InitialWeights, OptimiserSettings, TrainSettings
from medray.storage.catalog.datasets import Dataset, open_dataset
from medray.storage.catalog.models import open_model
from medray.storage.shards.samples import Sample
from medray.storage.store.objects import Objects

Make = Callable[[str, list[Sample]], Dataset]
SMALL = {"code": 16, "place": 8, "hidden": 16, "embedding": 8}
GAN = {"name": "notation-gan", **SMALL, "chance": 8, "generator": 32}
OBJECTIVE = {"name": "wgan-gp", "width": 32, "turns": 2}
ENCODE: dict[str, Any] = {
    "kind": "train",
    "data": "chains",
    "task": {"name": "language"},
    "model": {"name": "notation-autoencoder", **SMALL},
    "train": {"epochs": 30, "batch_size": 16, "optimiser": {"lr": 0.01}},
    "output": "encoder",
}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def chains(make_dataset: Make) -> Dataset:
    """Carbon chains with one other atom; most have an oxygen, and it is the last."""
    generator, rows = np.random.default_rng(0), []
    for at in range(240):
        length = int(generator.integers(2, 7))
        text = "C" * length + ("N" if at % 5 == 0 else "O")
        rows.append({"canonical": text, "split": "train" if at % 6 else "val"})
    return make_dataset("chains", [Sample(f"s{at:03d}", row) for at, row in enumerate(rows)])


def adversarial(reference: str, **objective: Any) -> dict[str, Any]:
    train = {
        "init_from": reference,
        "objective": {**OBJECTIVE, **objective},
        "epochs": 12,
        "steps_per_epoch": 150,
        "batch_size": 32,
        "optimiser": {"lr": 1e-3, "betas": [0, 0.9], "weight_decay": 0},
    }
    return {**ENCODE, "model": GAN, "train": train, "output": "maker"}


def test_codes_are_made_up_of_which_texts_like_those_learnt_are_drawn(
    chains: Dataset, objects: Objects
) -> None:
    generate = {
        "kind": "generate",
        "model": "maker",
        "count": 200,
        "options": {"temperature": 0.5},
        "output": "drawn",
    }
    steps = [ENCODE, adversarial("encoder"), generate]
    assert check_documents(read_job(steps), objects, cluster="inline")[1] == []
    encoded, made, drawn = run(steps, storage=objects, cluster="inline").steps
    assert encoded.metrics["val_exact"] > 0.95
    assert made.metrics["val_exact"] == pytest.approx(encoded.metrics["val_exact"])
    first, last = open_model(objects, "encoder").weights(), open_model(objects, "maker").weights()
    assert all(np.array_equal(first[name], last[name]) for name in first)
    texts = open_dataset(objects, "drawn").samples["smiles"].to_pylist()
    learnt = set(chains.samples["canonical"].to_pylist())
    assert np.mean([text in learnt for text in texts]) > 0.6
    assert len(set(texts) & learnt) >= 4
    assert drawn.metrics["valid"] > 0.9


def test_it_is_not_begun_before_texts_come_back(chains: Dataset, objects: Objects) -> None:
    short = {**ENCODE, "train": {**ENCODE["train"], "epochs": 1, "optimiser": {"lr": 1e-5}}}
    with pytest.raises(SpecError, match=r"gives back 0\.0") as told:
        run([short, adversarial("encoder")], storage=objects, cluster="inline")
    assert told.value.code == "not-exact"
    open_model(objects, "encoder")
    with pytest.raises(SpecError):
        open_model(objects, "maker")


def test_a_generator_that_makes_the_same_again_and_again_ends_the_training(
    make_dataset: Make, objects: Objects
) -> None:
    texts = ["C" * before + "N" + "C" * behind for before in range(9) for behind in range(9)]
    rows = [{"canonical": one, "split": "val" if one[0] == "N" else "train"} for one in texts]
    make_dataset("chains", [Sample(f"s{at:03d}", row) for at, row in enumerate(rows)])
    short = {**ENCODE, "train": {**ENCODE["train"], "epochs": 1}}
    wide = adversarial("encoder", least_exact=0, least_apart=50)
    wide["train"]["batch_size"] = 2  # of 72 texts: none is there twice
    with pytest.raises(FatalError, match=r"in step 1 the codes") as told:
        run([short, wide], storage=objects, cluster="inline")
    assert told.value.code == "collapsed"


def test_few_modes_are_not_apart_however_far_they_are() -> None:
    corners = torch.tensor([[0.0, 0.0], [3.0, 4.0], [30.0, 44.0]])
    assert float(apart(corners)) == 5.0  # 5, 5 and the 48.26 from (3, 4) to (30, 44)
    assert float(apart(corners.repeat(2, 1))) == 0.0


def test_an_autoencoder_alone_draws_nothing(chains: Dataset, objects: Objects) -> None:
    generate = {"kind": "generate", "model": "encoder", "count": 9, "output": "drawn"}
    found = check_documents(read_job([ENCODE, generate]), objects, cluster="inline")[1]
    assert [(one.document, one.field, one.code) for one in found] == [(2, "model", "no-generation")]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"train": {"init_from": None}}, "no-autoencoder"),
        ({"train": {"workers": 2}}, "one-worker"),
        ({"model": ENCODE["model"]}, "objective-mismatch"),
        ({"model": {"name": "notation-lstm"}}, "objective-mismatch"),
    ],
)
def test_what_it_cannot_do_with_is_told_before_anything_runs(
    chains: Dataset, objects: Objects, change: dict[str, Any], code: str
) -> None:
    step = adversarial("encoder")
    step |= {**change, "train": {**step["train"], **change.get("train", {})}}
    found = check_documents(read_job([ENCODE, step]), objects, cluster="inline")[1]
    assert (2, "train.objective", code) in [(one.document, one.field, one.code) for one in found]


class Stopped(Exception):
    pass


def test_a_run_resumed_at_every_step_is_the_same_bit_for_bit(
    chains: Dataset, objects: Objects
) -> None:
    run([ENCODE], storage=objects, cluster="inline")
    package = open_model(objects, "encoder")
    settings = TrainSettings(
        epochs=4,
        steps_per_epoch=1,
        batch_size=7,
        init_from=InitialWeights(model=package.reference),
        objective=Plugin.model_validate(OBJECTIVE),
        optimiser=OptimiserSettings(lr=1e-3),
    )
    plan = NotationPlan.model_validate(package.config["plan"])
    whole = TrainSetup(
        objects, package.parents[0], {"name": "language"}, GAN, plan, settings, "runs/whole"
    )
    result = fit(whole, World())
    assert set(result.rows[0]) >= {"loss", "distance", "penalty"}
    assert result.checkpoint.split("/")[-1].startswith("0000000004")  # the last, not the best

    def stop(metrics: dict[str, Any]) -> None:
        raise Stopped

    cut = replace(whole, run="runs/cut")
    for _ in range(4):
        with pytest.raises(Stopped):
            fit(cut, World(report=stop))
    fit(cut, World())
    one, other = (
        Checkpoints(objects, f"{setup.run}/checkpoints").newest() for setup in (cut, whole)
    )
    assert one is not None
    assert other is not None
    files = {"model", "critic", "optimiser", "optimiser-critic"}
    assert one.tensors.keys() == other.tensors.keys() == files | {"history"}
    for file in files:
        assert all(
            torch.equal(one.tensors[file][key], other.tensors[file][key])
            for key in other.tensors[file]
        )
    rows = [[{k: v for k, v in row.items() if k != "seconds"} for row in outcome(setup).rows]
            for setup in (cut, whole)]  # fmt: skip
    assert rows[0] == rows[1]
