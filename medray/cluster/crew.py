"""Worker processes of a driver, kept from one step to the next: to start one takes seconds."""

import os
import resource
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import ray

from medray.cluster.liveness import Reporter, pin_board
from medray.engine.units.operation import Unit
from medray.engine.units.worker import Receipt, Worker, WorkerSpec
from medray.errors import MedrayError, RetryableError
from medray.faults import point

RESTARTS = 1000  # of an actor, and tries of a task: an input that kills costs 2 * max_attempts


@dataclass(frozen=True)
class Place:
    """What a process is given.

    Args:
        num_cpus: that Ray counts for it.
        num_gpus: that Ray counts for it, and shows it.
        threads: of its libraries for mathematics.
        labels: of the nodes that may hold it.
        memory_bytes: that it may allocate on top of what it holds at its start; None: no limit.
    """

    num_cpus: float = 1
    num_gpus: float = 0
    threads: int = 1
    labels: dict[str, str] = field(default_factory=dict)
    memory_bytes: int | None = None


class UnitActor:
    """One process. It has one worker at a time, that of the step at hand."""

    def __init__(self, board: Any, threads: int, memory_bytes: int | None) -> None:
        # Before any library with threads of its own is loaded: they read it once.
        os.environ["OMP_NUM_THREADS"] = str(threads)
        if memory_bytes is not None:
            limit_memory(memory_bytes)
        point("worker.begun")
        self._reporter = Reporter(board)
        self._step = ""
        self._worker: Worker | None = None
        self._changing = threading.Lock()

    def here(self) -> None:
        """Answers once the process has started."""

    def run(self, step: str, spec: WorkerSpec, units: Sequence[Unit]) -> list[Receipt]:
        """Do units of a step; may be called from two threads at once."""
        worker = self._of(step, spec)
        return [self._run(worker, unit) for unit in units]

    def _of(self, step: str, spec: WorkerSpec) -> Worker:
        with self._changing:
            worker = self._worker
            if worker is None or self._step != step:
                worker = self._worker = None  # what the step before holds goes first
                worker = self._worker = Worker(spec)
                self._step = step
            return worker

    def _run(self, worker: Worker, unit: Unit) -> Receipt:
        with self._reporter.unit(unit.id) as granted:
            if granted:
                return worker.run(unit)
        return Receipt(unit.id, unit.index, "drained", inputs=len(unit.inputs))


class Member:
    """A process as the driver sees it: on its way until `coming` is answered."""

    def __init__(self, place: Place, board: Any) -> None:
        made: Any = ray.remote(UnitActor)
        self.actor = made.options(
            num_cpus=place.num_cpus,
            num_gpus=place.num_gpus,
            label_selector=place.labels or None,
            max_concurrency=2,  # one reads the next unit while the other computes
            max_restarts=RESTARTS,
            max_task_retries=RESTARTS,
        ).remote(board, place.threads, place.memory_bytes)
        self.coming: ray.ObjectRef[None] | None = self.actor.here.remote()
        self.tasks = 0


class Crew:
    """The processes that a driver holds, all of them in like places, and the board they share."""

    def __init__(self) -> None:
        self._place: Place | None = None
        self._members: list[Member] = []
        self._board: Any = None

    @property
    def board(self) -> Any:
        """Of this driver; it lasts as long as the crew."""
        if self._board is None:
            self._board = pin_board()
        return self._board

    def muster(self, count: int, place: Place) -> list[Member]:
        """So many processes: those that are there, if their place is as asked for, and new ones.

        What a process may allocate counts from its start, so one with a limit does one step.
        """
        if place != self._place or place.memory_bytes is not None:
            self.dismiss()
        self._place = place
        missing = max(0, count - len(self._members))
        self._members += [Member(place, self.board) for _ in range(missing)]
        return self._members[:count]

    def release(self) -> None:
        """End the processes that have not started, so that nobody keeps a place for them, or
        brings a node."""
        self._end([one for one in self._members if one.coming is not None])

    def dismiss(self) -> None:
        """End all processes, whatever they do."""
        self._end(self._members)

    def close(self) -> None:
        """End the processes and the board, which then lets nothing begin any more."""
        self.dismiss()
        if self._board is not None:
            ray.kill(self._board)
            self._board = None

    def _end(self, members: list[Member]) -> None:
        for member in members:
            ray.kill(member.actor)
        self._members = [one for one in self._members if one not in members]


def failed(error: BaseException, who: str = "the pool of workers") -> MedrayError:
    """What broke those who do units, as it is told to their user (code "pool-failed")."""
    cause = getattr(error, "cause", error)
    if isinstance(cause, MedrayError):
        return cause
    return RetryableError(
        f"{who} broke ({type(error).__name__})",
        code="pool-failed",
        about="ray",
        hint="look at the cluster, then `medray resume`: what is committed stays",
    )


def limit_memory(more_bytes: int) -> None:
    """Let this process allocate so much more than it has, then fail in itself, as MemoryError.

    The limit is on private writable memory: address space would count Ray's shared memory and
    every library's text as well.
    """
    pa.array([0])  # with its first, Arrow's allocator takes a GiB of addresses, whatever it needs
    status = Path("/proc/self/status").read_text()
    held = int(status.partition("VmData:")[2].split()[0]) * 1024
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (held + more_bytes, hard))
