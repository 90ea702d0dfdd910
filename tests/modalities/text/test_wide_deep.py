"""Pairs by words and n-grams: what is read of lists and types, resumed, and several as one."""

from collections.abc import Callable, Sequence
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
from medray.models.text.base import FIRST, OTHER, SECOND, WORDS
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


def row(text: str, kinds: Sequence[str] = ()) -> dict[str, Any]:
    found = [one for one in split(text) if len(one.text) > 6]
    named = [*kinds, *["DRUG"] * len(found)]
    spans = [
        {"begin": one.begin, "end": one.end, "type": kind, "parts": []}
        for one, kind in zip(found, named, strict=False)
    ]
    return {"text": text, "spans": spans}


def test_a_list_is_read_as_that_one_of_the_pair_that_stands_in_it() -> None:
    reading = reading_of(plan(lists="all"), build_task(TASK))
    one = reading.encode(row(LISTS), learnt=False)
    told = {pair: words.tolist() for pair, words in zip(one.pairs, one.words, strict=True)}
    comma, _, joins, raises, carries, by = range(WORDS, WORDS + 6)
    tail = [joins, by, OTHER]  # a word that joins no list
    assert told[1, 3] == [carries, FIRST, raises, SECOND, *tail]
    assert told[2, 4] == told[1, 3]
    # Of both in one list those between them are one, and those before or behind are none.
    assert told[0, 2] == [carries, FIRST, comma, OTHER, WORDS + 1, SECOND, raises, OTHER, *tail]
    assert told[0, 1] == [carries, FIRST, comma, SECOND, raises, OTHER, *tail]
    assert told[3, 5] == [carries, OTHER, raises, FIRST, joins, by, SECOND]
    places = dict(zip(one.pairs, one.second, strict=True))
    assert (places[2, 4] - places[2, 4][3]).tolist() == [-3, -2, -1, 0, 1, 2, 3]
    others = reading_of(plan(), build_task(TASK)).encode(row(LISTS), learnt=False)
    told = {pair: words.tolist() for pair, words in zip(others.pairs, others.words, strict=True)}
    assert told[0, 3] == [carries, FIRST, comma, OTHER, raises, SECOND, joins, OTHER, *tail]


def test_n_grams_know_types_and_no_names() -> None:
    reading = reading_of(plan(), build_task(TASK))

    def grams(text: str, *kinds: str) -> set[int]:
        one = reading.encode(row(text, kinds), learnt=False)
        made = reading.inputs([one], CPU)
        assert len(made["starts"]) == 1
        assert made["weights"].square().sum() == pytest.approx(1)
        return set(made["grams"].tolist())

    told = grams("abmycin raises corolol", "GROUP", "BRAND")
    assert told == grams("corolol raises pilolol", "GROUP", "BRAND")
    assert len(told - grams("abmycin raises corolol", "BRAND", "GROUP")) == 3
    assert len(told - grams("abmycin raises corolol", "GROUP", "GROUP")) == 2
    longer = reading_of(plan(phrase=1), build_task(TASK))
    one = longer.encode(row("abmycin raises corolol"), learnt=False)
    assert len(longer.inputs([one], CPU)["grams"]) == 3 + 3


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
        data, range(30), build_task(TASK), Wanted(MODEL, settings, TextPlanOptions(lists="all"))
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
