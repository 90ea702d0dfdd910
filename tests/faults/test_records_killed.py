"""Recordings scored and written back, killed anywhere: the same annotation files, byte for byte."""

import hashlib
import random
import signal
from pathlib import Path
from typing import Any

import pytest
import wfdb
from command import Run
from killing import run_killed

from medray.storage.catalog.datasets import open_dataset
from medray.storage.store.objects import Objects
from tests.recordings import save_tagger, write_records

RECORDS = 12
POINTS = [
    "shard.written=kill:15",
    "commit.after-record=kill:17",
    "export.written=kill:1",
    "export.written=kill:7",
    "publish.before-manifest=kill:3",
]


class Job(Run):
    """From records to annotation files, below a folder of its own."""

    def __init__(self, folder: Path, source: Path) -> None:
        self.out = folder / "out"
        form = {"name": "wfdb", "deidentify": {"method": "none"}}
        export: dict[str, Any] = {"kind": "export", "data": "answers"}
        steps = [
            {"kind": "ingest", "format": form, "source": str(source), "output": "records",
             "units": {"samples": 1}},
            {"kind": "predict", "model": "net", "data": "records", "output": "answers"},
            {**export, "format": {"name": "wfdb"}, "to": str(self.out / "wfdb")},
            {**export, "format": {"name": "edf"}, "to": str(self.out / "edf")},
        ]  # fmt: skip
        super().__init__(folder, steps)
        save_tagger(Objects(str(self.root)), "net")

    def made(self) -> dict[str, str]:
        """Hashes of the files that stand there under their names."""
        return {
            path.relative_to(self.out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(self.out.rglob("*"))
            if path.is_file() and not any(part.startswith(".") for part in path.parts)
        }


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source") / "records"
    write_records(folder, range(RECORDS))
    return folder


@pytest.fixture(scope="module")
def clean(source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    job = Job(tmp_path_factory.mktemp("clean"), source)
    assert job.finish() == 0
    made = job.made()
    assert len(made) == 2 * RECORDS
    assert len(set(made.values())) == 2 * RECORDS
    theirs = wfdb.rdann(str(job.out / "wfdb" / "r00" / "r00"), "net")
    assert {"(AFIB", "(N"} <= set(theirs.aux_note)
    return made


@pytest.mark.drill
@pytest.mark.parametrize("where", POINTS)
def test_killed_at_a_point(where: str, source: Path, clean: dict[str, str], tmp_path: Path) -> None:
    job = Job(tmp_path, source)
    assert job.finish(MEDRAY_FAULTS=where) == -signal.SIGKILL
    assert not set(job.made().items()) - set(clean.items()), "what stands there is whole"
    assert job.finish() == 0
    assert job.made() == clean


@pytest.mark.drill
@pytest.mark.timeout(400)
def test_killed_at_random_moments(source: Path, clean: dict[str, str], tmp_path: Path) -> None:
    job = Job(tmp_path, source)
    status, kills = run_killed(job.start, random.Random(7), (1.0, 3.5), 10)
    assert status == 0
    assert kills >= 2
    assert job.made() == clean
    answers = open_dataset(Objects(str(job.root)), "answers")
    assert answers.inputs.quarantined == 0
    # A worker has two units in hand: one it computes, one it reads.
    assert job.attempts("answers") <= len(answers.units) + 2 * kills
