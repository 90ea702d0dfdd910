"""Pairs by words and n-grams: what is read, resumed, and several as one."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from medray.engine.training.loop import fit
from medray.engine.training.package import weights_of
from medray.engine.training.ranks import World
from medray.engine.training.setup import TrainSetup
from medray.jobs.run import run
from medray.modalities.loaded import load_model
from medray.modalities.plan import Wanted
from medray.modalities.text import Texts
from medray.modalities.text.plan import TextPlan, TextPlanOptions
from medray.modalities.text.readings import reading_of
from medray.modalities.text.tokens import split
from medray.spec.training import TrainSettings
from medray.storage.catalog.datasets import Dataset, open_dataset
from medray.storage.catalog.models import open_model
from medray.storage.shards.samples import Sample
from medray.storage.store.objects import Objects
from medray.tasks import build_task
from tests.documents import documents

Make = Callable[[str, list[Sample]], Dataset]
CPU = torch.device("cpu")
TASK = {"name": "relations", "types": ["RAISES"]}
MODEL = {
    "name": "relation-wide-deep", "stages": 2, "embedding": 8, "filters": 8, "widths": [3],
    "hashes": 1024,
}  # fmt: skip
LISTS = "with abmycin, nuxolol or corolol raises pilolol and lemmycin and by lebmycin"


def plan(**changed: Any) -> TextPlan:
    known: dict[str, Any] = {
        "answers": "links", "classes": ("none", "RAISES"), "batch_size": 4, "samples": 9,
        "frequencies": (9.0,), "column": "text", "letters": "abc", "longest": None,
        "words": (",", "or", "and", "raises", "with", "by"), "reads": ("grams",),
    }  # fmt: skip
    return TextPlan(**{**known, **changed})


def row(text: str) -> dict[str, Any]:
    spans = [
        {"begin": one.begin, "end": one.end, "type": "DRUG", "parts": []}
        for one in split(text)
        if len(one.text) > 6
    ]
    return {"text": text, "spans": spans}


def test_n_grams_are_of_words_around_the_pair_and_of_no_name() -> None:
    def grams(text: str, phrase: int) -> set[int]:
        reading = reading_of(plan(phrase=phrase), build_task(TASK))
        made = reading.inputs([reading.encode(row(text), learnt=False)], CPU)
        assert len(made["starts"]) == 1
        return set(made["grams"].tolist())

    told = grams("abmycin raises corolol", 3)
    assert len(told) == 3 + 2 + 1
    assert told == grams("corolol raises pilolol", 3)
    assert len(told - grams("abmycin and corolol", 3)) == 1 + 2 + 1
    assert len(grams("abmycin raises corolol", 1)) == 3


def test_pairs_of_a_batch_are_answered_as_alone() -> None:
    reading, task = reading_of(plan(), build_task(TASK)), build_task(TASK)
    torch.manual_seed(0)
    net = Texts().build(MODEL, plan()).eval()
    with torch.no_grad():
        net.table.weight.normal_()
    several = [
        reading.encode(row(text), learnt=False)
        for text in (LISTS, "none here", "abmycin and corolol", "")
    ]
    with torch.inference_mode():
        together = task.probabilities(net(reading.inputs(several, CPU))).numpy()
        for one, answer in zip(several, reading.each(together, several), strict=True):
            alone = task.probabilities(net(reading.inputs([one], CPU))).numpy()[: len(one)]
            np.testing.assert_allclose(answer, alone, rtol=0, atol=1e-6)


def setup_of(data: Dataset, run: str, **train: Any) -> TrainSetup:
    settings = TrainSettings(epochs=3, steps_per_epoch=2, batch_size=7, augment=None, **train)
    made = Texts().plan(
        data, range(30), build_task(TASK), Wanted(MODEL, settings, TextPlanOptions())
    )
    return TrainSetup(
        data.objects, data.reference, TASK, MODEL, made, settings, run,
        validation={"split": "test"},
    )  # fmt: skip


class Stopped(Exception):
    """In place of a death, behind an epoch."""


def test_a_training_that_is_resumed_learns_the_same(make_dataset: Make) -> None:
    whole = setup_of(make_dataset("texts", documents(60)), "runs/whole")
    result = fit(whole, World())

    def stop(metrics: dict[str, Any]) -> None:
        raise Stopped

    cut_short = replace(whole, run="runs/cut")
    for _ in range(3):
        with pytest.raises(Stopped):
            fit(cut_short, World(report=stop))
    again = fit(cut_short, World())
    assert [one["loss"] for one in again.rows] == [one["loss"] for one in result.rows]
    one, other = weights_of(whole, result), weights_of(cut_short, again)
    assert one["table.weight"].abs().sum() > 0
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_members_are_validated_and_answer_as_their_mean(
    objects: Objects, make_dataset: Make
) -> None:
    make_dataset("texts", documents(90))
    train = {"epochs": 3, "batch_size": 8, "threads": 1, "optimiser": {"lr": 1e-2}}
    steps = [
        {"kind": "train", "data": "texts", "task": TASK, "model": MODEL, "output": "net",
         "members": 3, "train": train},
        {"kind": "predict", "model": "net", "data": "texts", "select": {"split": "test"},
         "output": "found"},
    ]  # fmt: skip
    run(steps, storage=objects, cluster="inline")
    model = load_model(objects, "net")
    assert len(model.members) == 3
    members = list(model.members.values())
    task, made = build_task(model.package.config["task"]), members[0].plan
    reading = reading_of(made, task)
    data = open_dataset(objects, "texts")
    rows = {one["sample_id"]: one for one in data.samples.to_pylist()}

    def mean(sample: str) -> tuple[Any, np.ndarray]:
        one = reading.encode(rows[sample], learnt=True)
        inputs = reading.inputs([one], CPU)
        each = [task.probabilities(member.network(inputs)) for member in members]
        return one, torch.stack(each).mean(0).numpy()

    for found in open_dataset(objects, "found").samples.to_pylist():
        one, answer = mean(found["sample_id"])
        called = [pair for pair, p in zip(one.pairs, answer, strict=True) if p[0] < task.threshold]
        assert [(link["first"], link["second"]) for link in found["relations"]] == called
    judged = [mean(at) for at in rows if rows[at]["split"] == "val"]
    table = np.array([task.judge(answer, one.labels) for one, answer in judged])
    metrics = open_model(objects, "net").metrics
    assert metrics["val_f1"] == pytest.approx(build_task(TASK).summarise(table, None)["val_f1"])
