"""Drills start drivers, kill them, and compare with one that was left alone."""

import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # drills and drivers share the toy

from driver import main  # noqa: E402
from killing import Driver, Finish, Job, Start  # noqa: E402


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts drivers: `start(job, faults="point=action")`; none outlives the test."""
    path = os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")]))
    begun: list[Driver] = []

    def begin(job: Job, faults: str = "") -> Driver:
        environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
        if faults:
            environment["MEDRAY_FAULTS"] = faults
        begun.append(Driver(job, environment))
        return begun[-1]

    yield begin
    for driver in begun:
        if driver.process.poll() is None:
            driver.process.kill()
        driver.end()


@pytest.fixture
def finish() -> Finish:
    """Runs a job to its end in this process, undisturbed."""
    return lambda job: main(json.loads(job.text()), threading.Event())


@pytest.fixture
def clean(finish: Finish, tmp_path: Path) -> Callable[[Job], str]:
    """The digest that an undisturbed run of a job has."""

    def digest(job: Job) -> str:
        status, last = finish(Job(tmp_path / "clean", job.groups, job.parameters))
        assert status == 0
        return str(last["digest"])

    return digest
