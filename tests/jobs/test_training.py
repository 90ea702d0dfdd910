"""Train, predict, evaluate and export as steps of one job, in this process."""

import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from medray.errors import InterruptedRun, SpecError
from medray.jobs.run import run
from medray.jobs.status import jobs
from medray.spec.documents import place
from medray.spec.load import check_step, read_job
from medray.steps.base.events import Event, Tally
from medray.steps.base.resolve import resolve
from medray.storage.catalog.commits import Commits
from medray.storage.catalog.datasets import Dataset, open_dataset
from medray.storage.catalog.ledger import Ledger
from medray.storage.catalog.models import open_model
from medray.storage.catalog.publish import publish
from medray.storage.store.objects import Objects

TRAIN: dict[str, Any] = {
    "kind": "train",
    "data": "balls",
    "task": {"name": "segmentation", "classes": ["none", "a", "b"]},
    "plan": {"patch": [8, 8, 8]},
    "model": {"name": "unet", "features": [4, 8]},
    "output": "net",
    "train": {"epochs": 2, "steps_per_epoch": 2, "batch_size": 2, "augment": None},
}
PREDICT = {
    "kind": "predict",
    "model": "net",
    "data": "balls",
    "select": {"split": "val"},
    "output": "masks",
}
EVALUATE = {
    "kind": "evaluate",
    "predictions": "masks",
    "data": "balls",
    "output": "scores",
    "bootstrap": 20,
}


def job(*steps: dict[str, Any], objects: Objects, **options: Any):
    return run(list(steps), storage=objects, cluster="inline", **options)


def test_the_whole_way(objects: Objects, balls: Dataset, tmp_path: Path) -> None:
    export = {
        "kind": "export",
        "data": "masks",
        "format": {"name": "table"},
        "to": str(tmp_path / "out"),
    }
    done = job(TRAIN, PREDICT, EVALUATE, export, objects=objects)
    trained, predicted, scored, exported = done.steps
    assert trained.units == Tally(1, 1, 0, 0)
    assert set(trained.metrics) >= {"val_dice", "val_dice_a", "val_dice_b"}
    model = open_model(objects, trained.output)
    assert model.digest == trained.digest
    assert model.parents == [balls.reference]
    assert model.config["plan"]["dims"] == 3  # as many as the data have, though nobody said so
    assert predicted.units == Tally(4, 4, 0, 0)
    masks = open_dataset(objects, predicted.output)
    assert masks.parents == [balls.reference, model.reference]
    assert masks.attributes["select"] == {"split": "val"}
    assert scored.units == Tally(4, 4, 0, 0)
    assert 0 <= scored.metrics["dice"] <= 1
    scores = open_dataset(objects, scored.output)
    assert scores.attributes["metrics"] == scored.metrics
    assert scores.attributes["summary"]["metrics"]["dice"]["value"] == scored.metrics["dice"]
    assert exported.output.startswith("masks-table@")
    assert list((tmp_path / "out").iterdir())

    again = job(TRAIN, PREDICT, EVALUATE, export, objects=objects)
    assert [step.output for step in again.steps] == [step.output for step in done.steps]
    assert [step.units.committed for step in again.steps] == [0, 0, 0, 0]
    assert again.steps[2].metrics == scored.metrics


def test_another_number_of_resamples_scores_nothing_anew(objects: Objects, balls: Dataset) -> None:
    job(TRAIN, PREDICT, EVALUATE, objects=objects)
    more = job({**EVALUATE, "bootstrap": 30}, objects=objects).steps[0]
    assert more.units == Tally(planned=4, committed=0, skipped=4, quarantined=0)


def test_a_stopped_training_goes_on_where_it_stopped(objects: Objects, balls: Dataset) -> None:
    stop = threading.Event()
    epochs: list[tuple[int, int]] = []

    def listen(event: Event) -> None:
        if event.name == "epoch":
            epochs.append((event.fields["epoch"], event.fields["step"]))
            stop.set()

    with pytest.raises(InterruptedRun):
        job(TRAIN, objects=objects, on_event=listen, stop=stop)
    assert epochs == [(1, 2)]
    state = jobs(objects)[0]
    assert (state.state, state.steps[0].kind, state.steps[0].committed) == (
        "interrupted",
        "train",
        0,
    )
    resumed = job(TRAIN, objects=objects, on_event=listen)
    assert epochs == [(1, 2), (2, 4)]
    history = json.loads(open_model(objects, "net").read("history.json"))
    assert [row["step"] for row in history] == [0, 1, 2, 3]
    assert resumed.steps[0].units == Tally(1, 1, 0, 0)


def test_a_model_that_was_removed_is_trained_again(objects: Objects, balls: Dataset) -> None:
    first = job(TRAIN, objects=objects).steps[0]
    objects.delete([entry.path for entry in objects.walk("models/net")])
    again = job(TRAIN, objects=objects).steps[0]
    assert again.units == Tally(1, 1, 0, 0)
    assert again.digest == first.digest


def test_run_ids_of_a_training_do_not_hang_on_its_workers(objects: Objects, balls: Dataset) -> None:
    def run_id(*settings: str) -> str:
        source = read_job(TRAIN, settings)
        step = check_step(source, 0)
        return resolve(step, objects, lambda *parts: place("job", 1, *parts)).run

    assert run_id() == run_id("train.workers=2", "train.keep=1")
    assert run_id() != run_id("train.seed=1")
    assert run_id() != run_id("task.dice=0.5")
    assert run_id().startswith("train-")


def test_what_was_repaired_is_not_learnt_from_again(objects: Objects, balls: Dataset) -> None:
    def again() -> str:
        step = check_step(read_job(TRAIN), 0)
        return resolve(step, objects, lambda *parts: place("job", 1, *parts)).run

    before = again()
    commit = Ledger(objects, "balls").commit_of("u0")
    assert commit is not None
    elsewhere = f"{commit.shard.path}-repaired"
    for name in commit.shard.files:
        objects.put(f"{elsewhere}/{name}", objects.get(f"{commit.shard.path}/{name}"))
    moved = replace(commit, shard=replace(commit.shard, path=elsewhere))
    repaired = publish(
        objects, "balls", kind="test", spec="", commits=Commits.of([moved]), refused=[], parents=[]
    )
    assert (repaired.digest, repaired.version != balls.version) == (balls.digest, True)
    assert again() == before


def test_scores_need_predictions(objects: Objects, balls: Dataset) -> None:
    with pytest.raises(SpecError) as caught:
        job({**EVALUATE, "predictions": "balls"}, objects=objects)
    assert caught.value.code == "no-predictions"


def test_init_from_is_pinned_and_a_parent(objects: Objects, balls: Dataset) -> None:
    first = job(TRAIN, objects=objects).steps[0]
    tuned = {**TRAIN, "output": "tuned", "train": {**TRAIN["train"], "init_from": "net"}}
    second = job(tuned, objects=objects).steps[0]
    assert open_model(objects, second.output).parents == [balls.reference, first.output]
