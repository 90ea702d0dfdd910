"""A model answers at a level: one network by its validation, networks of folds by what the
others held out; nothing to validate on is refused before the job begins."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from medray.errors import SpecError
from medray.jobs.run import run
from medray.storage.catalog.datasets import Dataset, open_dataset
from medray.storage.catalog.models import open_model
from medray.storage.shards.samples import Sample
from medray.storage.store.objects import Objects
from medray.tasks.metrics.conformal import bound
from tests.modalities.test_molecule import job
from tests.molecules import molecules

Make = Callable[[str, list[Sample]], Dataset]
NET = {"name": "dmpnn", "hidden": 8, "layers": 2}
LEVEL = {"name": "regression", "level": 0.8}


def asked(objects: Objects, steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    run(steps, storage=objects, cluster="inline")
    return open_dataset(objects, "found").samples.to_pylist()


def test_a_network_answers_by_its_validation(objects: Objects, make_dataset: Make) -> None:
    make_dataset("molecules", molecules(160))
    steps = job(LEVEL, NET, select="last")
    steps[1]["select"] = {}
    rows = asked(objects, steps)
    errors = [abs(row["predicted"] - row["value"]) for row in rows if row["split"] == "val"]
    half = bound(np.array(errors), 0.8)
    for row in rows:
        assert row["high"] - row["predicted"] == pytest.approx(half, abs=1e-5)
        assert row["predicted"] - row["low"] == pytest.approx(half, abs=1e-5)
    held = [row["low"] <= row["value"] <= row["high"] for row in rows if row["split"] == "test"]
    assert 0.6 < np.mean(held) < 0.97
    scores = open_dataset(objects, "scores").attributes["summary"]["metrics"]
    assert scores["coverage"]["value"] == pytest.approx(
        np.mean([row["low"] <= row["value"] <= row["high"] for row in rows])
    )
    assert f"± {half:.4g}" in open_model(objects, "net").read("card.md").decode()


def test_folds_answer_by_what_the_others_held_out(objects: Objects, make_dataset: Make) -> None:
    make_dataset("molecules", molecules(160))
    steps = job(LEVEL, NET, select="last")
    steps[0] |= {"select": {"split": ["train", "val"]}, "folds": "fold"}
    steps[1] |= {"select": {"split": ["train", "val"]}}
    unseen = {**steps[1], "select": {"split": "test"}, "output": "unseen"}
    rows = asked(objects, [*steps[:2], unseen])

    def half(folds: set[int]) -> float:
        errors = [abs(r["predicted"] - r["value"]) for r in rows if r["fold"] in folds]
        return bound(np.array(errors), 0.8)

    for row in rows:
        wanted = half({0, 1, 2} - {row["fold"]})
        assert row["high"] - row["predicted"] == pytest.approx(wanted, abs=1e-4)
    for row in open_dataset(objects, "unseen").samples.to_pylist():
        assert row["high"] - row["predicted"] == pytest.approx(half({0, 1, 2}), abs=1e-4)


def test_classes_have_sets(objects: Objects, make_dataset: Make) -> None:
    samples = molecules(200)
    for one in samples:
        one.row["target"] = int(one.row["value"] > 0)
    make_dataset("molecules", samples)
    task = {"name": "classification", "classes": ["low", "high"], "level": 0.8}
    rows = asked(objects, job(task, NET))
    assert all(set(row["prediction_set"]) <= {"low", "high"} for row in rows)
    names = ["low", "high"]
    held = [names[row["target"]] in row["prediction_set"] for row in rows]
    scores = open_dataset(objects, "scores").attributes["summary"]["metrics"]
    assert scores["coverage"]["value"] == pytest.approx(np.mean(held))
    assert np.mean(held) > 0.6


def test_rows_of_tables_have_intervals_too(objects: Objects, make_dataset: Make) -> None:
    random = np.random.default_rng(0)
    samples = []
    for number in range(120):
        features = random.normal(size=5).astype(np.float32)
        row = {"split": ("train", "val", "test")[number % 3], "value": float(features.sum())}
        samples.append(Sample(f"r{number}", row, {"features": features}))
    make_dataset("molecules", samples)
    rows = asked(objects, job(LEVEL, {"name": "mlp"}))
    held = [row["low"] <= row["value"] <= row["high"] for row in rows]
    scores = open_dataset(objects, "scores").attributes["summary"]["metrics"]
    assert scores["coverage"]["value"] == pytest.approx(np.mean(held))
    assert 0.55 < np.mean(held) < 1


def test_without_a_validation_there_is_no_level(objects: Objects, make_dataset: Make) -> None:
    make_dataset("molecules", molecules(40))
    steps = job(LEVEL, NET)[:1]
    steps[0]["validation"] = {}
    with pytest.raises(SpecError) as caught:
        run(steps, storage=objects, cluster="inline")
    assert "nothing-validated" in str(caught.value)
    steps[0]["task"] = {**LEVEL, "margins": [1.0]}
    assert len(run(steps, storage=objects, cluster="inline").steps) == 1
