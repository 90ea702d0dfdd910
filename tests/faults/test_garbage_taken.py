"""F3, F31: gc takes what it can while a driver sleeps at any step: nothing that is named goes."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from command import here
from driver import NAME
from killing import Job, Start, plain, sleeps, wait_until

from medray.storage.catalog.datasets import open_dataset
from medray.storage.store.objects import Objects

POINTS = [
    "attempt.begun",
    "shard.written",
    "commit.before",
    "commit.before-record",
    "commit.after-record",
    "publish.before-manifest",
    "publish.before-head",
    "publish.after-head",
]
SKEW_S = {"right": -1, "five hours behind": -5 * 3600, "five hours ahead": 5 * 3600}


def skew(root: Path, seconds: float) -> None:
    """Let everything have been written by a clock that is wrong."""
    at = time.time() + seconds
    for path in root.rglob("*"):
        os.utime(path, (at, at))


@pytest.mark.drill
@pytest.mark.parametrize("clock", SKEW_S)
@pytest.mark.parametrize("where", POINTS)
def test_gc_of_any_age_while_a_driver_sleeps(
    where: str, clock: str, start: Start, clean: Callable[[Job], str], tmp_path: Path
) -> None:
    job = Job(tmp_path / "root", plain(4))
    count = "" if where.startswith("publish") else ":2"
    driver = start(job, faults=f"{where}=stop{count}")
    wait_until(lambda: sleeps(driver.process.pid), timeout_s=60)
    skew(job.root, SKEW_S[clock])
    # Which thread took SIGSTOP, and how far the others went until then, differs: it is looked at.
    dataset = job.root / "datasets" / NAME
    done = {path.stem for path in (dataset / "commits").glob("*.json")}
    begun = [path for path in (dataset / "shards").glob("*") if path.name[:32] not in done]
    gone = here("gc", "--older-than", "0h", "--delete", "--storage", str(job.root))
    assert gone.status == 0
    if clock != "five hours ahead":
        assert ("its attempt was not committed" in gone.out) == bool(begun)
    os.kill(driver.process.pid, signal.SIGCONT)
    status, last = driver.end()
    assert (status, last["digest"]) == (0, clean(job))
    assert here("verify", "--storage", str(job.root)).status == 0
    made = open_dataset(Objects(str(job.root)), NAME)
    assert [sample.id for sample in made] == [key for keys in job.groups for key in keys]
