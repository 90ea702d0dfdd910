"""Schedules whose runs are on a cluster: real schedulers, a real head, each due time sent once."""

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
from head import Head

from medray.clock import SYSTEM
from medray.errors import LEFT
from medray.jobs.run import run
from medray.jobs.schedule import schedules
from medray.jobs.schedule.claims import Claims, Record
from medray.jobs.schedule.start import Attached
from medray.jobs.status import job_status
from medray.storage.store.objects import Objects

# A minute until a lease is given up is too long for a test; everything else is as it is.
CODE = (
    "import medray.jobs.schedule.scheduler as s; s.GONE_S = 4.0; s.TICK_S = 0.5; s.RETRY_S = 1.0; "
    "from medray.cli import main; main()"
)
pytestmark = [pytest.mark.drill, pytest.mark.timeout(600)]


@pytest.fixture
def begin(objects: Objects) -> Iterator[Callable[..., "subprocess.Popen[bytes]"]]:
    begun = []

    def start(faults: str = "", *more: str) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-c", CODE, "scheduler", "--storage", objects.url, *more]
        begun.append(subprocess.Popen(command, env={**os.environ, "MEDRAY_FAULTS": faults}))
        return begun[-1]

    yield start
    for process in begun:
        process.kill()
        process.wait()


@pytest.fixture
def due(objects: Objects, head: Head, job: dict[str, Any], tmp_path: Path) -> Callable[[], str]:
    """Schedules the job on the head, due some minutes ago; returns when."""

    def add() -> str:
        cluster = head.profile(tmp_path / "head.yaml", forward=["MEDRAY_FAULTS"])
        now = datetime.datetime.now(datetime.UTC)
        policy = {**job["policy"], "unit_timeout_s": 20}
        schedules.add(objects, "n", {**job, "policy": policy}, cron="0 0 1 1 *", cluster=cluster)
        then = now.replace(second=0, microsecond=0) - datetime.timedelta(minutes=2)
        cron = f"{then.minute} {then.hour} * * *"
        before = then - datetime.timedelta(seconds=1)
        schedules.change(objects, "n", lambda _: {"cron": cron, "after": before})
        return then.strftime("%Y%m%dT%H%M%SZ")

    return add


def record(objects: Objects, due: str) -> Record:
    return Claims(objects, "n", SYSTEM).record(due)


def sent(objects: Objects) -> list[dict[str, Any]]:
    """What was submitted, in order."""
    paths = sorted(e.path for e in objects.walk("runs") if "/submissions/" in e.path)
    return [json.loads(objects.get(path)) for path in paths if path.endswith(".json")]


def lives(objects: Objects) -> list[str]:
    found = [e.path for e in objects.walk("runs") if "/drivers/" in e.path]
    return [json.loads(objects.get(path))["state"] for path in found]


def wait(true: Callable[[], Any], timeout_s: float = 120) -> None:
    until = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.1)


def in_ray(head: Head) -> set[str]:
    return {one["submission_id"] for one in head.ask("/api/jobs/") if one["submission_id"]}


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_a_run_goes_on_without_its_scheduler(
    begin, due, objects, head, job, tmp_path, end: signal.Signals
) -> None:
    """Killed or asked to end while the run is on the cluster: the next one attends to the same."""
    time_ = due()
    before = in_ray(head)
    spent = tmp_path / "spent"
    first = begin(f"shard.written=hang:2@{spent}")
    wait(spent.exists)
    first.send_signal(end)
    assert first.wait(40) in (0, -signal.SIGKILL)
    assert lives(objects) == ["running"], "nobody stopped it"
    assert record(objects, time_).end is None
    assert begin("", "--once").wait(120) == 0
    ended = record(objects, time_)
    assert ended.end is not None
    assert (ended.end.state, ended.end.attempts) == ("done", 2)
    step = ended.end.steps[0]
    plain = run(job, storage=Objects(str(tmp_path / "plain")), cluster="inline").steps[0]
    assert step["digest"] == plain.digest
    assert step["units"]["committed"] == 8
    assert [one["due"] for one in sent(objects)] == [ended.claim.run]
    assert lives(objects) == ["done"], "one driver began, once"
    assert in_ray(head) - before == {sent(objects)[0]["id"]}


@pytest.mark.parametrize("fault", ["claimed", "leased", "started", "before-end"])
def test_killed_at_every_step_it_is_sent_once(begin, due, objects, head, fault: str) -> None:
    time_ = due()
    before = in_ray(head)
    assert begin(f"schedule.{fault}=kill", "--once").wait(120) == -signal.SIGKILL
    assert begin("", "--once").wait(120) == 0
    end = record(objects, time_).end
    assert end is not None
    assert end.state == "done"
    assert len(sent(objects)) == len(in_ray(head) - before) == 1
    assert lives(objects) == ["done"]


def test_at_the_end_of_its_window_it_is_stopped_and_the_next_due_time_goes_on(
    begin, due, objects, head, tmp_path, monkeypatch
) -> None:
    time_ = due()
    spent = tmp_path / "spent"
    first = begin(f"shard.written=hang:2@{spent}")
    wait(spent.exists)
    first.kill()
    first.wait()
    claim = record(objects, time_).claim
    started = Attached(objects.url)(claim)
    time.sleep(5)  # it joins the run
    started.stop()
    wait(lambda: (outcome := started.poll()) is not None and outcome.exit_status == 4)
    (sent_one,) = sent(objects)
    assert job_status(objects, sent_one["job"]).state == "interrupted"

    again = Attached(objects.url)(claim)
    outcome: list[Any] = []
    wait(lambda: outcome.append(again.poll()) or outcome[-1] is not None)
    assert outcome[-1].exit_status == 0
    assert len(sent(objects)) == 2, "what was interrupted was sent again"
    assert outcome[-1].result["steps"][0]["units"]["skipped"] >= 1
    once_more = Attached(objects.url)(claim)
    once_more.leave()
    wait(lambda: (outcome := once_more.poll()) is not None and outcome.exit_status in (0, LEFT))
    assert len(sent(objects)) == 2, "what has ended for good is not"
