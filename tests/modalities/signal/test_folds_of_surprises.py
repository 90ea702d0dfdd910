"""Models of folds that are surprised: what the others held out chooses each network's threshold."""

from collections.abc import Callable

import numpy as np
import pytest

from medray.jobs.run import run
from medray.modalities.loaded import load_model
from medray.storage.catalog.datasets import Dataset, open_dataset
from medray.storage.shards.samples import Sample
from medray.storage.store.objects import Objects
from medray.tasks.metrics.anomaly import threshold_of

Make = Callable[[str, list[Sample]], Dataset]
FOLDS, RATE = 3, 0.1


def beats(subjects: range) -> list[Sample]:
    """Bumps in noise, 30 a subject, of which each fifth is none that is learnt."""
    chance = np.random.default_rng(subjects.start)
    made = []
    for number in range(30 * len(subjects)):
        subject, odd = subjects[number // 30], number % 5 == 0
        time = (np.arange(32) - 16) / (2 if odd else 5)
        signal = np.exp(-(time**2))[None] * 300 + chance.normal(0, 20 + 5 * subject, (1, 32))
        row = {"subject": str(subject), "fold": subject % FOLDS, "rate": 100.0, "leads": ["I"]}
        row |= {"gain": [200.0], "label": "NV"[odd]}
        made.append(Sample(f"s{subject}-{number:03d}", row, {"signal": signal.astype(np.int16)}))
    return made


@pytest.mark.parametrize("threshold", [None, 0.25])
def test_each_fold_alarms_by_what_the_others_chose(
    threshold: float | None, make_dataset: Make, objects: Objects
) -> None:
    make_dataset("beats", beats(range(6)))
    make_dataset("others", beats(range(10, 13)))
    task = {"name": "anomaly", "normal": ["N"], "alarms_per_sample": RATE, "threshold": threshold}
    ask = {"kind": "predict", "model": "net", "batch": 16}
    steps = [
        {
            "kind": "train", "data": "beats", "folds": "fold", "select": {}, "output": "net",
            "task": task, "model": {"name": "signal-autoencoder", "code": 2, "width": 8},
            "plan": {"scale": "dataset"},
            "train": {"epochs": 3, "batch_size": 16, "select": "last", "threads": 1},
        },
        {**ask, "data": "beats", "output": "found"},
        {**ask, "data": "others", "output": "strange"},
        {"kind": "evaluate", "predictions": "found", "data": "beats", "output": "scores"},
    ]  # fmt: skip
    run(steps, storage=objects, cluster="inline")
    rows = open_dataset(objects, "found").samples.to_pylist()
    own = {fold: [row for row in rows if row["fold"] == fold] for fold in range(FOLDS)}

    def chosen(folds: set[int]) -> float:
        normal = [row["surprise"] for row in rows if row["fold"] in folds and row["label"] == "N"]
        return threshold_of(np.array(normal), np.ones(len(normal)), RATE)

    limits = {fold: threshold or chosen(set(range(FOLDS)) - {fold}) for fold in range(FOLDS)}
    assert len(set(limits.values())) == (1 if threshold else FOLDS)
    for fold, some in own.items():
        called = [row["predicted"] == "anomaly" for row in some]
        assert called == [row["surprise"] > limits[fold] + 1e-7 for row in some]
    limit = threshold or chosen(set(range(FOLDS)))
    for row in open_dataset(objects, "strange").samples.to_pylist():
        assert (row["predicted"] == "anomaly") == (row["surprise"] > limit + 1e-7)
    summary = open_dataset(objects, "scores").attributes["summary"]
    assert summary["metrics"]["sensitivity"]["value"] is not None
    options = load_model(objects, "net").package.config["task"]
    assert options["threshold"] == pytest.approx(limit)
    told = options.get("of_folds") or ()
    assert list(told) == pytest.approx([] if threshold else list(limits.values()))
