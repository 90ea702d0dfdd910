"""Survival as steps of a job: curves of networks, of several that answer together, and of Cox."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from medray.baselines.stored import baseline_of
from medray.data.order import seed_of
from medray.errors import SpecError
from medray.jobs.run import run
from medray.modalities import modality_of, read_plan
from medray.report.collect import collect
from medray.report.page import render
from medray.storage.catalog.datasets import Dataset, open_dataset
from medray.storage.catalog.models import open_model
from medray.storage.shards.samples import Sample
from medray.storage.store.objects import Objects
from medray.tasks.metrics.survival.estimators import kaplan_meier

TRAIN: dict[str, Any] = {
    "kind": "train",
    "data": "cohort",
    "validation": {},
    "task": {"name": "survival", "intervals": 8, "horizons": [1.0]},
    "model": {"name": "mlp", "hidden": [], "dropout": 0.0},
    "output": "net",
    "train": {
        "epochs": 12, "batch_size": 32, "augment": None, "select": "last", "validate_every": 12,
        "checkpoint_every": 10000, "optimiser": {"lr": 0.03},
    },
}  # fmt: skip
PREDICT = {
    "kind": "predict", "model": "net", "data": "cohort", "select": {"split": "test"}, "batch": 64,
    "output": "told",
}  # fmt: skip
EVALUATE = {
    "kind": "evaluate", "predictions": "told", "data": "cohort", "output": "scores",
    "bootstrap": 50,
}  # fmt: skip


@pytest.fixture
def cohort(make_dataset: Callable[..., Dataset]) -> Dataset:
    """Who has a high first feature has the event early; a third is lost before."""
    random = np.random.default_rng(0)
    samples = []
    for at in range(260):
        features = random.normal(size=4).astype(np.float32)
        death, lost = random.exponential(np.exp(-1.5 * features[0])), random.exponential(2.0)
        row = {
            "time": float(min(death, lost)),
            "event": int(death <= lost),
            "cause": int(death <= lost) * (1 + at // 4 % 2),
            "split": "test" if at % 4 == 0 else "train",
            "fold": at % 3,
        }
        samples.append(Sample(f"s{at}", row, {"features": features}))
    return make_dataset("cohort", samples)


def job(objects: Objects, *steps: dict[str, Any]) -> Any:
    return run(list(steps), storage=objects, cluster="inline")


def changed(step: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The step with other values; of `task` and `train` those that are given."""
    return {**step, **more} | {
        name: {**step[name], **more[name]} for name in ("task", "train") if name in more
    }


@pytest.mark.parametrize("loss", ["hazard", "cox"])
def test_the_whole_way(objects: Objects, cohort: Dataset, loss: str) -> None:
    done = job(objects, changed(TRAIN, task={"loss": loss}), PREDICT, EVALUATE)
    scored = done.steps[-1]
    # The best there is has a C of about 0.8 here, chance one of a half.
    assert scored.metrics["c_index"] > 0.7
    assert scored.metrics["baseline_c_index"] > 0.7
    assert scored.metrics["brier"] < scored.metrics["brier_unknowing"] - 0.01
    told = open_dataset(objects, done.steps[1].output)
    rows = told.samples.to_pylist()
    package = open_model(objects, done.steps[0].output)
    times = package.config["task"]["times"]
    train = cohort.samples.filter(np.asarray(cohort.samples["split"]) == "train").to_pylist()
    assert times[-1] == pytest.approx(max(row["time"] for row in train if row["event"]))
    for row in rows:
        assert row["times"] == times
        assert (np.diff([1.0, *row["survival"]]) <= 1e-6).all()
        assert 0 <= row["risk"] <= 1
    # On average they are told what became of them by 1.
    curve = kaplan_meier(*(np.array([row[name] for row in rows]) for name in ("time", "event")))
    left = np.mean([row["survival_at"][0] for row in rows])
    assert left == pytest.approx(curve.at(np.ones(1), 1.0)[0][0], abs=0.08)
    page = render(collect(objects, "page", [one.as_json() for one in done.steps]))
    for words in ("C-index (Harrell)", "By predicted risk, in thirds", "Cox regression"):
        assert words in page, words


def test_causes_compete_where_they_are_named(objects: Objects, cohort: Dataset) -> None:
    named = {"event": "cause", "events": ["relapse", "death"]}
    done = job(objects, changed(TRAIN, task=named), PREDICT, EVALUATE)
    summary = open_dataset(objects, done.steps[-1].output).attributes["summary"]
    assert set(summary["classes"]) == {"relapse", "death"}
    assert all(one["c_index"]["value"] > 0.6 for one in summary["classes"].values())
    assert list(summary["baselines"]) == ["cox"]
    (row, *_) = open_dataset(objects, done.steps[1].output).samples.to_pylist()
    both = np.sum([row["incidence"]["relapse"], row["incidence"]["death"]], axis=0)
    assert np.allclose(both, 1 - np.asarray(row["survival"]), atol=1e-6)
    with pytest.raises(Exception, match="unknown-event"):
        job(objects, changed(TRAIN, task={"event": "cause"}, output="other"))


