"""Run units on Ray: each goes to a process of the crew, or through a pool of Ray Data's, and its
receipt comes back."""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import ray

from medray.cluster.crew import Crew, Member, Place, failed
from medray.cluster.liveness import end_processes, leaving_nodes
from medray.cluster.meters import UnitMeters
from medray.cluster.session import require
from medray.engine.units.operation import Unit, operation_of
from medray.engine.units.worker import Receipt, WorkerSpec
from medray.ids import attempt_id
from medray.log import event

if TYPE_CHECKING:
    from medray.cluster.bulk import Stream

DRAIN_S = 5.0  # with shutting Ray down, a run that is asked to stop is gone within 10 s
GRACE_S = 30.0  # beyond the unit's own timeout, before a silent process is killed from outside
LOOK_S = 0.5
# A worker's share is cut into so many tasks: enough to balance, few enough for the driver, whose
# work is per task and not per unit.
TASKS_PER_WORKER = 16
MAX_PER_TASK = 16
SAID = 300  # characters of what Ray says of a death
TRIES = 3  # pools that break one after the other, none of which brought a receipt


def run_on_ray(
    spec: WorkerSpec,
    units: Sequence[Unit],
    on_receipt: Callable[[Receipt], None],
    stop: threading.Event,
    *,
    workers: int | tuple[int, int],
    num_cpus: float = 1,
    num_gpus: float = 0,
    memory_bytes: int | None = None,
    labels: dict[str, str] | None = None,
    grows: bool = False,
    grace_s: float = GRACE_S,
    crew: Crew | None = None,
    bulk: bool = False,
) -> None:
    """Run `units` by worker processes on the Ray that this process is connected to.

    Every unit ends in exactly one receipt. Each process runs two threads, so that one waits for
    storage or reads while the other computes (see `Turn`). Ray starts a process anew that dies; one
    that could not begin, as beside a node's death it may not, is gone for good, and then all are
    made anew.

    Args:
        spec: of the workers.
        units: to do.
        on_receipt: called on this thread with each receipt, in order of completion.
        stop: once set, units not begun come back "drained", and so do those under way that don't
            end within `DRAIN_S`; their attempts are left as a killed worker leaves them.
        workers: how many, or (fewest, most): most are asked for, and those that find no place do
            without. Where the cluster does not grow, no more are asked for than it has CPUs for.
        num_cpus: of each worker.
        num_gpus: of each worker.
        memory_bytes: that a worker may allocate on top of what it holds at its start; None: no
            limit.
        labels: of the nodes that may hold a worker.
        grows: nodes come when they are asked for, so that workers may exceed the cluster of now.
        grace_s: beyond `spec.unit_timeout_s`, before a worker that shows no sign of life is killed.
        crew: of the driver, which keeps the processes for its next step; None: they end with these
            units.
        bulk: through a pool of Ray Data's, of workers of its own, and not by the crew.

    Raises:
        SpecError: the pool needs more than the cluster has (code "pool-too-large").
        RetryableError: the pool broke again and again, for example because workers cannot begin,
            or none found a place in half an hour (code "pool-failed"); what is committed stays.
    """
    if not units:
        return
    low, high = (workers, workers) if isinstance(workers, int) else workers
    low, high = min(low, len(units)), min(high, len(units))
    if grows:
        low = high  # workers that wait for a node are what brings it
    else:
        require(low, num_cpus, num_gpus)
        high = max(low, min(high, _room(num_cpus, num_gpus)))
    place = Place(num_cpus, num_gpus, spec.threads, labels or {}, memory_bytes)
    kept = crew or Crew()
    missing = {unit.index: unit for unit in units}
    meters = UnitMeters(operation_of(spec.operation).name, spec.dataset, len(units))
    drain_until = math.inf
    patience_s = max(1800.0, 3 * MAX_PER_TASK * (spec.unit_timeout_s + grace_s))
    each = min(MAX_PER_TASK, max(1, len(units) // (high * TASKS_PER_WORKER)))
    # With tasks of many short units a third one waits at the process, to hide the way to the
    # driver and back; a long unit must not wait for one process.
    ahead = 2 if each == 1 else 3

    def begin() -> "Stream | _Work":
        todo = list(missing.values())
        if not bulk:
            return _Work(spec, todo, each, ahead, high, place, kept)
        from medray.cluster.bulk import Stream

        kept.dismiss()
        return Stream(spec, todo, each, ahead, (low, high), place, kept.board)

    work = None
    watch = _Watch(kept, spec.unit_timeout_s + grace_s)
    try:
        moved, broken = time.monotonic(), 0
        while missing and time.monotonic() < drain_until:
            meters.tell()
            if stop.is_set() and drain_until == math.inf:
                kept.board.drain.remote()
                drain_until = time.monotonic() + DRAIN_S
            try:
                watch.look()
                work = work or begin()
                arrived = work.receipts(LOOK_S)
            except Exception as error:
                lost, broken = failed(error), broken + 1
                if broken > TRIES or lost.code != "pool-failed":
                    raise lost from error
                said = str(error) if isinstance(error, ray.exceptions.ActorDiedError) else ""
                event(
                    "pool-broke",
                    error=type(error).__name__,
                    said=" ".join(said.split())[-SAID:],  # of a process's start, so of no input
                    units_left=len(missing),
                )
                if stop.is_set():
                    break
                if work is not None:
                    work.cut()
                kept.close()
                work = None
                continue
            for receipt in arrived:
                if missing.pop(receipt.index, None) is not None:
                    moved, broken = time.monotonic(), 0
                    meters.take(receipt)
                    on_receipt(receipt)
            if time.monotonic() - moved > patience_s:
                raise failed(TimeoutError())
    finally:
        if work is not None:
            work.cut()
        if missing or crew is None:
            kept.close()
    for unit in missing.values():
        on_receipt(Receipt(unit.id, unit.index, "drained", inputs=len(unit.inputs)))


class _Watch:
    """Over processes, by the board: tells which nodes are to go, and kills who is silent."""

    def __init__(self, crew: Crew, silent_s: float) -> None:
        self._crew, self._silent_s = crew, silent_s
        self._told: tuple[Any, frozenset[str]] | None = None
        self._looked = -math.inf

    def look(self) -> None:
        """Look, unless that was done a moment ago.

        Raises:
            RayError: the board is gone.
        """
        if time.monotonic() - self._looked < LOOK_S:
            return
        self._looked = time.monotonic()
        board, leaving = self._crew.board, leaving_nodes()
        if (board, leaving) != self._told:
            board.leaving.remote(leaving)
            self._told = board, leaving
        if silent := ray.get(board.silent.remote(self._silent_s)):
            event("killed-silent", processes=len(silent))
            end_processes(silent)


class _Work:
    """The units of a step, cut into tasks, and who is at which."""

    def __init__(
        self,
        spec: WorkerSpec,
        units: Sequence[Unit],
        each: int,
        ahead: int,
        count: int,
        place: Place,
        crew: Crew,
    ) -> None:
        self._step, self._spec = attempt_id(), ray.put(spec)
        self._todo = deque(units[first : first + each] for first in range(0, len(units), each))
        self._most = ahead
        self._crew, self._members = crew, crew.muster(count, place)
        self._tasks: dict[ray.ObjectRef[Any], Member] = {}
        self._coming = {one.coming: one for one in self._members if one.coming is not None}
        self._hand_out()

    def receipts(self, timeout_s: float) -> list[Receipt]:
        """Receipts that came in; none after `timeout_s`.

        Raises:
            RayError: a process died too often, or could not begin.
        """
        refs: list[ray.ObjectRef[Any]] = [*self._tasks, *self._coming]
        done, _ = ray.wait(refs, timeout=timeout_s)
        if done:
            done, _ = ray.wait(refs, num_returns=len(refs), timeout=0)
        found: list[Receipt] = []
        for ref in done:
            arrived = ray.get(ref)
            if member := self._coming.pop(ref, None):
                member.coming = None
            else:
                self._tasks.pop(ref).tasks -= 1
                found += arrived
        self._hand_out()
        return found

    def cut(self) -> None:
        """Nobody waits for a place any more."""
        self._crew.release()

    def _hand_out(self) -> None:
        """Each process has a task, and then, of what the others do not need, the next ones."""
        idle = 0
        for number in range(1, self._most + 1):
            for member in self._members:
                if len(self._todo) <= idle:
                    break
                if member.coming is None and member.tasks < number:
                    task = member.actor.run.remote(self._step, self._spec, self._todo.popleft())
                    self._tasks[task] = member
                    member.tasks += 1
            idle = sum(not one.tasks for one in self._members)


def _room(num_cpus: float, num_gpus: float) -> int:
    """Workers that the cluster of now has CPUs and GPUs for."""
    have: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    wanted = (("CPU", num_cpus), ("GPU", num_gpus))
    return min(int(have.get(name, 0) / each + 1e-6) for name, each in wanted if each)
