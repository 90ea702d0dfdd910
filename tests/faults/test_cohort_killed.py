"""Records ingested, gathered and asked, killed anywhere: the same features, byte for byte."""

import signal
from pathlib import Path
from typing import Any

import pytest
from command import Run

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


def job(folder: Path, source: Path) -> Run:
    form = {"name": "ehr", "mapping": MAPPING, "deidentify": {"method": "none"}}
    steps = [
        {"kind": "ingest", "format": form, "source": str(source), "output": "parts",
         "units": {"samples": 1}},
        {"kind": "gather", "data": "parts", "output": "people", "shards": 3},
        {"kind": "transform", "data": "people", "operation": COHORT, "output": "cohort"},
    ]  # fmt: skip
    return Run(folder, steps)


def digests(run: Run) -> list[str]:
    objects = Objects(str(run.root))
    return [open_dataset(objects, name).digest for name in ("parts", "people", "cohort")]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    records(folder)
    return folder


@pytest.fixture(scope="module")
def clean(source: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    run = job(tmp_path_factory.mktemp("clean"), source)
    assert run.finish() == 0
    return digests(run)


@pytest.mark.drill
@pytest.mark.parametrize("where", POINTS)
def test_killed_at_a_point(where: str, source: Path, clean: list[str], tmp_path: Path) -> None:
    run = job(tmp_path, source)
    assert run.finish(MEDRAY_FAULTS=where) == -signal.SIGKILL
    assert run.finish() == 0
    assert digests(run) == clean
