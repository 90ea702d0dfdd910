"""F8: a run that is asked to stop drains within 10 s, leaves nothing behind and can be resumed."""

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from killing import Finish, Job, Start, plain, wait_until


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_inline_run_finishes_what_is_under_way(
    number: signal.Signals,
    start: Start,
    finish: Finish,
    clean: Callable[[Job], str],
    tmp_path: Path,
) -> None:
    job = Job(tmp_path / "root", plain(16), {"sleep_s": 0.05})
    driver = start(job)
    driver.read()
    driver.process.send_signal(number)
    status, last = driver.end(10)
    committed = len(job.commits())
    assert (status, last) == (4, {"drained": 16 - committed})
    assert committed == job.attempts(), "what was begun was finished"
    status, last = finish(job)
    assert (status, last["digest"], last["computed"]) == (0, clean(job), 16 - committed)


@pytest.mark.drill
@pytest.mark.parametrize("mode", ["ray", "bulk"])
@pytest.mark.parametrize(("sleep_s", "begun_are_finished"), [(0.2, True), (30, False)])
def test_run_on_ray_is_gone_within_10_s(
    mode: str,
    sleep_s: float,
    begun_are_finished: bool,
    start: Start,
    clean: Callable[[Job], str],
    tmp_path: Path,
) -> None:
    groups = [["ok-first"], *plain(60)]
    job = Job(tmp_path / "root", groups, {"sleep_s": sleep_s}, mode)
    driver = start(job)
    wait_until(lambda: job.attempts() >= 3, 120)
    family = driver.children()
    shared = {path for child in family for path in _shared_memory(child.pid)}
    driver.process.send_signal(signal.SIGTERM)
    asked = time.monotonic()
    status, last = driver.end(30)
    assert time.monotonic() - asked < 10
    committed = len(job.commits())
    assert (status, last) == (4, {"drained": 61 - committed})
    assert (committed == job.attempts()) == begun_are_finished
    wait_until(lambda: not any(child.is_running() for child in family), 5)
    assert not [path for path in shared if path.exists()]
    if begun_are_finished:
        status, last = start(job).end()
        assert (status, last["digest"], last["computed"]) == (0, clean(job), 61 - committed)


def _shared_memory(pid: int) -> set[Path]:
    """What a process has mapped of /dev/shm; others on the machine have theirs there."""
    try:
        maps = Path(f"/proc/{pid}/maps").read_text()
    except OSError:
        return set()  # it is gone
    names = {line.split(maxsplit=5)[5] for line in maps.splitlines() if "/dev/shm/" in line}
    return {Path(name.removesuffix(" (deleted)")) for name in names}
