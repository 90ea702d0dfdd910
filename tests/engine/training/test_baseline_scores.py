"""The baseline beside a network: printed by train and evaluate, of the same samples."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_info, threadpool_limits

from medray.baselines.logistic import Logistic
from medray.baselines.stored import decode, file_of
from medray.jobs.run import run
from medray.report.collect import collect
from medray.report.page import render
from medray.storage.catalog.datasets import Dataset, open_dataset
from medray.storage.catalog.models import open_model
from medray.storage.shards.samples import Sample
from medray.storage.store.objects import Objects
from tests.outsiders import Median

Make = Callable[[str, list[Sample]], Dataset]
SPLITS = ["train", "train", "val", "test"]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def table(make_dataset: Make) -> tuple[Dataset, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    features = generator.normal(5, 3, (160, 12)).astype(np.float32)
    target = (features[:, 0] + generator.normal(0, 2, 160) > 5).astype(int)
    features[3, 4] = np.nan
    samples = []
    for n in range(160):
        row = {"split": SPLITS[n % 4], "target": int(target[n]), "value": float(features[n, 1])}
        samples.append(Sample(f"s{n:03d}", row | {"fold": n % 3}, {"features": features[n]}))
    return make_dataset("rows", samples), features, target


def job(task: dict[str, Any], **train: Any) -> list[dict[str, Any]]:
    settings = {"epochs": 1, "batch_size": 16, "augment": None, "checkpoint_every": 1000}
    fitted = {
        "kind": "train", "data": "rows", "task": task, "model": {"name": "mlp", "hidden": [4]},
        "output": "net", "train": settings, **train,
    }  # fmt: skip
    where = {} if "folds" in train else {"split": "test"}
    return [
        fitted,
        {"kind": "predict", "model": "net", "data": "rows", "select": where, "output": "found"},
        {
            "kind": "evaluate", "predictions": "found", "data": "rows", "output": "scores",
            "bootstrap": 20,
        },
    ]  # fmt: skip


def test_beside_a_classifier(objects: Objects, make_dataset: Make) -> None:
    _, _, target = table(make_dataset)
    task = {"name": "classification", "classes": ["no", "yes"]}
    trained, _, scored = run(job(task), storage=objects, cluster="inline").steps
    assert trained.metrics["baseline_auc"] > 0.75
    assert "baseline_auc" in open_model(objects, "net").read("card.md").decode()
    assert scored.metrics["baseline_auroc"] > 0.75
    package = open_model(objects, "net")
    (fitted,) = decode(package.read(file_of("logistic")), Logistic)
    from medray.modalities import modality_of, read_plan

    data = open_dataset(objects, "rows")
    test = data.select({"split": "test"})
    plan = read_plan(package.config["plan"])
    design = modality_of(package.config["model"]).design(data, test, plan)
    assert design is not None
    area = roc_auc_score(target[test], fitted.answers(design)[:, 1])
    assert scored.metrics["baseline_auroc"] == pytest.approx(area)
    summary = open_dataset(objects, "scores").attributes["summary"]
    assert summary["baselines"]["logistic"]["auroc"] == pytest.approx(area)
    steps = [{"kind": "evaluate", "output": scored.output}]
    assert "linear baseline: " in render(collect(objects, "page", steps))


def test_beside_a_regression(objects: Objects, make_dataset: Make) -> None:
    table(make_dataset)
    trained, _, scored = run(
        job({"name": "regression", "target": "value"}), storage=objects, cluster="inline"
    ).steps
    assert trained.metrics["baseline_r2"] > 0.95  # the value is one of the features
    assert scored.metrics["baseline_r2"] > 0.95
    assert trained.metrics["baseline_r2"] > trained.metrics["val_r2"]


def test_a_task_from_outside_brings_its_own(
    objects: Objects, make_dataset: Make, plugged: None
) -> None:
    data, features, _ = table(make_dataset)
    steps = run(job({"name": "rates", "target": "value"}), storage=objects, cluster="inline").steps
    (fitted,) = decode(open_model(objects, "net").read(file_of("median")), Median)
    assert isinstance(fitted, Median)
    learnt = np.asarray(data.select({"split": "train"}))
    some = learnt[np.linspace(0, len(learnt) - 1, Median.most).astype(int)]
    assert fitted.count == Median.most
    assert fitted.values == pytest.approx(np.median(features[some, 1]))
    test = features[data.select({"split": "test"}), 1]
    error = np.sqrt(((test - fitted.values[0]) ** 2).mean())
    assert steps[2].metrics["baseline_rmse"] == pytest.approx(error, rel=1e-5)


def test_a_baseline_is_fitted_by_one_thread(
    objects: Objects, make_dataset: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the machine has, else its last digits would depend on that."""
    seen: list[set[int]] = []
    fit = Logistic.of_classes

    def watched(design: np.ndarray, classes: np.ndarray, count: int) -> Logistic:
        seen.append({one["num_threads"] for one in threadpool_info()})
        return fit(design, classes, count)

    monkeypatch.setattr(Logistic, "of_classes", watched)
    table(make_dataset)
    with threadpool_limits(2):
        run(
            job({"name": "classification", "classes": ["no", "yes"]})[:1],
            storage=objects,
            cluster="inline",
        )
        assert seen == [{1}]
        assert 2 in {one["num_threads"] for one in threadpool_info()}


def test_in_folds_each_case_is_answered_by_the_baseline_that_has_not_seen_it(
    objects: Objects, make_dataset: Make
) -> None:
    data, _, target = table(make_dataset)
    task = {"name": "classification", "classes": ["no", "yes"]}
    steps = job(task, folds="fold", select={})
    trained, _, scored = run(steps, storage=objects, cluster="inline").steps
    package = open_model(objects, "net")
    members = decode(package.read(file_of("logistic")), Logistic)
    assert len(members) == 3
    from medray.modalities import modality_of, read_plan

    answers = np.zeros(160)
    for at, (fold, member) in enumerate(
        zip(package.config["folds"]["members"], members, strict=True)
    ):
        held = list(range(at, 160, 3))
        plan = read_plan(fold["plan"])
        design = modality_of(package.config["model"]).design(data, held, plan)
        assert design is not None
        answers[held] = member.answers(design)[:, 1]
    assert scored.metrics["baseline_auroc"] == pytest.approx(roc_auc_score(target, answers))
    assert trained.metrics["baseline_auc"] > 0.7
    assert json.dumps(scored.metrics)
