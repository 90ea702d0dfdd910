"""What a model says of beats, from records to annotation files that another library reads."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import wfdb

from medray.jobs.run import run
from medray.storage.catalog.datasets import open_dataset
from medray.storage.store.objects import Objects

CLASSES = ["N", "S", "V", "F", "Q"]
BEATS = frozenset("NLRBejnAaJSVErF/fQ?")  # of AAMI's five classes


def write_made_up(folder: Path) -> None:
    """A record at 250 Hz, four samples a frame in its second lead, with beats of three classes."""
    rate, seconds, rng = 250, 40, np.random.default_rng(0)
    samples = np.arange(100, rate * seconds - 200, 190)
    symbols = [("V" if at % 5 == 3 else "A" if at % 7 == 2 else "N") for at in range(len(samples))]
    leads = [rng.normal(0, 0.05, rate * width * seconds) for width in (1, 4)]
    for at, symbol in zip(samples.tolist(), symbols, strict=True):
        leads[0][at - 5 : at + 5] += 2 if symbol == "V" else 1
    wfdb.wrsamp(
        "made-up", fs=rate, units=["mV"] * 2, sig_name=["MLII", "fast"], e_p_signal=leads,
        samps_per_frame=[1, 4], fmt=["16"] * 2, adc_gain=[200] * 2, baseline=[0] * 2,
        write_dir=str(folder),
    )  # fmt: skip
    wfdb.wrann("made-up", "atr", samples, symbols, write_dir=str(folder))


def steps(source: Path, to: Path) -> list[dict[str, Any]]:
    """A job from records to the annotations of a network that has hardly learnt."""
    cut = {"leads": ["MLII"], "rate": 125, "before_s": 0.2, "after_s": 0.3}
    train = {"epochs": 1, "steps_per_epoch": 40, "batch_size": 16, "threads": 1, "augment": None,
             "select": "last"}  # fmt: skip
    return [
        {"kind": "ingest", "format": {"name": "wfdb", "deidentify": {"method": "none"}},
         "source": str(source), "output": "records"},
        {"kind": "transform", "data": "records", "operation": {"name": "beats", **cut},
         "output": "beats"},
        {"kind": "train", "data": "beats", "select": {}, "validation": {}, "train": train,
         "task": {"name": "classification", "classes": CLASSES, "target": "label"},
         "model": {"name": "cnn1d", "features": [4], "dropout": 0.0}, "output": "net"},
        {"kind": "predict", "model": "net", "data": "beats", "batch": 256, "output": "answers"},
        {"kind": "export", "data": "answers", "to": str(to),
         "format": {"name": "wfdb-annotations", "annotator": "net", "symbols": {"S": "A"}}},
    ]  # fmt: skip


def check(source: Path, to: Path, objects: Objects) -> list[str]:
    """Each beat of each record has the symbol that was predicted, at its own sample."""
    run(steps(source, to), storage=objects, cluster="inline")
    rows = open_dataset(objects, "answers").columns(["record", "sample", "predicted"]).to_pylist()
    assert len({row["predicted"] for row in rows}) > 1
    records = sorted(path.stem for path in source.glob("*.hea"))
    assert sorted(path.name for path in to.glob("*.net")) == [f"{one}.net" for one in records]
    for record in records:
        given = wfdb.rdann(str(source / record), "atr")
        theirs = wfdb.rdann(str(to / record), "net")
        pairs = zip(given.sample.tolist(), given.symbol, strict=True)
        places = [at for at, symbol in pairs if symbol in BEATS]
        assert theirs.sample.tolist() == places
        answer = {row["sample"]: row["predicted"] for row in rows if row["record"] == record}
        assert theirs.symbol == [{"S": "A"}.get(answer[at], answer[at]) for at in places]
    return records


def test_beats_of_a_record_that_was_made_up(tmp_path: Path, objects: Objects) -> None:
    source = tmp_path / "in"
    source.mkdir()
    write_made_up(source)
    assert check(source, tmp_path / "out", objects) == ["made-up"]


def test_beats_of_real_records(data_dir: Path, tmp_path: Path, objects: Objects) -> None:
    source = tmp_path / "in"
    source.mkdir()
    for record in ("119", "208"):
        for path in (data_dir / "biosignal" / "mitbih").glob(f"{record}.*"):
            shutil.copy(path, source)
    assert check(source, tmp_path / "out", objects) == ["119", "208"]
