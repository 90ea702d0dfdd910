"""The board: what the pool's processes say of themselves, so that the driver can judge them.

Each process asks before it begins a unit, and beats while it is alive. Three things need this: a
run that drains (no unit is begun any more), a node that is taken away (its processes end what they
are at, and hand the rest back) and a process that is stopped altogether, in which no timer of its
own can fire.
"""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from medray.clock import SYSTEM, Clock
from medray.lease import Watch

BEAT_S = 2.0
Leave = Literal["yes", "no", "elsewhere"]  # to begin a unit; "elsewhere": by another process


@dataclass(frozen=True)
class Process:
    """A worker process: the number alone may name another one later."""

    node: str
    pid: int
    started: str


class Board:
    """The board itself: state without a clock of anybody else. Runs as an actor."""

    def __init__(self, clock: Clock = SYSTEM) -> None:
        self._watch = Watch[Process](clock)
        self._draining = False
        self._leaving: frozenset[str] = frozenset()
        self._beats: dict[Process, int] = {}
        self._units: dict[Process, list[str]] = {}

    def beat(self, process: Process) -> None:
        """`process` is alive."""
        self._beats[process] = self._beats.get(process, 0) + 1
        self._watch.still_s(process, self._beats[process])

    def begin(self, process: Process, unit: str) -> Leave:
        """Whether `process` may begin `unit`: not once the run drains, or its node is to go."""
        self.beat(process)
        if self._draining:
            return "no"
        if process.node in self._leaving:
            return "elsewhere"
        self._units.setdefault(process, []).append(unit)
        return "yes"

    def end(self, process: Process, unit: str) -> None:
        """`process` is done with `unit`, however it went."""
        self.beat(process)
        with contextlib.suppress(ValueError):
            self._units.get(process, []).remove(unit)

    def drain(self) -> None:
        """Let no unit begin from now on."""
        self._draining = True

    def leaving(self, nodes: frozenset[str]) -> None:
        """These nodes are to go: no unit begins there from now on."""
        self._leaving = nodes

    def silent(self, seconds: float) -> list[Process]:
        """Processes at work on units that have not beaten for so long; each is told once."""
        beats = self._beats.items()
        found = [one for one, beat in beats if self._watch.still_s(one, beat) > seconds]
        for process in found:
            del self._beats[process]
            self._watch.forget(process)
        return [process for process in found if self._units.pop(process, [])]


def pin_board() -> Any:
    """A board: an actor on this node."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(Board).options(num_cpus=0, scheduling_strategy=here).remote()


class Reporter:
    """The worker's side of the board. May be used from several threads."""

    def __init__(self, board: Any) -> None:
        pid = os.getpid()
        self._board = board
        self._process = Process(ray.get_runtime_context().get_node_id(), pid, _started(pid))
        self._refused: Leave | None = None  # final, so that the board need not be asked again
        self._at_work = 0
        self._changed = threading.Condition()
        threading.Thread(target=self._beat, name="beat", daemon=True).start()

    @contextlib.contextmanager
    def unit(self, unit: str) -> Iterator[bool]:
        """Ask for leave to do `unit`; says whether it was given. On a node that is to go, this
        process ends when its other threads have done theirs; Ray makes one elsewhere instead."""
        leave = self._refused or self._ask(unit)
        if leave != "yes":
            self._refused = leave
            if leave == "elsewhere":
                self._hand_back()
            yield False
            return
        try:
            yield True
        finally:
            self._board.end.remote(self._process, unit)
            self._count(-1)

    def _ask(self, unit: str) -> Leave:
        self._count(1)
        leave: Leave = ray.get(self._board.begin.remote(self._process, unit))
        if leave != "yes":
            self._count(-1)
        return leave

    def _count(self, more: int) -> None:
        with self._changed:
            self._at_work += more
            self._changed.notify_all()

    def _hand_back(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._at_work == 0)
        os.kill(os.getpid(), signal.SIGKILL)

    def _beat(self) -> None:
        while True:
            time.sleep(BEAT_S)
            self._board.beat.remote(self._process)


def leaving_nodes() -> frozenset[str]:
    """Ids of the nodes that are to go, because a cloud or an autoscaler takes them away."""
    return frozenset(ray._private.state.state.get_draining_nodes())  # noqa: SLF001


def end_processes(processes: list[Process]) -> None:
    """Kill `processes` where they run; those gone by now are no error."""
    for process in processes:
        there = NodeAffinitySchedulingStrategy(process.node, soft=False)
        kill = ray.remote(_kill).options(num_cpus=0, max_retries=0, scheduling_strategy=there)
        kill.remote(process.pid, process.started)


def _kill(pid: int, started: str) -> None:
    if _started(pid) == started:
        os.kill(pid, signal.SIGKILL)


def _started(pid: int) -> str:
    """When the process started, in the kernel's ticks; empty where that can't be known."""
    try:
        # The name, in parentheses, may hold anything; the start is the 20th field after it.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
