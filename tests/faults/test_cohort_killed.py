"""Records ingested, gathered and asked, killed anywhere: the same features, byte for byte."""

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from command import CLI

from medray.storage.catalog.datasets import open_dataset
from medray.storage.store.objects import Objects
from tests.contract.record_examples import MAPPING, records

POINTS = [
    "shard.written=kill:1",
    "ragged.values=kill:3",
    "commit.after-record=kill:2",
    "commit.before=kill:5",
    "publish.before-manifest=kill:2",
]
COHORT: dict[str, Any] = {
    "name": "cohort",
    "at": {"event": ["IN//*"], "plus": "3h"},
    "features": {"min_subjects": 1, "make": ["count", "last", "since"]},
}


def job(folder: Path, source: Path) -> Path:
    form = {"name": "ehr", "mapping": MAPPING, "deidentify": {"method": "none"}}
    steps = [
        {"kind": "ingest", "format": form, "source": str(source), "output": "parts",
         "units": {"samples": 1}},
        {"kind": "gather", "data": "parts", "output": "people", "shards": 3},
        {"kind": "transform", "data": "people", "operation": COHORT, "output": "cohort"},
    ]  # fmt: skip
    file = folder / "job.yaml"
    file.write_text(yaml.safe_dump_all(steps))
    return file


def finish(file: Path, **environment: str) -> int:
    command = [*CLI, "run", str(file), "--storage", str(file.parent / "store")]
    return subprocess.run(
        [*command, "--cluster", "inline"],
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=120,
    ).returncode


def digests(file: Path) -> list[str]:
    objects = Objects(str(file.parent / "store"))
    return [open_dataset(objects, name).digest for name in ("parts", "people", "cohort")]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    records(folder)
    return folder


@pytest.fixture(scope="module")
def clean(source: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    file = job(tmp_path_factory.mktemp("clean"), source)
    assert finish(file) == 0
    return digests(file)


@pytest.mark.drill
@pytest.mark.parametrize("where", POINTS)
def test_killed_at_a_point(where: str, source: Path, clean: list[str], tmp_path: Path) -> None:
    file = job(tmp_path, source)
    assert finish(file, MEDRAY_FAULTS=where) == -signal.SIGKILL
    assert finish(file) == 0
    assert digests(file) == clean
