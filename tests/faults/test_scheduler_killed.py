"""Real schedulers on a real clock, killed at every step, or racing: each due time once."""

import datetime
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from medray.clock import SYSTEM
from medray.jobs.schedule import schedules
from medray.jobs.schedule.claims import Claims, Record
from medray.storage.store.objects import Objects

# A minute until a lease is given up is too long for a test; everything else is as it is.
CODE = (
    "import medray.jobs.schedule.scheduler as s; s.GONE_S = 4.0; s.TICK_S = 0.5; s.RETRY_S = 1.0; "
    "from medray.cli import main; main()"
)
Begin = Callable[..., "subprocess.Popen[bytes]"]

pytestmark = pytest.mark.drill


@pytest.fixture
def begin(objects: Objects) -> Iterator[Begin]:
    begun = []

    def start(faults: str = "", *more: str) -> "subprocess.Popen[bytes]":
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        if faults:
            environment["MEDRAY_FAULTS"] = faults
        command = [sys.executable, "-c", CODE, "scheduler", "--storage", objects.url, *more]
        begun.append(subprocess.Popen(command, env=environment))
        return begun[-1]

    yield start
    for process in begun:
        process.kill()
        process.wait()


@pytest.fixture
def due(objects: Objects, cohort: Path) -> Callable[..., list[str]]:
    """Adds a schedule that some minutes ago became due; returns these due times."""

    def add(minutes: int, **fields: Any) -> list[str]:
        job = {
            "kind": "ingest",
            "format": {"name": "nifti", "layout": "msd"},
            "source": str(cohort),
            "output": "heads",
            "policy": {"error_budget": 0.2},
        }
        now = datetime.datetime.now(datetime.UTC)
        schedules.add(
            objects, "n", job, cron="0 0 1 1 *", cluster="inline", catch_up="all", **fields
        )
        # Every minute is due, but none while the test runs.
        then = now.replace(second=0, microsecond=0) - datetime.timedelta(minutes=5)
        cron = ",".join(str((then + datetime.timedelta(minutes=m)).minute) for m in range(minutes))
        hours = {(then + datetime.timedelta(minutes=m)).hour for m in range(minutes)}
        change = {"cron": f"{cron} {','.join(map(str, hours))} * * *"}
        before = then - datetime.timedelta(seconds=1)
        schedules.change(objects, "n", lambda _: {**change, "after": before})
        times = schedules.read(objects, "n").due_times(before, now)
        return [time.strftime("%Y%m%dT%H%M%SZ") for time in times]

    return add


def history(objects: Objects) -> dict[str, Record]:
    return {record.claim.due: record for record in Claims(objects, "n", SYSTEM).history(100)}


def drivers(objects: Objects) -> int:
    """How often the job was really begun."""
    return sum("/drivers/" in entry.path for entry in objects.walk("runs"))


def ended(objects: Objects) -> dict[str, str]:
    return {due: record.end.state for due, record in history(objects).items() if record.end}


@pytest.mark.parametrize(
    ("fault", "starts"),
    [("claimed", 1), ("leased", 1), ("started", 1), ("before-end", 2)],
)
def test_killed_at_every_step_of_a_start(begin, due, objects, fault: str, starts: int) -> None:
    (time_,) = due(1)
    assert begin(f"schedule.{fault}=kill", "--once").wait(60) == -signal.SIGKILL
    assert ended(objects) == {}
    assert list(history(objects)) == [time_]
    run = history(objects)[time_].claim.run
    assert begin("", "--once").wait(90) == 0
    assert ended(objects) == {time_: "done"}
    assert history(objects)[time_].claim.run == run
    # A child that was just started when its scheduler died ended with it, before it began; one
    # that had ended before is run again, to no effect.
    assert drivers(objects) == starts
    assert begin("", "--once").wait(60) == 0
    assert drivers(objects) == starts


def test_two_processes_race(begin, due, objects) -> None:
    times = due(3)
    both = [begin("", "--once"), begin("", "--once")]
    assert [process.wait(110) for process in both] == [0, 0]
    assert ended(objects) == dict.fromkeys(times, "done")
    records = history(objects).values()
    assert [record.end.attempts for record in records if record.end] == [1] * 3
    assert drivers(objects) == 3
    assert sum("/commits/" in entry.path for entry in objects.walk("datasets")) == 1


def test_asked_to_stop_it_leaves_nothing_behind(begin, due, objects, monkeypatch) -> None:
    """SIGTERM while a run is under way: the run drains, and the next scheduler goes on at once."""
    (time_,) = due(1)
    monkeypatch.setenv("MEDRAY_FAULTS", "commit.before=hang")
    first = begin()
    until = time.monotonic() + 60
    while drivers(objects) < 1:
        assert time.monotonic() < until
        time.sleep(0.1)
    first.terminate()
    assert first.wait(40) == 0
    lease = history(objects)[time_].lease
    assert lease is not None
    assert lease.holder == ""
    monkeypatch.delenv("MEDRAY_FAULTS")
    assert begin("", "--once").wait(60) == 0
    assert ended(objects) == {time_: "done"}


def test_a_page_is_written_after_the_run(begin, due, objects) -> None:
    (time_,) = due(1)
    assert begin("", "--once").wait(90) == 0
    assert objects.exists(f"reports/n/{time_}.html")
    page = objects.get("reports/n/morning.html").decode()
    assert "8" in page
    assert json.loads(objects.get("schedules/n.json"))["name"] == "n"
