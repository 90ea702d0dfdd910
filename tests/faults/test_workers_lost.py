"""A worker that dies in its own start is gone for good, as Ray sees it; the run goes on."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from killing import Job, Start, plain

pytestmark = pytest.mark.parametrize("mode", ["ray", "bulk"])
WORKERS = {"ray": "UnitActor", "bulk": "MapWorker"}  # Ray Data calls its own so


def test_one_that_cannot_begin_is_replaced(
    mode: str, start: Start, clean: Callable[[Job], str], tmp_path: Path
) -> None:
    job = Job(tmp_path / "root", plain(24), {"sleep_s": 0.2}, mode)
    status, last = start(job, faults=f"worker.begun=full@{tmp_path / 'spent'}").end()
    assert (tmp_path / "spent").exists()
    assert (status, last["digest"]) == (0, clean(job))


@pytest.mark.drill
def test_one_that_was_killed_and_then_cannot_begin_again_is_replaced(
    mode: str, start: Start, clean: Callable[[Job], str], tmp_path: Path
) -> None:
    spent = tmp_path / "spent"
    spent.touch()
    job = Job(tmp_path / "root", plain(40), {"sleep_s": 0.2}, mode)
    driver = start(job, faults=f"worker.begun=full@{spent}")
    driver.read()
    spent.unlink()
    driver.children(WORKERS[mode])[0].kill()
    status, last = driver.end()
    assert spent.exists()
    assert (status, last["digest"], last["quarantined"]) == (0, clean(job), [])
    assert sum("unit" in line for line in driver.lines) == 40, "one receipt a unit"


@pytest.mark.drill
def test_a_board_that_dies_is_replaced(
    mode: str, start: Start, clean: Callable[[Job], str], tmp_path: Path
) -> None:
    job = Job(tmp_path / "root", plain(40), {"sleep_s": 0.2}, mode)
    driver = start(job)
    driver.read()
    driver.children("ray::Board")[0].kill()
    status, last = driver.end()
    assert (status, last["digest"]) == (0, clean(job))


@pytest.mark.drill
def test_where_none_can_begin_the_run_ends(mode: str, tmp_path: Path) -> None:
    job = Job(tmp_path / "root", plain(2), {}, mode)
    done = subprocess.run(
        [sys.executable, str(Path(__file__).parent / "driver.py"), job.text()],
        env={"MEDRAY_FAULTS": "worker.begun=full"},
        capture_output=True,
        timeout=100,
        text=True,
    )
    assert "broke (ActorDiedError)" in done.stderr
    assert not job.attempts()
