"""Attending to a run whose cluster died, or was replaced by another: lost, and never done."""

import datetime
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from medray.clock import VirtualClock, stamp
from medray.errors import InterruptedRun, MedrayError, RetryableError, SpecError
from medray.jobs.follow import _Follower, pause_after
from medray.jobs.remote.submissions import claim, new_submission
from medray.lease import GONE_S
from medray.spec.profiles import RayCluster
from medray.steps.base.events import Event
from medray.storage.store.objects import Objects

EPOCH = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
CLUSTER = RayCluster(kind="ray", address="http://127.0.0.1:1")


@dataclass
class Refusing:
    """A cluster that answers every question with an error."""

    error: MedrayError

    def job(self, _submission: str) -> dict[str, Any]:
        raise self.error


@pytest.mark.parametrize(
    "error",
    [
        RetryableError("the cluster cannot be reached", code="cluster-unreachable"),
        # Another cluster, with another token, at the address of the first.
        SpecError("the cluster refuses the token", code="wrong-token"),
    ],
)
@pytest.mark.parametrize("begun", [True, False])
def test_what_gives_no_sign_for_a_minute_is_lost(
    objects: Objects, error: MedrayError, *, begun: bool
) -> None:
    submission = new_submission(objects, "job-1", 1, "c", CLUSTER, 0)
    claim(objects, submission)
    life = {"session": "s", "submission": 1, "started": stamp(), "seen": stamp()}
    if begun:
        beat = json.dumps({**life, "state": "running", "exit_status": 0, "steps": []})
        objects.put("runs/job-1/drivers/s.json", beat.encode())
    clock = VirtualClock(EPOCH)
    follower = _Follower(objects, Refusing(error), submission, lambda _: None, clock)  # type: ignore[arg-type]
    for _ in range(0, int(GONE_S), 10):
        assert follower.look() is None, "it may be back"
        clock.sleep(10)
    assert follower.look() is None, "not for a minute yet"
    clock.sleep(6)
    with pytest.raises(InterruptedRun, match=error.message) as caught:
        follower.look()
    assert caught.value.code == "driver-lost"


def test_the_head_is_left_to_its_work_while_it_starts_a_driver(objects: Objects) -> None:
    submission = new_submission(objects, "job-1", 1, "c", CLUSTER, 0)
    claim(objects, submission)
    clock, asked = VirtualClock(EPOCH), [0]

    class Starting:
        def job(self, _submission: str) -> dict[str, Any]:
            asked[0] += 1
            return {"status": "PENDING"}

    follower = _Follower(objects, Starting(), submission, lambda _: None, clock)  # type: ignore[arg-type]
    for _ in range(20):
        assert follower.look() is None
        clock.sleep(0.05)
    assert asked[0] == 1, "in a second"


def test_a_rival_for_the_name_is_told_to_who_waits(objects: Objects) -> None:
    submission = new_submission(objects, "job-1", 1, "c", CLUSTER, 0)
    claim(objects, submission)
    life = {"session": "s", "submission": 1, "started": stamp(), "seen": stamp(), "steps": []}
    beat = json.dumps({**life, "state": "running", "exit_status": 0})
    objects.put("runs/job-1/drivers/s.json", beat.encode())
    said = {"time": stamp(), "event": "contended", "output": "masks", "by": "job-2"}
    objects.put("runs/job-1/events/s-000001.jsonl", json.dumps(said).encode())
    told: list[Event] = []
    away = RetryableError("the cluster cannot be reached", code="cluster-unreachable")
    _Follower(objects, Refusing(away), submission, told.append).look()  # type: ignore[arg-type]
    assert [event.name for event in told] == ["contended"]


def test_the_end_is_seen_soon_however_long_it_took() -> None:
    assert [pause_after(seconds) for seconds in (0, 2, 10, 3600)] == [0.05, 0.05, 0.2, 1.0]


WAIT = """
import sys
from medray.commands.submit import attend_to
from medray.jobs.remote.submissions import read
from medray.jobs.submit import Sent
from medray.storage.store.objects import Objects

attend_to(Sent(read(Objects(sys.argv[1]), "job-1", 1), True), sys.argv[1], as_json=False)
print(sorted({"numpy", "pyarrow"} & set(sys.modules)))
"""


def test_who_waits_loads_nothing_of_the_work(tmp_path: Path) -> None:
    """The head shares its processors with it, where they are on one machine."""
    token = tmp_path / "token"
    token.touch(mode=0o600)
    token.write_text("secret")
    objects = Objects(str(tmp_path / "store"))
    cluster = CLUSTER.model_copy(update={"token_file": str(token)})
    claim(objects, new_submission(objects, "job-1", 1, "c", cluster, 0))
    life = {"session": "s", "submission": 1, "started": stamp(), "seen": stamp(), "steps": []}
    beat = json.dumps({**life, "state": "done", "exit_status": 0})
    objects.put("runs/job-1/drivers/s.json", beat.encode())
    command = [sys.executable, "-c", WAIT, str(tmp_path / "store")]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said.splitlines()[-2:] == ["run job-1", "[]"]
