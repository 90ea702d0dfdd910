"""Learning curves: which labels are seen, that each network is a unit, and what is said of all."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from medray.engine.training.held_out import judged_on
from medray.engine.training.loop import fit, weights_of
from medray.engine.training.ranks import World
from medray.errors import SpecError
from medray.jobs.run import run
from medray.report.collect import collect
from medray.report.page import render
from medray.steps.train.curve.conclude import estimate
from medray.steps.train.curve.draw import drawn
from medray.steps.train.curve.operation import Learn
from medray.storage.catalog.datasets import Dataset, open_dataset
from medray.storage.shards.samples import Sample
from medray.storage.store.objects import Objects
from medray.tasks import build_task

Make = Callable[[str, list[Sample]], Dataset]
TASK = {"name": "classification", "classes": ["a", "b"], "class_weights": "none"}
TRAIN = {"epochs": 2, "steps_per_epoch": 2, "batch_size": 4, "optimiser": {"lr": 0.01}}
TEACHER = {"objective": {"name": "mean-teacher"}, "unlabelled_batch_size": 6}


@pytest.fixture
def spots(make_dataset: Make) -> Dataset:
    """Forty-eight pictures of two classes, the last eight to judge on."""
    torch.set_num_threads(1)
    generator = np.random.default_rng(0)
    samples = []
    for number in range(48):
        image = generator.normal(0, 1, (1, 8, 8)).astype(np.float32)
        image[0, 2:5, 2:5] += 2 * (number % 4 == 0)
        part = "test" if number >= 40 else "train"
        row = {"split": part, "target": int(number % 4 == 0)}
        samples.append(Sample(f"s{number:02d}", row, {"image": image}))
    return make_dataset("spots", samples)


def job(**more: Any) -> dict[str, Any]:
    return {
        "kind": "learning-curve",
        "data": "spots",
        "shares": [0.2, 1],
        "draws": 3,
        "task": TASK,
        "model": {"name": "cnn", "dims": 2, "features": [4], "convs": 1},
        "plan": {"patch": [8, 8]},
        "train": TRAIN,
        "arms": {"supervised": {}, "taught": TEACHER},
        "output": "curve",
        **more,
    }


def test_labels_are_drawn_by_class_and_within_each_other() -> None:
    task = build_task(TASK)
    rows = [{"sample_id": f"s{n}", "target": int(n % 5 == 0)} for n in range(100)]
    shares = (0.01, 0.1, 0.25, 1)
    found = [drawn(rows, task, share, seed=3, draw=1) for share in shares]
    assert [len(one) for one in found] == [2, 10, 25, 100]
    assert [sum(rows[at]["target"] for at in one) for one in found] == [1, 2, 5, 20]
    assert all(set(less) < set(more) for less, more in pairwise(found))
    assert found[1] == drawn(rows, task, 0.1, seed=3, draw=1)
    assert found[1] != drawn(rows, task, 0.1, seed=3, draw=2)
    assert found[1] != drawn(rows, task, 0.1, seed=4, draw=1)


def test_subjects_are_drawn_whole() -> None:
    rows = [
        {"sample_id": f"s{n}", "subject": f"p{n // 4}", "target": n % 4 // 3} for n in range(40)
    ]
    found = drawn(rows, build_task(TASK), 0.3, seed=0, draw=0)
    assert len(found) == 12
    assert len({rows[at]["subject"] for at in found}) == 3
    masks = build_task({"name": "segmentation", "classes": ["none", "a"]})
    assert len(drawn(rows, masks, 0.5, seed=0, draw=0)) == 20


def test_an_interval_is_students() -> None:
    found = estimate([0.7, 0.8, 0.9])
    assert found["value"] == pytest.approx(0.8)
    assert found["low"] == pytest.approx(0.8 - 4.302653 * 0.1 / 3**0.5, abs=1e-6)
    assert estimate([0.7, 0.9])["low"] is None
    assert estimate([])["value"] is None


def test_a_curve_of_two_arms(spots: Dataset, objects: Objects) -> None:
    result = run([job()], storage=objects, cluster="inline")
    assert result.steps[0].units.committed == 12
    data = open_dataset(objects, "curve")
    rows = data.samples.to_pylist()
    told = [(row["arm"], row["share"], row["labels"], row["unlabelled"]) for row in rows]
    assert sorted(set(told)) == [
        ("supervised", 0.2, 8, 0),
        ("supervised", 1.0, 40, 0),
        ("taught", 0.2, 8, 40),
        ("taught", 1.0, 40, 40),
    ]
    assert all(0 <= row["auc"] <= 1 and row["steps"] == 4 for row in rows)
    curve = data.attributes["curve"]
    of = {(row["arm"], row["share"]): row for row in curve}
    mine = [row["auc"] for row in rows if (row["arm"], row["share"]) == ("taught", 0.2)]
    assert of["taught", 0.2]["metrics"]["auc"]["value"] == pytest.approx(np.mean(mine))
    less = of["taught", 0.2]["less"]["auc"]
    means = [of[arm, 0.2]["metrics"]["auc"]["value"] for arm in ("taught", "supervised")]
    assert less["value"] == pytest.approx(means[0] - means[1])
    assert less["subjects"] == 3
    assert result.steps[0].metrics["auc_taught_0.2"] == means[0]
    page = render(collect(objects, "job", [{"kind": "learning-curve", "output": data.reference}]))
    assert "Learning curve: curve" in page
    assert "Over supervised, draw by draw" in page
    assert "at their end, on split test." in page
    assert "AUROC of taught, 20 %" in page
    assert objects.folders("models") == []


def test_a_network_is_what_a_training_of_its_labels_gives(
    spots: Dataset, objects: Objects, tmp_path: Any
) -> None:
    run([job(shares=[0.2], draws=1, arms={"taught": TEACHER})], storage=objects, cluster="inline")
    (row,) = open_dataset(objects, "curve").samples.to_pylist()
    chosen = spots.select({"split": "train"})
    rows = spots.samples.take(chosen).to_pylist()
    seen = drawn(rows, build_task(TASK), 0.2, seed=0, draw=0)
    settings = {"arms": {"taught": {**TRAIN, **TEACHER}}, "hides": ["taught"], "seed": 0}
    parameters = {**job(), **settings, "data": spots.reference, "select": {"split": "train"}}
    own = [chosen[at] for at in seen]
    names = [rows[at]["sample_id"] for at in seen]
    setup = Learn(objects, parameters)._setup("taught", 0, own, names, Objects(str(tmp_path)))
    result = fit(setup, World())
    found = judged_on(setup, weights_of(setup, result), {"split": "test"})
    assert found == {name: row[name] for name in found}


def test_a_kill_costs_one_network(
    spots: Dataset, objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And more draws are learnt beside those that are there."""
    learn, begun = Learn.compute, []

    def compute(self: Learn, samples: Sequence[Sample]) -> Iterator[Sample]:
        begun.append(samples[0].id)
        if len(begun) == 3:
            raise KeyboardInterrupt
        return learn(self, samples)

    asked = job(shares=[0.2], draws=2)
    monkeypatch.setattr(Learn, "compute", compute)
    with pytest.raises(KeyboardInterrupt):
        run([asked], storage=objects, cluster="inline")
    lost = begun[2]
    units = run([asked], storage=objects, cluster="inline").steps[0].units
    assert units.committed + units.skipped == 4
    assert begun.count(lost) == 2
    assert len(begun) == 5
    more = run([job(shares=[0.2], draws=3)], storage=objects, cluster="inline").steps[0].units
    assert (more.committed, more.skipped) == (2, 4)


