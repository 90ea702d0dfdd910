"""F1, F2, F7, F15: workers are killed, stopped, poisoned and starved; the result is the same."""

import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from killing import Job, Start, plain

pytestmark = [pytest.mark.drill, pytest.mark.parametrize("mode", ["ray", "bulk"])]
WORKERS = {"ray": "UnitActor", "bulk": "MapWorker"}  # Ray Data calls its own so


def test_workers_killed_every_second(
    mode: str, start: Start, clean: Callable[[Job], str], tmp_path: Path
) -> None:
    job = Job(tmp_path / "root", plain(120), {"sleep_s": 0.15}, mode)
    driver = start(job)
    driver.read()
    order = random.Random(3)
    kills = 0
    while driver.process.poll() is None and kills < 20:
        time.sleep(order.uniform(0.5, 1.5))
        try:
            order.choice(driver.children(WORKERS[mode])).send_signal(signal.SIGKILL)
            kills += 1
        except (psutil.NoSuchProcess, IndexError):
            continue
    status, last = driver.end()
    assert status == 0, last
    assert (last["digest"], last["samples"], last["quarantined"]) == (clean(job), 240, [])
    assert kills >= 10
    assert sum("unit" in line for line in driver.lines) == 120, "one receipt a unit"
    assert job.attempts() <= 120 + 2 * kills, "a kill costs what was under way"


def test_poison_is_quarantined_and_all_else_committed(
    mode: str, start: Start, clean: Callable[[Job], str], tmp_path: Path
) -> None:
    groups = plain(12, 3)
    whole = Job(tmp_path / "whole", [list(keys) for keys in groups])
    for place, key in ((2, "segfault-0"), (5, "exit-0"), (7, "hang-0")):
        groups[place].insert(1, key)
    groups[9].insert(0, "bad-0")
    job = Job(tmp_path / "root", groups, {}, mode, {"unit_timeout_s": 3})
    status, last = start(job).end()
    assert status == 0, last
    assert last["quarantined"] == ["bad-toy"] + ["poison"] * 3
    assert (last["samples"], last["digest"]) == (36, clean(whole))


def test_stopped_worker_is_killed_from_outside_and_its_units_done_again(
    mode: str, start: Start, clean: Callable[[Job], str], tmp_path: Path
) -> None:
    job = Job(
        tmp_path / "root", plain(30), {"sleep_s": 0.1}, mode, {"unit_timeout_s": 4, "grace_s": 2}
    )
    driver = start(job, faults=f"attempt.begun=stop:3@{tmp_path / 'spent'}")
    status, last = driver.end()
    assert (tmp_path / "spent").exists()
    assert (status, last["digest"]) == (0, clean(job))
    assert job.attempts() in (31, 32), "the unit that was stopped, and its neighbour if any"


def test_units_beyond_memory_are_done_one_input_at_a_time_and_inputs_beyond_it_refused(
    mode: str, start: Start, tmp_path: Path
) -> None:
    # A unit of 8 x 128 MiB is read ahead whole; the worker may have 700 MiB besides itself.
    groups = [*plain(4), *plain(2, 8, "sum"), ["ok-a", "big-0", "ok-b"]]
    job = Job(tmp_path / "root", groups, {"device": True}, mode, {"memory_bytes": 700 * 2**20})
    status, last = start(job).end()
    assert status == 0, last
    assert (last["samples"], last["quarantined"]) == (8 + 16 + 2, ["out-of-memory"])
    free = Job(tmp_path / "free", [*groups[:-1], ["ok-a", "ok-b"]], {"device": True})
    assert start(free).end()[1]["digest"] == last["digest"], "memory decides no result"
