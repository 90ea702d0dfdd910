"""Several networks that answer place by place are judged by their mean, as one network is."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from medray.jobs.run import run
from medray.modalities.base import Asking
from medray.modalities.loaded import load_model
from medray.modalities.sequence import SequenceOptions
from medray.modalities.signal import SignalPredictOptions
from medray.storage.catalog.datasets import Dataset, open_dataset
from medray.storage.catalog.models import open_model
from medray.storage.shards.samples import Sample
from medray.storage.shards.stored import InMemory
from medray.storage.store.objects import Objects
from medray.tasks import build_task

Make = Callable[[str, list[Sample]], Dataset]

PLACES = 32
UNET = {"name": "unet1d", "features": [4, 6], "steps": [4], "kernel": 3, "dilations": [1]}
LSTM = {"name": "lstm", "hidden": 4, "layers": 1}
WAYS: dict[str, tuple[dict[str, Any], Any]] = {
    "signal": (UNET, SignalPredictOptions()),
    "sequence": (LSTM, SequenceOptions()),
}


def samples(kind: str, classes: int) -> list[Sample]:
    """Stretches of each class, which are hard to tell apart."""
    chance = np.random.default_rng(3)
    made = []
    for number in range(32):
        label = chance.permutation(np.repeat(np.arange(PLACES // 4) % classes, 4)).astype(np.uint8)
        row: dict[str, Any] = {"split": "val" if number % 4 == 0 else "train"}
        arrays: dict[str, Any] = {"label": label}
        if kind == "signal":
            values = label + chance.normal(0, 1, PLACES)
            arrays["signal"] = values[None].astype(np.float32)
            row |= {"rate": 10.0, "leads": ["a"]}
        else:
            drawn = np.where(chance.random(PLACES) < 0.4, label, chance.integers(0, 4, PLACES))
            row["sequence"] = "".join("ACGT"[base] for base in drawn)
        made.append(Sample(f"s{number}", row, arrays))
    return made


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("kind", list(WAYS))
def test_members_are_validated_and_answer_as_their_mean(
    kind: str, classes: int, objects: Objects, make_dataset: Make
) -> None:
    model, options = WAYS[kind]
    every = samples(kind, classes)
    make_dataset("data", every)
    options_of_task = {"name": "tagging", "classes": list("abc"[:classes])}
    train = {"epochs": 2, "batch_size": 8, "threads": 1, "optimiser": {"lr": 3e-2}}
    steps = [
        {"kind": "train", "data": "data", "task": options_of_task, "model": model,
         "members": 3, "output": "net", "train": train},
        {"kind": "predict", "model": "net", "data": "data", "select": {"split": "val"},
         "output": "found"},
    ]  # fmt: skip
    run(steps, storage=objects, cluster="inline")

    held_out = [one for one in every if one.row["split"] == "val"]
    told = []
    for member in load_model(objects, "net").members.values():
        predictor = member.modality.predictor(member, Asking(options))
        asked = [predictor.prepare(InMemory(one), 1) for one in held_out]
        told.append([np.asarray(one.arrays["probability"]) for one in predictor.compute(asked)])
    mean = np.mean(told, axis=0)
    found = open_dataset(objects, "found")
    assert found.samples["sample_id"].to_pylist() == [one.id for one in held_out]
    for at, answer in enumerate(mean):
        given = found.sample(at).arrays["probability"]
        np.testing.assert_allclose(np.asarray(given), answer, atol=1e-6)

    task = build_task(options_of_task)
    labels = [np.asarray(one.arrays["label"]) for one in held_out]

    def table(answers: Any) -> np.ndarray:
        pairs = zip(answers, labels, strict=True)
        return np.array([task.judge(answer, label) for answer, label in pairs])

    wanted = task.summarise(table(mean), None)
    apart = task.summarise(np.mean([table(one) for one in told], axis=0), None)
    metrics = open_model(objects, "net").metrics
    for name, value in wanted.items():
        assert metrics[name] == pytest.approx(value, abs=1e-9)
    assert metrics["val_auroc"] != pytest.approx(apart["val_auroc"], abs=1e-3)
    assert metrics["val_f1"] != pytest.approx(apart["val_f1"], abs=1e-3)
