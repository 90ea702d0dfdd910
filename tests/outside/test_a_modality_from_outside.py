"""A modality, format, network, task and baseline that no file of medray knows, from end to end."""

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medray.jobs.run import run
from medray.jobs.serve import described
from medray.modalities.loaded import load_model
from medray.report.collect import write_report
from medray.serving.answer import answerer_of
from medray.spec.serving import Serving
from medray.storage.catalog.datasets import open_dataset
from medray.storage.catalog.models import open_model
from medray.storage.store.objects import Objects

sys.path.insert(0, str(Path(__file__).parent))
from plug import plug

SAMPLES = 120
MEDIA = "application/x-spots+json"
SCORED = ("weighing_error", "baseline_weighing_error")


@pytest.fixture
def plugged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """medray finds the plugins, here and in processes that are started from here."""
    paths = plug(tmp_path / "plugin")
    for path in paths:
        monkeypatch.syspath_prepend(path)
    inherited = os.environ.get("PYTHONPATH", "")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [*paths, inherited])))


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """120 samples of 0 to 11 points, which weigh as many as lie right of 0; and a broken file."""
    folder = tmp_path / "raw"
    folder.mkdir()
    rng = np.random.default_rng(3)
    for number in range(SAMPLES):
        points = rng.normal(size=(number % 12, 2)).astype(np.float32)
        held = {
            "id": f"s{number:03d}",
            "subject": f"p{number // 2:02d}",
            "points": points.tolist(),
            "marks": [[at, at % 3, 7] for at in range(0, len(points), 2)],
            "weight": float((points[:, 0] > 0).mean()) if len(points) else 0.0,
        }
        (folder / f"s{number:03d}.spots.json").write_text(json.dumps(held))
    (folder / "torn.spots.json").write_text('{"id": "torn"')
    return folder


def job(files: Path, out: Path, workers: int) -> list[dict[str, Any]]:
    task, split = {"name": "weigh"}, {"split": {"train": 0.6, "val": 0.2, "test": 0.2}}
    return [
        {"kind": "ingest", "format": {"name": "spots"}, "source": str(files), "output": "spots"}
        | split
        | {"policy": {"error_budget": 0.1}},
        {
            "kind": "train",
            "data": "spots",
            "task": task,
            "model": {"name": "spotnet", "width": 6},
            "train": {
                "epochs": 3,
                "steps_per_epoch": 6,
                "accumulate": 2,
                "workers": workers,
                "precision": "fp32",
            },
            "output": "weigher",
        },
        {"kind": "predict", "data": "spots", "model": "weigher", "output": "weighed"}
        | {"select": {"split": "test"}},
        {"kind": "evaluate", "data": "spots", "predictions": "weighed", "output": "scores"},
        {"kind": "export", "data": "spots", "format": {"name": "spots"}, "to": str(out)}
        | {"select": {"split": "test"}, "output": "files"},
    ]


@pytest.mark.timeout(400)
@pytest.mark.usefixtures("plugged")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_from_files_to_a_page_here_and_on_ray(files: Path, tmp_path: Path) -> None:
    digests, weights = {}, {}
    for cluster, workers in (("inline", 1), ("local", 2)):
        root, out = Objects(str(tmp_path / cluster)), tmp_path / f"out-{cluster}"
        done = run(job(files, out, workers), storage=root, cluster=cluster)
        ingested, trained, predicted, scored, exported = done.steps
        assert (ingested.units.planned, ingested.units.quarantined) == (SAMPLES + 1, 1)
        assert ingested.reasons == {"no-spots": 1}
        lies_in_few_objects(root)
        chosen = predicted.units.planned
        assert chosen == scored.units.planned == exported.units.planned == 14
        assert {"val_weighing_error", "baseline_weighing_error"} <= trained.metrics.keys()
        assert all(-1 < scored.metrics[name] < 0 for name in SCORED)
        digests[cluster] = ingested.digest
        weights[cluster] = open_model(root, trained.output).weights()
        same_files(files, out, chosen)
        answers_as_in_bulk(root, trained.output, predicted.output)
        page = root.get(write_report(root, "spots", list(map(asdict, done.steps)))).decode()
        assert "weighing, closeness" in page
        assert "Spots by sample: " in page
    assert digests["inline"] == digests["local"]
    for name, values in weights["inline"].items():
        np.testing.assert_allclose(values, weights["local"][name], atol=1e-5)


def same_files(before: Path, after: Path, count: int) -> None:
    written = sorted(after.rglob("*.spots.json"))
    assert len(written) == count
    for path in written:
        assert json.loads(path.read_text()) == json.loads((before / path.name).read_text())


def answers_as_in_bulk(root: Objects, model: str, predictions: str) -> None:
    """The endpoint's side of a model: what it takes is told, and answers are those of bulk."""
    made, spots = open_dataset(root, predictions), open_dataset(root, "spots")
    rows = {row["sample_id"]: at for at, row in enumerate(spots.samples.to_pylist())}
    asked = [
        {"sample_id": name, "points": spots.array(rows[name], "points")[...].tolist()}
        for name in made.samples["sample_id"].to_pylist()
    ]
    serving = Serving(models=(model,), batch=5)
    answerer = answerer_of(load_model(root, model), serving)
    question = answerer.read(json.dumps(asked).encode(), MEDIA)
    reply = answerer.write(question, answerer.compute(question.samples))
    told = [one["weighed"] for one in json.loads(reply.body)["answers"]]
    np.testing.assert_allclose(told, made.samples["weighed"].to_pylist(), atol=1e-6)
    assert [list(one["takes"]) for one in described(root, serving)] == [[MEDIA]]


def lies_in_few_objects(root: Objects) -> None:
    """Of 40 samples of unequal arrays, in each unit; and what they are is told."""
    spots = open_dataset(root, "spots")
    folders = [shard.path for shard in spots.shards]
    counts = [sum(1 for _ in root.walk(f"{folder}/")) for folder in folders]
    assert len(counts) > 1
    assert max(counts) <= 8
    assert {name: spec.names for name, spec in spots.manifest.arrays.items()} == {
        "points": ("point", "xy"),
        "marks": ("mark", "field"),
    }
