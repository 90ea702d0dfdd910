"""A DR-learner from folds to effects: no network answers for a sample that it has seen."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from medray.errors import SpecError
from medray.jobs.run import run
from medray.report.collect import collect
from medray.report.page import render
from medray.storage.catalog.datasets import Dataset, open_dataset
from medray.storage.shards.samples import Sample
from medray.storage.store.objects import Objects

Make = Callable[[str, list[Sample]], Dataset]
TASK = {"name": "treatment-effect", "outcome": "y", "treatment": "t", "truth": ["mu0", "mu1"]}
SETTINGS = {
    "epochs": 20, "batch_size": 32, "augment": None, "validate_every": 20, "select": "last",
    "checkpoint_every": 1000, "optimiser": {"lr": 0.03},
}  # fmt: skip


def rows(make_dataset: Make, lost: int = 0) -> list[dict[str, Any]]:
    """Effects of 2 and more where the first feature is large; every `lost`-th has no outcome."""
    random = np.random.default_rng(0)
    samples = []
    for number in range(300):
        x = random.normal(size=3).astype(np.float32)
        treated = int(random.random() < 1 / (1 + np.exp(-x[1])))
        mu0, mu1 = float(x[1]), float(x[1] + 2 + x[0])
        outcome = (mu0, mu1)[treated] + 0.5 * random.normal()
        row = {"t": treated, "y": float(outcome), "mu0": mu0, "mu1": mu1, "fold": number % 3}
        if lost and number % lost == 0:
            row["y"] = None
        samples.append(Sample(f"r{number:03d}", row, {"features": x}))
    make_dataset("rows", samples)
    return [{**one.row, "id": one.id} for one in samples]


def train(task: dict[str, Any], data: str, output: str, **model: Any) -> dict[str, Any]:
    return {
        "kind": "train", "data": data, "select": {}, "folds": "fold", "task": task,
        "model": model, "output": output, "train": SETTINGS,
    }  # fmt: skip


FIRST = train(TASK, "rows", "net", name="tarnet", hidden=[], heads=[])
JOB = [
    FIRST,
    {"kind": "predict", "model": "net", "data": "rows", "output": "found"},
    {"kind": "evaluate", "predictions": "found", "data": "rows", "output": "scores"},
    {
        "kind": "transform", "data": "rows", "operation": {"name": "pseudo-outcomes"},
        "using": {"predictions": "found"}, "output": "second",
    },
    train(TASK | {"pseudo": "pseudo_outcome"}, "second", "effect-net", name="mlp", hidden=[]),
    {"kind": "predict", "model": "effect-net", "data": "second", "output": "effects"},
    {"kind": "evaluate", "predictions": "effects", "data": "second", "output": "effect-scores"},
]  # fmt: skip


def test_both_stages(objects: Objects, make_dataset: Make) -> None:
    truth = rows(make_dataset)
    made = run(JOB, storage=objects, cluster="inline").steps
    found = open_dataset(objects, "found").samples.to_pylist()
    assert set(found[0]) >= {"y0", "y1", "effect", "propensity"}
    second = open_dataset(objects, "second").samples.to_pylist()
    for row, given, told in zip(truth, found, second, strict=True):
        chance = given["propensity"] if row["t"] else 1 - given["propensity"]
        left = row["y"] - (given["y0"], given["y1"])[row["t"]]
        wanted = given["effect"] + (1 if row["t"] else -1) * left / chance
        assert told["pseudo_outcome"] == pytest.approx(wanted, rel=1e-6)
        assert (told["y0_hat"], told["observed1_hat"]) == (given["y0"], 1.0)
    for name in ("scores", "effect-scores"):
        summary = open_dataset(objects, name).attributes["summary"]
        ate = summary["metrics"]["ate"]
        assert ate["low"] < 2 < ate["high"]
        assert ate["high"] - ate["low"] < 0.6
        assert summary["metrics"]["naive"]["value"] > ate["value"]  # confounded by a feature
        assert summary["metrics"]["root_pehe"]["value"] < 0.5
        assert summary["metrics"]["ate_error"]["value"] < 0.2
        assert set(summary["baselines"]) == {"t-learner"}
        # What is told of the mean comes of the same pseudo-outcomes.
        assert ate["value"] == pytest.approx(np.mean([one["pseudo_outcome"] for one in second]))
    steps = [{"kind": one.kind, "output": one.output} for one in made]
    page = render(collect(objects, "page", steps))
    for words in ("doubly robust", "Overlap", "outside 0.05 … 0.95", "Balance", "Pseudo-outcomes"):
        assert words in page


def test_who_is_lost_is_weighed_for_and_counted(objects: Objects, make_dataset: Make) -> None:
    rows(make_dataset, lost=10)
    first = {**FIRST, "task": TASK | {"dropouts": "weigh"}}
    run([first, *JOB[1:3]], storage=objects, cluster="inline")
    summary = open_dataset(objects, "scores").attributes["summary"]
    assert (summary["dropouts"], summary["counts"]) == (30, {"dropout": 30, "scored": 270})
    observed = [one["observed1"] for one in open_dataset(objects, "found").samples.to_pylist()]
    assert np.mean(observed) == pytest.approx(0.9, abs=0.15)
    assert summary["metrics"]["ate"]["low"] < 2 < summary["metrics"]["ate"]["high"]


def test_a_placebo_has_no_effect(objects: Objects, make_dataset: Make) -> None:
    rows(make_dataset)
    task = {"name": "treatment-effect", "outcome": "y", "placebo": 0.4}
    run([{**FIRST, "task": task}, *JOB[1:3]], storage=objects, cluster="inline")
    summary = open_dataset(objects, "scores").attributes["summary"]
    assert summary["metrics"]["ate"]["low"] < 0 < summary["metrics"]["ate"]["high"]
    treated = summary["overlap"][1]["cases"]
    assert treated == pytest.approx(0.4 * 300, abs=30)
    assert "root_pehe" not in summary["metrics"]


def test_predictions_of_another_task_are_no_first_stage(
    objects: Objects, make_dataset: Make
) -> None:
    rows(make_dataset)
    other = train({"name": "regression", "target": "y"}, "rows", "net", name="mlp", hidden=[])
    with pytest.raises(SpecError) as caught:
        run([other, JOB[1], JOB[3]], storage=objects, cluster="inline")
    assert caught.value.code == "no-nuisances"
