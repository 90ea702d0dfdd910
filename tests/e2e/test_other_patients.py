"""The shipped job of beats, and what docs/signals.md says of other patients, on made-up beats."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from medray.jobs.run import run
from medray.storage.catalog.datasets import open_dataset
from medray.storage.catalog.models import open_model
from medray.storage.store.objects import Objects

ROOT = Path(__file__).parents[2]
SMALL = {"epochs": 1, "steps_per_epoch": 2, "batch_size": 16, "validate_every": 1}


def write_beats(path: Path, records: range) -> None:
    """An archive in the form of the job's own; every third beat is wide, and of class V."""
    chance = np.random.default_rng(records.start)
    labels = np.tile([0, 0, 2], 8 * len(records)).astype(np.uint8)
    time = np.arange(125) - 44
    width = np.where(labels == 2, 12.0, 3.0)[:, None]
    beats = 200 * np.exp(-((time / width) ** 2)) + chance.normal(0, 5, (len(labels), 125))
    path.parent.mkdir(parents=True)
    np.savez(
        path,
        x=beats.astype(np.int16), y=labels, symbol=np.array(["N", "S", "V"])[labels],
        record=np.repeat(list(records), 24), fs=125, scale_mV=np.float32(0.005),
        rr=chance.uniform(0.6, 1.0, (len(labels), 2)).astype(np.float32),
    )  # fmt: skip


def of_docs(name: str) -> list[dict[str, Any]]:
    """The documents of a job that the page shows under a name."""
    text = (ROOT / "docs/signals.md").read_text()
    found = re.search(rf"```yaml\n# {re.escape(name)}.*?\n(.*?)```", text, re.DOTALL)
    assert found is not None
    return list(yaml.safe_load_all(found[1]))


@pytest.mark.timeout(400)
def test_only_the_source_changes(
    objects: Objects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDRAY_DATA", str(tmp_path))
    write_beats(tmp_path / "biosignal/mitbih_beats/beats.npz", range(101, 107))
    write_beats(tmp_path / "others/more.npz", range(201, 203))
    ingest, train, *_ = yaml.safe_load_all((ROOT / "jobs/ecg-beats.yaml").read_text())
    others = of_docs("others.yaml")
    assert others[0]["format"] == ingest["format"]
    train["train"] |= SMALL
    run([ingest, train], storage=objects, cluster="inline")
    trained = open_model(objects, "ecg-beats-net").reference
    others[0]["source"] = str(tmp_path / "others")
    made = run(others, storage=objects, cluster="inline")
    assert [one.units.committed for one in made.steps] == [1, 48, 48]
    answers = open_dataset(objects, "other-predictions").samples.to_pylist()
    assert {row["record"] for row in answers} == {"201", "202"}
    assert all(abs(sum(row["probability"]) - 1) < 1e-5 for row in answers)
    cautions = list(made.steps[-1].cautions)
    assert cautions == ["no interval: 2 subjects, and it takes 5"], "and none was learnt from"
    assert open_model(objects, "ecg-beats-net").reference == trained
