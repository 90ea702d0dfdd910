"""Risks from a training to a page: folds calibrate each other, and baselines stand beside."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from medray.jobs.run import run
from medray.report.collect import collect
from medray.report.page import render
from medray.storage.catalog.datasets import Dataset, open_dataset
from medray.storage.catalog.models import open_model
from medray.storage.shards.samples import Sample
from medray.storage.store.objects import Objects

Make = Callable[[str, list[Sample]], Dataset]


def rows(make_dataset: Make) -> None:
    random = np.random.default_rng(0)
    samples = []
    for number in range(240):
        features = random.normal(size=4).astype(np.float32)
        event = int(random.random() < 1 / (1 + np.exp(1 - 2 * features[0])))
        row = {"split": ("train", "val")[number % 4 == 0], "fold": number % 3, "target": event}
        samples.append(Sample(f"r{number:03d}", row, {"features": features}))
    make_dataset("rows", samples)


def steps(task: dict[str, Any], **train: Any) -> list[dict[str, Any]]:
    settings = {
        "epochs": 15, "batch_size": 32, "augment": None, "validate_every": 15, "select": "last",
        "checkpoint_every": 1000, "optimiser": {"lr": 0.03},
    }  # fmt: skip
    return [
        {
            "kind": "train", "data": "rows", "task": {"name": "risk", **task},
            "model": {"name": "mlp", "hidden": []}, "output": "net", "train": settings, **train,
        },
        {"kind": "predict", "model": "net", "data": "rows", "output": "found"},
        {
            "kind": "evaluate", "predictions": "found", "data": "rows", "output": "scores",
            "bootstrap": 50,
        },
    ]  # fmt: skip


@pytest.mark.parametrize("calibration", ["platt", "isotonic"])
def test_folds_calibrate_each_other(calibration: str, objects: Objects, make_dataset: Make) -> None:
    rows(make_dataset)
    task = {"calibration": calibration, "sensitivities": [0.8]}
    made = run(steps(task, select={}, folds="fold"), storage=objects, cluster="inline").steps
    package = open_model(objects, "net")
    members = [one["task"] for one in package.config["folds"]["members"]]
    assert len({tuple(one["curve"]) for one in members}) == 3
    assert "risks are calibrated" in package.read("card.md").decode()
    summary = open_dataset(objects, "scores").attributes["summary"]
    assert summary["metrics"]["calibration_slope"]["value"] == pytest.approx(1, abs=0.35)
    assert summary["points"][1]["sensitivity"]["value"] == pytest.approx(0.8, abs=0.1)
    assert summary["cautions"] == []
    assert summary["metrics"]["auroc"]["value"] > 0.75
    assert set(summary["baselines"]) == {"logistic", "boosted-trees"}
    page = render(collect(objects, "page", [{"kind": "evaluate", "output": made[-1].output}]))
    for words in ("boosted trees", "linear baseline", "Decision curve", "sensitivity 0.8", "→1"):
        assert words in page


def test_one_network_is_calibrated_by_its_validation(objects: Objects, make_dataset: Make) -> None:
    rows(make_dataset)
    run(steps({"calibration": "temperature"}), storage=objects, cluster="inline")
    curve = open_model(objects, "net").config["task"]["curve"]
    assert curve[0] == 0
    assert curve[1] > 0
    found = open_dataset(objects, "found").samples.to_pylist()
    assert all(one["risk"] == pytest.approx(one["probability"][1]) for one in found)
