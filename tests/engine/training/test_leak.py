"""A training whose parts share somebody is refused, or forced, and then its page is red."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from medray.engine.training.leak import cautions, shared, told
from medray.errors import SpecError
from medray.jobs.run import run
from medray.report.collect import collect
from medray.report.page import render
from medray.storage.catalog.datasets import Dataset
from medray.storage.catalog.models import open_model
from medray.storage.shards.samples import Sample
from medray.storage.store.objects import Objects

Make = Callable[[str, list[Sample]], Dataset]


def features(make_dataset: Make, subjects: str, records: str = "") -> Dataset:
    """Twelve samples, the last four of which validate."""
    generator = np.random.default_rng(0)
    samples = []
    for number in range(12):
        row: dict[str, Any] = {
            "split": "val" if number >= 8 else "train",
            "fold": number % 3,
            "subject": subjects[number] if subjects[number] != "-" else None,
            "target": number % 2,
        }
        if records:
            row["record"] = records[number]
        values = generator.normal(number % 2, 1, 3).astype(np.float32)
        samples.append(Sample(f"s{number:02d}", row, {"features": values}))
    return make_dataset("cells", samples)


def step(**more: Any) -> dict[str, Any]:
    return {
        "kind": "train",
        "data": "cells",
        "task": {"name": "classification", "classes": ["a", "b"]},
        "model": {"name": "mlp"},
        "output": "net",
        "train": {"epochs": 1, "batch_size": 4},
        **more,
    }


def test_who_is_in_both_parts_is_counted(make_dataset: Make) -> None:
    data = features(make_dataset, "aabbccddcdee", "0123456789aa")
    parts = {"split": "train"}, {"split": "val"}
    assert shared(data, *parts) == {"subject": 2}
    assert shared(data, {"split": "train"}, {}) == {}
    assert shared(data, {"split": "train"}, {"split": "test"}) == {}
    assert shared(data, {"fold": [0, 1]}, {"fold": 2}) == {"subject": 3, "record": 1}
    assert told({"subject": 4, "record": 1}) == "4 subjects and 1 record"
    assert cautions({}) == []


def test_a_shared_subject_is_refused(objects: Objects, make_dataset: Make) -> None:
    features(make_dataset, "aabbccddcefg")
    with pytest.raises(SpecError, match="share 1 subject") as caught:
        run([step()], storage=objects, cluster="inline")
    assert caught.value.code == "shared-parts"
    with pytest.raises(SpecError, match=r"share . subjects"):
        run([step(select={}, folds="fold")], storage=objects, cluster="inline")


def test_samples_of_nobody_share_nothing(objects: Objects, make_dataset: Make) -> None:
    features(make_dataset, "------------")
    result = run([step()], storage=objects, cluster="inline")
    assert not result.steps[0].cautions
    assert "shared" not in open_model(objects, "net").config


def test_a_forced_training_says_so_in_red(objects: Objects, make_dataset: Make) -> None:
    features(make_dataset, "aabbccddcefg", "000000000123")
    result = run([step(allow_leak=True)], storage=objects, cluster="inline")
    said = "its validation shares 1 subject and 1 record with what it learnt from"
    assert said in result.steps[0].cautions[0]
    assert open_model(objects, "net").config["shared"] == {"subject": 1, "record": 1}
    report = collect(objects, "job", [{"kind": "train", "output": result.steps[0].output}])
    assert report.verdict[0] == "bad"
    assert report.verdict[2].startswith(f"net: {said}")
    assert f'<p class="card bad"><strong>net: {said}' in render(report)
