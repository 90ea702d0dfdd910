"""Drivers in processes of their own, and how drills kill them and their workers."""

import contextlib
import json
import queue
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from driver import NAME
from toy import units

from medray.storage.catalog.ledger import Ledger
from medray.storage.store.objects import Objects

HERE = Path(__file__).parent
Finish = Callable[["Job"], tuple[int, dict[str, Any]]]


@dataclass(frozen=True)
class Job:
    """What a driver is to do; see driver.py."""

    root: Path
    groups: list[list[str]]
    parameters: dict[str, Any] = field(default_factory=dict)
    mode: str = "inline"
    more: dict[str, Any] = field(default_factory=dict)

    def text(self) -> str:
        fields = {"root": str(self.root), "groups": self.groups, "mode": self.mode}
        return json.dumps({**fields, "parameters": self.parameters, **self.more})

    @property
    def ledger(self) -> Ledger:
        return Ledger(Objects(str(self.root)), NAME)

    def commits(self) -> dict[str, Any]:
        planned = units(self.groups, self.parameters)
        looked = {unit.id: self.ledger.commit_of(unit.id) for unit in planned}
        return {unit: commit for unit, commit in looked.items() if commit}

    def attempts(self) -> int:
        """Attempts begun, by all drivers."""
        folder = self.root / "datasets" / NAME / "attempts"
        return sum(path.name.count(".") == 1 for path in folder.glob("*/*.json"))


class Driver:
    """A driver's process."""

    def __init__(self, job: Job, environment: dict[str, str]) -> None:
        self.lines: list[dict[str, Any]] = []
        self._spoken: queue.Queue[None] = queue.Queue()
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "driver.py"), job.text()],
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self.lines.append(json.loads(line))
                self._spoken.put(None)

    def read(self, timeout_s: float = 120) -> None:
        """Wait until it prints its next line."""
        self._spoken.get(timeout=timeout_s)

    def children(self, name: str = "") -> list[psutil.Process]:
        """Its living descendants whose title has `name` in it."""
        return children(self.process.pid, name)

    def end(self, timeout_s: float = 300) -> tuple[int, dict[str, Any]]:
        """Wait; returns its exit status and the last line it printed."""
        status = self.process.wait(timeout_s)
        self._listener.join()
        return status, self.lines[-1] if self.lines else {}


Start = Callable[..., Driver]


def run_killed(
    start: Callable[[], subprocess.Popen[bytes]],
    moments: random.Random,
    seconds: tuple[float, float],
    most: int,
) -> tuple[int, int]:
    """Start a run, kill it and start it again, until one ends by itself.

    Args:
        start: begins it, or goes on with it.
        moments: when each is killed.
        seconds: earliest and latest.
        most: kills; the run after them is let alone.

    Returns:
        (exit status, kills).
    """
    kills = 0
    while True:
        driver = start()
        with contextlib.suppress(subprocess.TimeoutExpired):
            return driver.wait(moments.uniform(*seconds) if kills < most else 200), kills
        driver.kill()
        driver.wait()
        kills += 1


def workers_killed(
    driver: subprocess.Popen[bytes],
    worker: str,
    moments: random.Random,
    seconds: tuple[float, float],
    most: int,
) -> int:
    """Kill workers of a run, one after another, until it ends; returns how many.

    Args:
        driver: the run's.
        worker: what is in their titles.
        moments: how long is waited before each.
        seconds: least and most of it.
        most: kills.
    """
    kills = 0
    while driver.poll() is None:
        time.sleep(moments.uniform(*seconds))
        for child in children(driver.pid, worker) if kills < most else []:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
                kills += 1
                break
    return kills


def children(process: int, name: str = "") -> list[psutil.Process]:
    """Living descendants of a process whose title has `name` in it."""
    found = []
    try:
        every = psutil.Process(process).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    for child in every:
        with contextlib.suppress(psutil.NoSuchProcess):
            if name in " ".join(child.cmdline()) and child.status() != psutil.STATUS_ZOMBIE:
                found.append(child)
    return found


def wait_until(true: Callable[[], bool], timeout_s: float = 20) -> None:
    """Wait until `true()`, or fail."""
    until = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.05)


def plain(units: int, inputs: int = 2, kind: str = "ok") -> list[list[str]]:
    """Groups of keys of harmless inputs."""
    return [[f"{kind}-{i}-{j}" for j in range(inputs)] for i in range(units)]


def sleeps(pid: int) -> bool:
    """Whether all threads of a process are stopped: each stops when it next runs, not at once."""
    try:
        states = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/stat")]
    except FileNotFoundError:  # a thread that ended while it was looked at
        return False
    return all(state.rpartition(")")[2].split()[0] == "T" for state in states)