def test_a_curve_of_masks(balls: Dataset, objects: Objects) -> None:
    """Whole subjects' masks are hidden, and their volumes taught."""
    asked = job(
        data="balls",
        judge={"split": "val"},
        shares=[0.25],
        draws=1,
        task={"name": "segmentation", "classes": ["background", "a", "b"]},
        model={"name": "unet", "features": [4, 8], "convs": 1},
        plan={"patch": [8, 8, 8]},
        train={**TRAIN, "batch_size": 2},
        arms={"taught": {**TEACHER, "unlabelled_batch_size": 2}},
    )
    run([asked], storage=objects, cluster="inline")
    (row,) = open_dataset(objects, "curve").samples.to_pylist()
    assert (row["labels"], row["unlabelled"]) == (3, 12)
    assert 0 <= row["dice"] <= 1
    assert {"dice_a", "dice_b"} <= row.keys()


@pytest.mark.parametrize(
    ("changed", "code", "about"),
    [
        ({"judge": {"split": "train"}}, "shared-parts", "share 40 samples"),
        ({"judge": {"split": "tset"}}, "nothing-selected", ""),
        ({"shares": [0.2, 0.2]}, "bad-field", "names one twice"),
        ({"arms": {"a": {"lr": 1}}}, "bad-field", "has no lr"),
        ({"arms": {"a": {"epochs": 0}}}, "bad-field", ""),
        ({"arms": {"a": {"workers": 2}}}, "one-worker", ""),
        ({"arms": {"a": {"objective": {"name": "mean-teachr"}}}}, "unknown-plugin", ""),
        ({"arms": {"a": {"early_stopping": {}}}}, "nothing-validated", ""),
        ({"task": {**TASK, "classes": ["a"]}}, "bad-field", ""),
    ],
)
def test_what_cannot_be_is_refused(
    spots: Dataset, objects: Objects, changed: dict[str, Any], code: str, about: str
) -> None:
    with pytest.raises(SpecError) as caught:
        run([job(**changed)], storage=objects, cluster="inline")
    assert caught.value.code == code
    assert about in str(caught.value)
