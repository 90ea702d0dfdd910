"""A modality that no file of medray knows, with a format, a network, a task, a baseline, an
objective and a transformation of its own, from end to end."""

import json
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
from spots_job import MEDIA, RADIUS, SAMPLES, job

SCORED = ("weighing_error", "baseline_weighing_error")


@pytest.mark.timeout(400)
@pytest.mark.usefixtures("plugged")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_from_files_to_a_page_here_and_on_ray(files: Path, tmp_path: Path) -> None:
    wanted = nearby(files)
    digests, weights = {}, {}
    for cluster, workers in (("inline", 1), ("local", 2)):
        root, out = Objects(str(tmp_path / cluster)), tmp_path / f"out-{cluster}"
        done = run(job(files, out, workers), storage=root, cluster=cluster)
        ingested, near, trained, predicted, scored, exported = done.steps
        assert (ingested.units.planned, ingested.units.quarantined) == (SAMPLES + 1, 1)
        assert ingested.reasons == {"no-spots": 1}
        refused = SAMPLES - len(wanted)
        assert (near.units.quarantined, near.reasons) == (refused, {"all-far": refused})
        lies_in_few_objects(root, "spots")
        lies_in_few_objects(root, "near")
        chosen = predicted.units.planned
        assert chosen == scored.units.planned == exported.units.planned > 10
        assert {"val_weighing_error", "baseline_weighing_error"} <= trained.metrics.keys()
        assert all(-1 < scored.metrics[name] < 0 for name in SCORED)
        digests[cluster] = ingested.digest, near.digest
        weights[cluster] = open_model(root, trained.output).weights()
        the_same(wanted, out, chosen)
        answers_as_in_bulk(root, trained.output, predicted.output)
        page = root.get(write_report(root, "near", list(map(asdict, done.steps)))).decode()
        assert "weighing, closeness" in page
        assert "Spots by sample: " in page
        assert "points left out" in page
    assert digests["inline"] == digests["local"]
    for name, values in weights["inline"].items():
        np.testing.assert_allclose(values, weights["local"][name], atol=1e-5)


def nearby(files: Path) -> dict[str, dict[str, Any]]:
    """What becomes of each file, told without medray."""
    made = {}
    for path in files.glob("s[0-9]*.spots.json"):
        held = json.loads(path.read_text())
        points = held["points"]
        kept = [at for at, (x, y) in enumerate(points) if x * x + y * y <= RADIUS**2]
        if kept or not points:
            right = sum(points[at][0] > 0 for at in kept)
            held["marks"] = [[kept.index(at), *more] for at, *more in held["marks"] if at in kept]
            held["points"] = [points[at] for at in kept]
            held["weight"] = right / len(kept) if kept else 0.0
            made[path.name] = held
    return made


def the_same(wanted: dict[str, dict[str, Any]], out: Path, count: int) -> None:
    written = sorted(out.rglob("*.spots.json"))
    assert len(written) == count
    for path in written:
        assert json.loads(path.read_text()) == wanted[path.name]


def answers_as_in_bulk(root: Objects, model: str, predictions: str) -> None:
    """The endpoint's side of a model: what it takes is told, and answers are those of bulk."""
    made, near = open_dataset(root, predictions), open_dataset(root, "near")
    rows = {row["sample_id"]: at for at, row in enumerate(near.samples.to_pylist())}
    asked = [
        {"sample_id": name, "points": near.array(rows[name], "points")[...].tolist()}
        for name in made.samples["sample_id"].to_pylist()
    ]
    serving = Serving(models=(model,), batch=5)
    answerer = answerer_of(load_model(root, model), serving)
    question = answerer.read(json.dumps(asked).encode(), MEDIA)
    reply = answerer.write(question, answerer.compute(question.samples))
    told = [one["weighed"] for one in json.loads(reply.body)["answers"]]
    np.testing.assert_allclose(told, made.samples["weighed"].to_pylist(), atol=1e-6)
    assert [list(one["takes"]) for one in described(root, serving)] == [[MEDIA]]


def lies_in_few_objects(root: Objects, name: str) -> None:
    """Of 40 samples of unequal arrays, in each unit; and what they are is told."""
    dataset = open_dataset(root, name)
    folders = [shard.path for shard in dataset.shards]
    counts = [sum(1 for _ in root.walk(f"{folder}/")) for folder in folders]
    assert len(counts) > 1
    assert max(counts) <= 8
    assert {name: spec.names for name, spec in dataset.manifest.arrays.items()} == {
        "points": ("point", "xy"),
        "marks": ("mark", "field"),
    }
