"""Compounds ingested, learnt from, screened, ranked, exported and drawn, killed anywhere: the same
digests, weights and file, and every row accounted for."""

import contextlib
import hashlib
import random
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from command import Run
from killing import run_killed, workers_killed

from medray.storage.catalog.datasets import open_dataset
from medray.storage.catalog.models import open_model
from medray.storage.store.objects import Objects

FILES, ROWS = 8, 24
BAD = ("C1CC", "", "Cc1ccccc")  # of each file: unreadable, none, unreadable
ENDS = ("C", "CC", "O", "N", "F", "Cl", "Br", "OC")
DATASETS = ("library", "scores", "best", "drawn")
MODELS = ("net-0", "net-1", "writer")
POINTS = [
    "ragged.values=kill:3",
    "shard.written=kill:5",
    "train.step=kill:9",
    "checkpoint.after-manifest=kill:3",
    "attempt.begun=kill:13",
    "commit.before-record=kill:22",
    "commit.after-record=kill:29",
    "attempt.begun=kill:39",
    "commit.before-record=kill:41",
    "export.written=kill:1",
    "train.step=kill:40",
    "attempt.begun=kill:45",
    "publish.before-manifest=kill:2",
    "publish.before-head=kill:3",
    "publish.after-head=kill:5",
]


class Job(Run):
    """From files of SMILES to scores, the best of them and new ones, below a folder of its own."""

    def __init__(self, folder: Path, source: Path) -> None:
        self.out = folder / "out"
        train = {"epochs": 3, "batch_size": 16, "checkpoint_every": 4, "threads": 1}
        learn: dict[str, Any] = {
            "kind": "train", "data": "library", "task": {"name": "regression", "target": "value"},
            "model": {"name": "message-passing", "hidden": 8, "layers": 2},
        }  # fmt: skip
        form = {"name": "smiles", "targets": ["value"]}
        parts = {"train": 8, "val": 2, "by": "canonical"}
        steps = [
            {"kind": "ingest", "format": form, "source": str(source), "output": "library",
             "split": parts, "policy": {"error_budget": 0.5}},
            {**learn, "train": {**train, "seed": 0}, "output": "net-0"},
            {**learn, "train": {**train, "seed": 1}, "output": "net-1"},
            {"kind": "screen", "models": {"a": "net-0", "b": "net-1"}, "data": "library",
             "keep": ["canonical"], "unit": 9, "output": "scores"},
            {"kind": "rank", "data": "scores", "by": "b", "count": 20, "output": "best"},
            {"kind": "export", "data": "best", "format": {"name": "table", "file": "csv"},
             "to": str(self.out)},
            {"kind": "train", "data": "library", "task": {"name": "language"}, "output": "writer",
             "model": {"name": "notation-lstm", "hidden": 16, "embedding": 4}, "train": train},
            {"kind": "generate", "model": "writer", "count": 40, "unit": 8, "output": "drawn"},
        ]  # fmt: skip
        super().__init__(folder, steps)

    def made(self) -> dict[str, str]:
        """What was made: digests of data, versions of models (hashes of weights and curves), and
        the file's hash."""
        objects = Objects(str(self.root))
        found = {name: open_dataset(objects, name).digest for name in DATASETS}
        found |= {name: open_model(objects, name).digest for name in MODELS}
        data = (self.out / "best.csv").read_bytes()
        return {**found, "file": hashlib.sha256(data).hexdigest()}

    def check(self, clean: dict[str, str]) -> None:
        """All is as an undisturbed run makes it, and every row is there or was refused."""
        assert self.made() == clean
        objects = Objects(str(self.root))
        library = open_dataset(objects, "library")
        refused = library.quarantine()["code"].to_pylist()
        assert len(library) == FILES * ROWS
        assert sorted(refused) == ["no-molecule"] * FILES + ["unreadable"] * 2 * FILES
        ids = library.columns(["sample_id"])["sample_id"]
        scores = open_dataset(objects, "scores").samples
        assert scores["sample_id"].equals(ids)
        assert not scores["a"].null_count
        folder = self.root / "datasets" / "scores" / "commits"
        assert len(list(folder.glob("*.json"))) == len(open_dataset(objects, "scores").units)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, chance = tmp_path_factory.mktemp("source"), random.Random(0)
    for number in range(FILES):
        rows = []
        for _ in range(ROWS):
            one, two, three = chance.choices(ENDS, k=3)
            text = f"{one}c1cc({two})cc({three})c1"
            rows.append(f"{text},{text.count('N') + len(text) / 10}")
        for at, bad in zip((20, 11, 3), BAD, strict=True):
            rows.insert(at, f"{bad},1.0")
        (folder / f"part{number}.csv").write_text("\n".join(["smiles,value", *rows]) + "\n")
    return folder


@pytest.fixture(scope="module")
def clean(source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    job = Job(tmp_path_factory.mktemp("clean"), source)
    assert job.finish() == 0
    made = job.made()
    job.check(made)
    assert made["net-0"] != made["net-1"]
    return made


@pytest.mark.drill
@pytest.mark.timeout(400)
@pytest.mark.parametrize("where", POINTS)
def test_killed_at_a_point(where: str, source: Path, clean: dict[str, str], tmp_path: Path) -> None:
    job = Job(tmp_path, source)
    assert job.finish(MEDRAY_FAULTS=where) == -signal.SIGKILL
    assert job.finish() == 0
    job.check(clean)


@pytest.mark.drill
@pytest.mark.timeout(600)
def test_driver_killed_at_random_moments(
    source: Path, clean: dict[str, str], tmp_path: Path
) -> None:
    job = Job(tmp_path, source)
    status, kills = run_killed(job.start, random.Random(5), (2.0, 8.0), 8)
    assert status == 0
    assert kills >= 2
    job.check(clean)


@pytest.mark.drill
@pytest.mark.timeout(600)
def test_two_runs_at_once_one_of_them_killed(
    source: Path, clean: dict[str, str], tmp_path: Path
) -> None:
    job, moments, kills = Job(tmp_path, source), random.Random(6), 0
    other = job.start()
    while kills < 4 and other.poll() is None:
        driver = job.start()
        with contextlib.suppress(subprocess.TimeoutExpired):
            driver.wait(2.0 + moments.uniform(0, 6))
            break
        driver.kill()
        driver.wait()
        kills += 1
    assert other.wait(200) == 0
    assert kills >= 1
    assert job.finish() == 0
    job.check(clean)


@pytest.mark.drill
@pytest.mark.timeout(600)
def test_workers_on_ray_killed_at_random(
    source: Path, clean: dict[str, str], tmp_path: Path
) -> None:
    job = Job(tmp_path, source)
    driver = job.start("local")
    kills = workers_killed(driver, "UnitActor", random.Random(7), (0.4, 1.5), 8)
    assert driver.returncode == 0
    assert kills >= 3
    job.check(clean)
