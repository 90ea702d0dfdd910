"""F3, F6, F7: the driver is killed at any step, doubled, stopped: there is always one result."""

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from driver import NAME
from killing import Finish, Job, Start, plain, sleeps, wait_until

POINTS = [
    "attempt.begun",
    "ragged.values",
    "shard.written",
    "commit.before",
    "commit.before-record",
    "commit.after-record",
    "publish.before-manifest",
    "publish.before-head",
    "publish.after-head",
]


def leftovers(root: Path) -> set[str]:
    """Folders of shards that no commit names."""
    dataset = root / "datasets" / NAME
    committed = {path.stem for path in (dataset / "commits").glob("*.json")}
    shards = {path.name.partition("-")[0] for path in (dataset / "shards").iterdir()}
    return {
        path.name
        for path in (dataset / "shards").iterdir()
        if path.name.partition("-")[0] not in committed
    } | (committed - shards)


@pytest.mark.parametrize("where", POINTS)
def test_driver_killed_at_each_point_of_the_commit_resumes_to_the_same(
    where: str, start: Start, finish: Finish, clean: Callable[[Job], str], tmp_path: Path
) -> None:
    job = Job(tmp_path / "root", plain(4), {"ragged": where.startswith("ragged")})
    count = "" if where.startswith("publish") else ":2"
    killed = start(job, faults=f"{where}=kill{count}")
    assert killed.end()[0] == -signal.SIGKILL

    begun, committed = job.attempts(), len(job.commits())
    status, last = finish(job)
    assert (status, last["digest"], last["samples"]) == (0, clean(job), 8)
    assert last["computed"] == 4 - committed, "what was committed is not computed again"
    assert job.attempts() == begun + 4 - committed
    assert finish(job)[1] == {**last, "computed": 0}, "running again changes nothing"


def test_two_drivers_at_once_commit_each_unit_once_and_publish_one_version(
    start: Start, clean: Callable[[Job], str], tmp_path: Path
) -> None:
    job = Job(tmp_path / "root", plain(12), {"sleep_s": 0.02})
    ends = [driver.end() for driver in [start(job), start(job)]]
    assert [status for status, _ in ends] == [0, 0]
    assert ends[0][1]["version"] == ends[1][1]["version"]
    assert ends[0][1]["digest"] == clean(job)
    assert ends[0][1]["computed"] + ends[1][1]["computed"] == 12, "one winner a unit"
    assert leftovers(job.root) == set(), "losers discard what they wrote"
    assert len(list((job.root / "datasets" / NAME / "shards").iterdir())) == 12


def test_late_commit_of_a_stopped_driver_is_refused(
    start: Start, finish: Finish, clean: Callable[[Job], str], tmp_path: Path
) -> None:
    job = Job(tmp_path / "root", plain(3))
    zombie = start(job, faults="commit.before-record=stop:2")
    shards = job.root / "datasets" / NAME / "shards"
    wait_until(lambda: sleeps(zombie.process.pid))
    status, last = finish(job)
    assert (status, last["digest"]) == (0, clean(job))
    winners = {unit: commit.attempt for unit, commit in job.commits().items()}

    os.kill(zombie.process.pid, signal.SIGCONT)
    status, late = zombie.end()
    assert status == 0
    assert late["version"] == last["version"]
    assert {unit: commit.attempt for unit, commit in job.commits().items()} == winners
    assert {path.name for path in shards.iterdir()} == {
        f"{unit}-{attempt}" for unit, attempt in winners.items()
    }


@pytest.mark.drill
def test_driver_killed_at_30_random_moments(
    start: Start, clean: Callable[[Job], str], tmp_path: Path
) -> None:
    job = Job(tmp_path / "root", plain(150), {"sleep_s": 0.02})
    moments = random.Random(7)
    kills = 0
    while True:
        driver = start(job)
        if kills < 30:
            driver.read() if kills % 2 else time.sleep(moments.uniform(0.2, 1.5))
            time.sleep(moments.uniform(0, 0.25))
            driver.process.kill()
            kills += driver.end()[0] == -signal.SIGKILL
            continue
        status, last = driver.end()
        break
    assert (status, last["digest"], last["samples"]) == (0, clean(job), 300)
    assert job.attempts() <= 150 + 2 * kills, "no more is lost than was under way"


@pytest.mark.drill
@pytest.mark.parametrize(("mode", "worker"), [("ray", "UnitActor"), ("bulk", "MapWorker")])
def test_driver_on_ray_killed_leaves_nothing_running_and_resumes(
    mode: str, worker: str, start: Start, clean: Callable[[Job], str], tmp_path: Path
) -> None:
    job = Job(tmp_path / "root", plain(40), {"sleep_s": 0.1}, mode)
    for _ in range(2):  # the second kill hits a run that resumed
        driver = start(job)
        driver.read()
        # Ray's own two agents notice a minute later; they hold no data and no CPU.
        family = [child for child in driver.children() if "Agent" not in child.name()]
        assert any("raylet" in child.name() for child in family)
        assert any(worker in child.name() for child in family)
        driver.process.kill()
        driver.end()
        wait_until(lambda family=family: not any(_runs(child) for child in family))
    before = len(job.commits())
    status, last = start(job).end()
    assert (status, last["digest"]) == (0, clean(job))
    assert last["computed"] == 40 - before


@pytest.mark.drill
def test_two_drivers_on_two_rays(start: Start, clean: Callable[[Job], str], tmp_path: Path) -> None:
    job = Job(tmp_path / "root", plain(30), {"sleep_s": 0.1}, "ray")
    ends = [driver.end() for driver in [start(job), start(job)]]
    assert [status for status, _ in ends] == [0, 0]
    assert ends[0][1]["version"] == ends[1][1]["version"]
    assert ends[0][1]["digest"] == clean(job)
    assert leftovers(job.root) == set()


def _runs(process: object) -> bool:
    import psutil

    assert isinstance(process, psutil.Process)
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
