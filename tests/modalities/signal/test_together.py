"""Beats of a shard that are answered together: the same as each by itself, refusals too."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from medray.errors import DataError
from medray.jobs.run import run
from medray.modalities.base import Asking
from medray.modalities.loaded import load_trained
from medray.modalities.lot import Lot
from medray.modalities.signal import SignalPredictOptions
from medray.modalities.signal.predictor import SignalPredictor
from medray.storage.catalog.datasets import Dataset, open_dataset
from medray.storage.shards.samples import Sample
from medray.storage.store.objects import Objects

TASK = {"name": "classification", "classes": ["N", "V"], "target": "label"}
COLUMNS = ["rr_prev_s / rr_median_s", "rr_prev_s"]

Make = Callable[[str, list[Sample]], Dataset]


def beats(kind: str = "int16") -> list[Sample]:
    """40 of two leads, which some have the other way round; steps, missing values and columns
    differ."""
    chance = np.random.default_rng(0)
    made = []
    for number in range(40):
        order = [0, 1] if number % 3 else [1, 0]
        signal = chance.normal(0, 100, (2, 24)).astype(kind)
        signal[number % 2, :3] = -2048
        row: dict[str, Any] = {
            "record": str(number % 4),
            "subject": str(number % 4),
            "fold": number % 2,
            "rate": 125.0,
            "leads": [["I", "II"][at] for at in order],
            "gain": [[200.0, 100.0][at] for at in order],
            "baseline": [[0.0, 10.0][at] for at in order],
            "missing": [-2048, None] if number % 2 else None,
            "label": "NV"[number % 5 == 0],
            "rr_prev_s": 0.5 + 0.01 * number,
            "rr_median_s": 0.8 if number % 7 else None,
        }
        context = chance.normal(0, 1, (2, 24)).astype(np.float32)
        made.append(Sample(f"b{number:02d}", row, {"signal": signal, "context": context}))
    return made


def answered(objects: Objects, data: str, output: str, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """The predictions, which are held against those of each beat by itself."""
    ask = {"kind": "predict", "model": "net", "data": data, "batch": 8}
    ask["policy"] = {"error_budget": 1.0}
    run([{**ask, "output": output}], storage=objects, cluster="inline")
    with monkeypatch.context() as patch:
        patch.setattr(SignalPredictor, "together", lambda self, shard: None)
        run([{**ask, "output": f"{output}-apart"}], storage=objects, cluster="inline")
    whole, apart = (open_dataset(objects, name) for name in (output, f"{output}-apart"))
    assert whole.quarantine() == apart.quarantine()
    names = whole.samples["sample_id"].to_pylist()
    assert names == apart.samples["sample_id"].to_pylist()
    wanted = apart.samples["probability"].to_pylist()
    np.testing.assert_allclose(whole.samples["probability"].to_pylist(), wanted, rtol=1e-5)
    if not len(whole.quarantine()):
        assert whole.digest == apart.digest
    return whole


def train(objects: Objects, **more: Any) -> None:
    step: dict[str, Any] = {
        "kind": "train", "data": "beats", "select": {}, "validation": {}, "output": "net",
        "task": TASK, "model": {"name": "cnn1d", "features": [8], "dropout": 0.0},
        "plan": {"columns": COLUMNS},
        "train": {"epochs": 1, "batch_size": 8, "select": "last", "threads": 1}, **more,
    }  # fmt: skip
    run([step], storage=objects, cluster="inline")


@pytest.mark.parametrize("folds", [{}, {"folds": "fold"}], ids=["one", "folds"])
def test_beats_are_answered_as_each_by_itself(
    folds: dict[str, Any],
    make_dataset: Make,
    objects: Objects,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_dataset("beats", beats())
    train(objects, **folds)
    asked = []
    monkeypatch.setattr(SignalPredictor, "prepare", lambda self, *_: asked.append(self))
    whole = open_dataset(objects, "beats")
    ask = {"kind": "predict", "model": "net", "data": "beats", "batch": 8, "output": "found"}
    run([ask], storage=objects, cluster="inline")
    monkeypatch.undo()
    assert not asked
    found = answered(objects, "beats", "found", monkeypatch)
    assert len({tuple(one) for one in found.samples["probability"].to_pylist()}) == 40
    # Others, of nobody that was learnt from: the mean of all networks.
    strange = beats()
    for one in strange:
        one.row["subject"] = "z"
    make_dataset("others", strange)
    assert len(answered(objects, "others", "strange", monkeypatch)) == len(whole)


def test_refused_is_what_is_refused_by_itself(
    make_dataset: Make, objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_dataset("beats", beats("float32"))
    train(objects)
    bad = beats("float32")
    bad[3].row["rate"] = 250.0
    bad[5].row["leads"] = ["I", "V1"]
    bad[9].row["gain"] = [0.0, 100.0]
    np.asarray(bad[17].arrays["signal"])[0, 4] = np.nan
    bad[19].row["missing"] = [-2048, -2048]
    np.asarray(bad[19].arrays["signal"])[:] = -2048
    np.asarray(bad[25].arrays["context"])[0, 4] = np.inf
    make_dataset("bad", bad)
    found = answered(objects, "bad", "found", monkeypatch)
    codes = {row["source"]: row["code"] for row in found.quarantine().to_pylist()}
    assert codes == {
        "b03": "model-mismatch",
        "b05": "model-mismatch",
        "b09": "bad-gain",
        "b17": "nonfinite-signal",
        "b19": "no-signals",
        "b25": "nonfinite-signal",
    }


def test_a_column_may_be_gone_but_has_to_hold_numbers(
    make_dataset: Make, objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_dataset("beats", beats())
    train(objects)
    gone, texts = beats(), beats()
    for one, other in zip(gone, texts, strict=True):
        del one.row["rr_prev_s"]
        other.row["rr_prev_s"] = "soon"
    make_dataset("gone", gone)
    assert len(answered(objects, "gone", "without", monkeypatch)) == 40
    shard = make_dataset("texts", texts).shards[0]
    asked = SignalPredictor(load_trained(objects, "net"), Asking(SignalPredictOptions()))
    with pytest.raises(DataError) as refused:
        asked.of_shard(Lot(shard, np.arange(3)))
    assert refused.value.code == "model-mismatch"
