"""Beats, windows and recordings in a request are answered as bulk predict answers them."""

import json
from pathlib import Path

import numpy as np
import pytest
from endpoint import ask, commit_beats

from medray.jobs.run import run
from medray.modalities import media
from medray.storage.catalog.datasets import open_dataset
from medray.storage.store.objects import Objects
from tests.recordings import save_tagger, write_records


@pytest.mark.parametrize("folds", [0, 3])
def test_beats_are_answered_as_in_bulk(objects: Objects, tmp_path: Path, folds: int) -> None:
    """Digital values in an archive; physical ones, their record's median beside, in a request."""
    commit_beats(objects, "beats", folds)
    chance = np.random.default_rng(0)
    digital = chance.integers(-300, 300, (6, 2, 20), np.int16)
    rr = chance.uniform(0.5, 1.2, (6, 2)).astype(np.float32)
    named = {"x": digital, "rr": rr, "record": np.repeat([7, 9], 3), "fs": 125}
    (tmp_path / "raw").mkdir()
    np.savez(tmp_path / "raw/b.npz", **named)
    options = {"signal": "x", "rr": "rr", "record": "record", "rate": "fs", "scale": 0.005}
    options |= {"leads": ["MLII", "V1"], "context": "median-beat"}
    source = {"kind": "ingest", "source": str(tmp_path / "raw"), "output": "raw"}
    predict = {"kind": "predict", "model": "beats", "data": "raw", "output": "made", "batch": 4}
    format_ = {"name": "signal-npz", **options}
    run([{**source, "format": format_}, predict], storage=objects, cluster="inline")
    wanted = open_dataset(objects, "made").samples.to_pylist()
    stored = open_dataset(objects, "raw")
    columns = ("rr_prev_s", "rr_median_s", "rr_next_s")
    told = [
        {
            "signal": (digital[at].astype(np.float32) / 200).tolist(),
            "context": stored.array(at, "context")[...].tolist(),
            "columns": {name: row[name] for name in columns},
        }
        for at, row in enumerate(stored.samples.to_pylist())
    ]
    reply = ask(objects, "beats", encoded(told), media.JSON)
    assert reply.status == 200, reply.body
    answers = json.loads(reply.body)["answers"]
    assert len({tuple(one["probability"]) for one in answers}) == 6
    for answer, row in zip(answers, wanted, strict=True):
        assert answer["predicted"] == row["predicted"]
        np.testing.assert_allclose(answer["probability"], row["probability"], rtol=1e-5)


@pytest.mark.parametrize("folds", [0, 3])
def test_a_recording_is_answered_by_intervals_as_in_bulk(
    objects: Objects, tmp_path: Path, folds: int
) -> None:
    """At a rate that the network has not, digital in storage and in millivolts in the request; of
    folds by what their networks say in the mean."""
    save_tagger(objects, "rhythms", folds)
    write_records(tmp_path / "raw", [3], rate=150)
    form = {"name": "wfdb", "deidentify": {"method": "none"}}
    ingest = {"kind": "ingest", "format": form, "source": str(tmp_path / "raw"), "output": "raw"}
    predict = {"kind": "predict", "model": "rhythms", "data": "raw", "output": "made"}
    run([ingest, predict], storage=objects, cluster="inline")
    digital = open_dataset(objects, "raw").array(0, "signal_150")[...]
    (wanted,) = open_dataset(objects, "made").samples.to_pylist()
    assert len({one["text"] for one in wanted["annotations"]}) == 2
    body = encoded({"signal": (digital / 200).tolist(), "rate": 150})
    answer = json.loads(ask(objects, "rhythms", body, media.JSON).body)
    assert set(answer) == {"model", "rate", "annotations", "interval_probability"}
    assert answer["annotations"] == wanted["annotations"]
    np.testing.assert_allclose(
        answer["interval_probability"], wanted["interval_probability"], rtol=1e-4
    )
    window = encoded({"signal": (digital[:, :400] / 200).tolist()})
    told = json.loads(ask(objects, "rhythms", window, media.JSON).body)
    assert np.shape(told["probability"]) == (3, 400)
    refused = ask(objects, "rhythms", body, media.JSON, accept=media.NPY)
    assert json.loads(refused.body)["error"]["code"] == "not-acceptable"


def encoded(value: object) -> bytes:
    return json.dumps(value).encode()
