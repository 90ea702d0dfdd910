"""The toys' ingest and transformation are killed midway, by SIGKILL: resumed, nothing differs."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from medray.storage.catalog.datasets import open_dataset
from medray.storage.catalog.ledger import Ledger
from medray.storage.store.objects import Objects

sys.path.insert(0, str(Path(__file__).parent))
from spots_job import job

DATASETS = ["spots", "near"]


def medray_run(file: Path, root: Path, faults: str = "") -> int:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MEDRAY_FAULTS": faults}
    command = [sys.executable, "-m", "medray", "run", str(file), "--storage", str(root)]
    command += ["--cluster", "inline", "--no-report"]
    return subprocess.run(command, env=environment, capture_output=True, timeout=100).returncode


def committed(root: Path) -> list[int]:
    return [len(Ledger(Objects(str(root)), name).done()) for name in DATASETS]


@pytest.mark.usefixtures("plugged")
def test_a_run_killed_amid_each_step_resumes_to_the_same(files: Path, tmp_path: Path) -> None:
    file, roots = tmp_path / "job.yaml", [tmp_path / name for name in ("clean", "killed")]
    file.write_text("\n---\n".join(json.dumps(one) for one in job(files, tmp_path / "out")[:2]))
    assert medray_run(file, roots[0]) == 0
    ingested, made = committed(roots[0])
    assert min(ingested, made) > 2
    left = ingested
    for step, where in ((0, "ragged.values"), (0, "commit.before-record"), (1, "ragged.values")):
        count = left * step + 2  # amid the second unit that is still to be done
        assert medray_run(file, roots[1], f"{where}=kill:{count}") == -signal.SIGKILL
        done = committed(roots[1])
        left = ingested - done[0]
        assert (left > 0, done[1] < made) == (step == 0, True)
    assert medray_run(file, roots[1]) == 0
    assert committed(roots[1]) == [ingested, made]
    digests = [[open_dataset(Objects(str(at)), name).digest for name in DATASETS] for at in roots]
    assert digests[0] == digests[1]
