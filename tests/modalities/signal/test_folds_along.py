"""Models of folds along whole recordings: who has seen a recording is not asked about it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medray.formats.signal.recording import Annotation
from medray.jobs.run import run
from medray.modalities.base import Asking
from medray.modalities.loaded import load_model
from medray.modalities.signal import SignalPredictOptions
from medray.modalities.signal.records import Records
from medray.storage.catalog.datasets import Dataset, open_dataset
from medray.storage.shards.samples import Sample
from medray.storage.shards.stored import InMemory
from medray.storage.store.objects import Objects
from tests.recordings import mitbih, recording

RATE, SECONDS, FOLDS = 20.0, 60, 3
CLASSES = ["noise", "waves"]
UNET = {"name": "unet1d", "features": [4, 6], "steps": [4], "kernel": 3, "dilations": [1]}
CNN = {"name": "cnn1d", "features": [8], "dropout": 0.0}
WAYS = {"tagging": (UNET, "samples"), "classification": (CNN, "majority")}

Make = Callable[[str, list[Sample]], Dataset]


def record(number: int) -> Sample:
    """Noise alone, and waves of 4 Hz in it, by turns of 5 s."""
    chance = np.random.default_rng(number)
    waved = np.repeat(np.arange(SECONDS // 5) % 2, int(5 * RATE))
    waves = np.sin(2 * np.pi * 4 * np.arange(len(waved)) / RATE)
    values = chance.normal(0, 50, (1, len(waved))) + 150 * waved * waves
    notes = [
        Annotation("atr", 5.0 * at, 5.0, CLASSES[at % 2], sample=int(5 * RATE * at))
        for at in range(SECONDS // 5)
    ]
    return recording(
        f"r{number}", {RATE: values.astype(np.int16)}, annotations=notes, fold=number % FOLDS
    )


def learnt(task: str) -> list[dict[str, Any]]:
    """From recordings to a network for each fold."""
    model, label = WAYS[task]
    windows: dict[str, Any] = {"name": "windows", "length_s": 2, "label": label}
    windows["classes"] = {name: [name] for name in CLASSES}
    target = {} if task == "tagging" else {"target": "label"}
    return [
        {"kind": "transform", "data": "records", "operation": windows, "output": "windows"},
        {
            "kind": "train", "data": "windows", "folds": "fold", "select": {}, "output": "net",
            "task": {"name": task, "classes": CLASSES, **target}, "model": model,
            "plan": {"scale": "dataset"},
            "train": {
                "epochs": 8, "batch_size": 8, "select": "last", "threads": 1,
                "optimiser": {"lr": 1e-2},
            },
        },
    ]  # fmt: skip


def scored(data: str, **how: Any) -> list[dict[str, Any]]:
    asked = {"kind": "predict", "model": "net", "data": data, "batch": 4, **how}
    return [
        {**asked, "output": f"{data}-found"},
        {"kind": "evaluate", "predictions": f"{data}-found", "data": data,
         "output": f"{data}-scores"},
    ]  # fmt: skip


def answered(objects: Objects, stranger: int, sample: Sample) -> list[float]:
    """What the networks make of a recording that are to be asked, each put together by hand."""
    members = list(load_model(objects, "net").members.values())
    chosen = members if stranger else [members[1]]
    parts = []
    for one in chosen:
        records = Records(one, Asking(SignalPredictOptions(), batch=4))
        parts.append(records.prepare(InMemory(sample)))
    row = parts[0].beside(parts[1:]).answer().row
    if not stranger:
        assert row["interval_probability"] == parts[0].answer().row["interval_probability"]
    else:
        alone = [one.answer().row["interval_probability"] for one in parts]
        assert row["interval_probability"] not in alone
    return list(row["interval_probability"])


@pytest.mark.parametrize("task", list(WAYS))
def test_a_recording_is_asked_of_the_networks_that_have_not_seen_it(
    task: str, make_dataset: Make, objects: Objects
) -> None:
    make_dataset("records", [record(number) for number in range(6)])
    # One that was learnt from, under another name, and one of somebody else.
    known, strange = record(1), record(9)
    known.row["fold"] = None
    make_dataset("others", [known, strange])
    run(learnt(task), storage=objects, cluster="inline")
    run(scored("records") + scored("others"), storage=objects, cluster="inline")
    own = {
        row["sample_id"]: row for row in open_dataset(objects, "records-found").samples.to_pylist()
    }
    rows = open_dataset(objects, "others-found").samples.to_pylist()
    # r1 is in fold 1: of the three networks that fold's own answers, of a stranger all of them do.
    asked = [answered(objects, at, one) for at, one in enumerate((record(1), record(9)))]
    for row, wanted in zip(rows, asked, strict=True):
        np.testing.assert_allclose(row["interval_probability"], wanted, rtol=1e-6)
    assert rows[0]["interval_probability"] == own["r1"]["interval_probability"]
    for name in ("records", "others"):
        summary = open_dataset(objects, f"{name}-scores").attributes["summary"]
        assert summary["learnt"]["samples"] == summary["learnt"]["subjects"] == 0
        assert summary["metrics"]["interval_sensitivity"]["value"] > 0.9
        assert summary["metrics"]["time_f1"]["value"] > 0.75


def test_real_records_are_answered_by_who_has_not_seen_them(
    data_dir: Path, make_dataset: Make, objects: Objects
) -> None:
    """Bigeminy in MIT-BIH; so few steps teach little, which is not what is looked at."""
    records = {name: mitbih(data_dir, name) for name in ("106", "119", "200", "208", "100")}
    for at, (name, one) in enumerate(records.items()):
        one.row |= {"subject": name, "fold": at % 2}
    stranger = records.pop("100")
    make_dataset("records", list(records.values()))
    # The same people ingested once more, in folds of their own, and somebody else.
    again = [replace(one, row={**one.row, "fold": 0}) for one in records.values()]
    make_dataset("others", [*again, stranger])
    windows = {
        "name": "windows", "leads": ["MLII"], "rate": 90, "length_s": 20,
        "label": "samples", "lasts": "until-next", "classes": {"N": ["(N"], "B": ["(B"]},
    }  # fmt: skip
    train = {"epochs": 1, "steps_per_epoch": 15, "batch_size": 8, "select": "last", "threads": 1}
    learn = [
        {"kind": "transform", "data": "records", "operation": windows, "output": "windows"},
        {
            "kind": "train", "data": "windows", "folds": "fold", "select": {}, "output": "net",
            "task": {"name": "tagging", "classes": ["N", "B"], "class_weights": [1, 4]},
            "model": UNET, "train": {**train, "optimiser": {"lr": 1e-2}},
        },
    ]  # fmt: skip
    run(learn, storage=objects, cluster="inline")
    how = {"options": {"gap_s": 2, "min_s": 1}}
    run(scored("records", **how) + scored("others", **how), storage=objects, cluster="inline")
    own, others = (
        {
            row["sample_id"]: row
            for row in open_dataset(objects, f"{name}-found").samples.to_pylist()
        }
        for name in ("records", "others")
    )
    assert sum(len(row["annotations"]) for row in own.values()) > 0
    for name, row in own.items():
        assert others[name]["annotations"] == row["annotations"]
        assert others[name]["interval_probability"] == row["interval_probability"]
    for name, cases in (("records", 4), ("others", 5)):
        summary = open_dataset(objects, f"{name}-scores").attributes["summary"]
        assert summary["learnt"] == {"cases": cases, "samples": 0, "subjects": 0}
        assert summary["counts"] == {"scored": cases}
