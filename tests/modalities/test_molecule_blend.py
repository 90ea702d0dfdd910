"""Baselines answer with the network: the mean of all, in bulk and one by one, judged as one."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from medray.errors import SpecError
from medray.jobs.run import run
from medray.modalities.base import Asking
from medray.modalities.folds import predictor_of
from medray.modalities.loaded import load_model
from medray.modalities.molecule.cases import MoleculeCases
from medray.modalities.molecule.design import COLUMNS, design
from medray.modalities.molecule.plan import MoleculePredictOptions
from medray.storage.catalog.datasets import Dataset, open_dataset
from medray.storage.catalog.models import open_model
from medray.storage.shards.samples import Sample
from medray.storage.shards.stored import InShard
from medray.storage.store.objects import Objects
from medray.tasks.metrics.conformal import bound
from medray.tasks.metrics.probability import auroc
from tests.modalities.test_molecule import job
from tests.molecules import molecules

Make = Callable[[str, list[Sample]], Dataset]
CPU = torch.device("cpu")
FOREST, NET = "random-forest", {"name": "dmpnn", "hidden": 8, "layers": 2}


def answered(objects: Objects, data: Dataset, kinds: list[str], member: Any = None) -> np.ndarray:
    """The mean of what a network and baselines say of all molecules, each asked by itself."""
    net = load_model(objects, "net").members[member]
    cases = MoleculeCases(data, range(len(data)), net.plan)
    with torch.no_grad():
        each = [net.task.probabilities(net.network(cases.molecules.tree(CPU))).numpy()]
    columns = design(data, range(len(data)), described=True)
    assert columns.shape[1] == COLUMNS + 9
    return np.mean([*each, *(net.baseline(kind).answers(columns) for kind in kinds)], axis=0)


@pytest.mark.parametrize("beside", [[], ["descriptors"]])
def test_values_are_the_mean_of_all(
    objects: Objects, make_dataset: Make, beside: list[str]
) -> None:
    data = make_dataset("molecules", molecules(120))
    task = {"name": "regression", "level": 0.8}
    steps = job(task, {**NET, "beside": beside}, select="last")
    steps[0] |= {"plan": {"blend": ["ridge", FOREST]}}
    steps[1] |= {"select": {}}
    made = run(steps, storage=objects, cluster="inline").steps
    wanted = answered(objects, data, ["ridge", FOREST])[:, 0]
    rows = open_dataset(objects, "found").samples.to_pylist()
    assert [row["predicted"] for row in rows] == pytest.approx(wanted.tolist(), abs=1e-4)
    # What the validation says is said of the mean, and so are intervals.
    truth = np.array([row["value"] for row in rows])
    held = np.array([row["split"] == "val" for row in rows])
    errors = np.abs(wanted - truth)[held]
    metrics = open_model(objects, "net").metrics
    assert metrics["val_rmse"] == pytest.approx(float(np.sqrt((errors**2).mean())), rel=1e-3)
    assert rows[0]["high"] - rows[0]["low"] == pytest.approx(2 * bound(errors, 0.8), rel=1e-3)
    assert "baseline-random-forest_rmse" in made[-1].metrics
    asked = predictor_of(load_model(objects, "net"), Asking(MoleculePredictOptions()))
    prepared = [asked.prepare(InShard(data.shards[0], at), 1) for at in (5, 2)]
    one = [sample.row["predicted"] for sample in asked.compute(prepared)]
    assert one == pytest.approx(wanted[[5, 2]].tolist(), abs=1e-4)


def test_probabilities_are_the_mean_of_all_and_of_folds(
    objects: Objects, make_dataset: Make
) -> None:
    samples = molecules(120)
    for one in samples:
        one.row["target"] = int(one.row["value"] > 0)
    data = make_dataset("molecules", samples)
    task = {"name": "classification", "classes": ["low", "high"]}
    steps = job(task, NET, select="last")
    steps[0] |= {
        "plan": {"blend": [FOREST]}, "folds": "fold", "select": {"split": ["train", "val"]},
    }  # fmt: skip
    run(steps, storage=objects, cluster="inline")
    each = [answered(objects, data, [FOREST], fold) for fold in range(3)]
    rows = open_dataset(objects, "found").samples.to_pylist()
    for row in rows:
        wanted = np.mean([one[int(row["sample_id"][1:])] for one in each], axis=0)
        assert row["probability"] == pytest.approx(wanted.tolist(), abs=1e-5)
        assert sum(row["probability"]) == pytest.approx(1)
    areas = []
    for fold in range(3):
        held = [
            at for at, one in enumerate(samples)
            if one.row["fold"] == fold and one.row["split"] != "test"
        ]  # fmt: skip
        positive = np.array([samples[at].row["target"] == 1 for at in held])
        areas.append(auroc(each[fold][held, 1], positive, np.ones((1, len(held))))[0])
    assert open_model(objects, "net").metrics["val_auc"] == pytest.approx(np.mean(areas), abs=1e-6)


def test_a_baseline_that_there_is_not_is_refused(objects: Objects, make_dataset: Make) -> None:
    make_dataset("molecules", molecules(40))
    steps = job({"name": "regression"}, NET)[:1]
    steps[0] |= {"plan": {"blend": ["logistic"]}}
    with pytest.raises(SpecError) as caught:
        run(steps, storage=objects, cluster="inline")
    assert "no-baseline" in str(caught.value)
    assert "ridge, random-forest" in str(caught.value)


def test_one_that_learnt_nothing_can_not_answer(objects: Objects, make_dataset: Make) -> None:
    samples = molecules(40)
    for one in samples:
        one.row["target"] = 0
    make_dataset("molecules", samples)
    task = {"name": "classification", "classes": ["low", "high"], "class_weights": "none"}
    steps = job(task, NET, epochs=1)[:1]
    steps[0] |= {"plan": {"blend": [FOREST]}}
    with pytest.raises(SpecError) as caught:
        run(steps, storage=objects, cluster="inline")
    assert caught.value.code == "no-baseline"


def test_a_baseline_that_takes_long_is_fitted_where_it_is_to_answer(
    objects: Objects, make_dataset: Make
) -> None:
    data = make_dataset("molecules", molecules(60))
    steps = job({"name": "regression"}, NET, select="last")
    run(steps[:1], storage=objects, cluster="inline")
    assert "baseline-kernel-ridge.safetensors" not in open_model(objects, "net").files
    steps[0] |= {"plan": {"blend": ["kernel-ridge"]}}
    steps[1] |= {"select": {}}
    made = run(steps, storage=objects, cluster="inline").steps
    rows = open_dataset(objects, "found").samples["predicted"].to_pylist()
    assert rows == pytest.approx(answered(objects, data, ["kernel-ridge"])[:, 0].tolist(), abs=1e-4)
    assert "baseline-kernel-ridge_rmse" in made[2].metrics  # told beside, as others are