def test_members_answer_with_their_mean(objects: Objects, cohort: Dataset) -> None:
    together = job(objects, {**TRAIN, "members": 3}, PREDICT, EVALUATE)
    package = open_model(objects, together.steps[0].output)
    assert package.config["folds"]["column"] == ""
    assert package.metrics["members"] == 3
    curves = []
    for number in range(3):
        alone = changed(TRAIN, train={"seed": seed_of(0, number) % 2**32}, output=f"net{number}")
        answers = {**PREDICT, "model": f"net{number}", "output": f"told{number}"}
        made = job(objects, alone, answers)
        rows = open_dataset(objects, made.steps[1].output).samples.to_pylist()
        curves.append([row["survival"] for row in rows])
    mean = open_dataset(objects, together.steps[1].output).samples.to_pylist()
    assert np.allclose([row["survival"] for row in mean], np.mean(curves, axis=0), atol=1e-6)
    assert not np.allclose(curves[0], curves[1], atol=1e-3), "they learnt from other seeds"
    summary = open_dataset(objects, together.steps[2].output).attributes["summary"]
    assert summary["learnt"]["samples"] == 0
    # All of them learnt from whom they are asked about, and the page says so.
    leaked = job(objects, {**PREDICT, "select": {"split": "train"}, "output": "seen"},
                 {**EVALUATE, "predictions": "seen", "output": "seen-scores"})  # fmt: skip
    seen = open_dataset(objects, leaked.steps[1].output).attributes["summary"]["learnt"]
    assert seen["samples"] == seen["cases"] == 195


def test_a_validation_of_members_is_of_their_mean(objects: Objects, cohort: Dataset) -> None:
    step = {**TRAIN, "members": 2, "validation": {"split": "test"}}
    trained = job(objects, step).steps[0]
    scored = job(objects, PREDICT, EVALUATE).steps[1]
    assert trained.metrics["val_c_index"] == pytest.approx(scored.metrics["c_index"], abs=1e-9)
    assert trained.metrics["baseline_c_index"] == pytest.approx(scored.metrics["baseline_c_index"])


def test_a_baseline_may_answer_with_the_network(objects: Objects, cohort: Dataset) -> None:
    step = changed(TRAIN, validation={"split": "test"})
    alone, both = (
        job(objects, {**step, "plan": {"blend": blend}}, PREDICT, EVALUATE).steps
        for blend in ([], ["cox"])
    )
    told = [
        np.array(open_dataset(objects, made[1].output).samples["survival"].to_pylist())
        for made in (alone, both)
    ]
    package = open_model(objects, both[0].output)
    plan = read_plan(package.config["plan"])
    indices = cohort.select({"split": "test"})
    design = modality_of(package.config["model"]).design(cohort, indices, plan)
    cox = 1 - baseline_of(package, 0, "cox").answers(design)
    assert np.allclose(told[1], (told[0] + cox) / 2, atol=1e-6)
    assert both[0].metrics["val_c_index"] == pytest.approx(both[2].metrics["c_index"])


def test_folds_tell_curves_at_the_same_times(objects: Objects, cohort: Dataset) -> None:
    step = {**TRAIN, "folds": "fold", "select": {}}
    done = job(objects, step, {**PREDICT, "select": {}}, EVALUATE)
    rows = open_dataset(objects, done.steps[1].output).samples.to_pylist()
    assert len({tuple(row["times"]) for row in rows}) == 1
    members = open_model(objects, done.steps[0].output).config["folds"]["members"]
    ends = {tuple(one["plan"]["frequencies"]) for one in members}
    assert len(ends) == 3, "intervals are those of each one's own training samples"
    assert done.steps[2].metrics["c_index"] > 0.7


def test_one_member_is_the_training_that_it_was(objects: Objects, cohort: Dataset) -> None:
    first, second = job(objects, TRAIN).steps[0], job(objects, {**TRAIN, "members": 1}).steps[0]
    assert (first.run, first.output) == (second.run, second.output)
    assert second.units.skipped == 1


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"members": 2, "folds": "fold"}, "members"),
        ({"members": 0}, "members"),
        ({"plan": {"blend": ["ridge"]}}, "no-baseline"),
        ({"task": {"name": "survival", "time": "months"}}, "no-such-column"),
    ],
)
def test_what_cannot_be_is_refused_before(
    objects: Objects, cohort: Dataset, more: dict[str, Any], code: str
) -> None:
    with pytest.raises(SpecError) as caught:
        job(objects, {**TRAIN, **more})
    assert code in str(caught.value) + caught.value.about


def test_an_endpoint_tells_risk_and_curve(objects: Objects, cohort: Dataset) -> None:
    from medray.modalities.base import Asking
    from medray.modalities.folds import predictor_of
    from medray.modalities.loaded import load_model
    from medray.modalities.table.predictor import TablePredictor  # noqa: F401 - as it is served
    from medray.modalities.wire import Answer, Limits
    from medray.storage.shards.stored import InMemory

    job(objects, {**TRAIN, "members": 2})
    model = load_model(objects, "net")
    wire = modality_of(model.package.config["model"]).wire(
        model.package.config["folds"]["members"][0]["plan"]
    )
    body = json.dumps({"features": {"features": [2.0, 0, 0, 0]}}).encode()
    (sample,) = wire.read(body, "application/json", Limits(1000)).samples
    predictor = predictor_of(model, Asking(None, batch=1))
    (answer,) = predictor.compute([predictor.prepare(InMemory(sample), 1)])
    answers = [Answer(sample.id, {}, answer.row, {})]
    told = json.loads(wire.write("net@1", answers, "application/json", many=False))
    assert set(told) == {"model", "risk", "median", "times", "survival", "survival_at"}
    assert told["risk"] > 0.5
    assert len(told["times"]) == len(told["survival"]) == 8
