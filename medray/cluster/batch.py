"""Run units on Ray: a Ray Data actor pool whose rows are receipts. Nothing heavy travels."""

import json
import logging
import math
import os
import queue
import resource
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import ray
from ray.data import ActorPoolStrategy, DataContext
from ray.data._internal.execution.execution_callback import ExecutionCallback

from medray.cluster.board import Reporter, end_processes, leaving_nodes, pin_board
from medray.cluster.meters import UnitMeters
from medray.cluster.session import require
from medray.engine.operation import Unit
from medray.engine.worker import Receipt, Worker, WorkerSpec
from medray.errors import MedrayError, RetryableError
from medray.log import event

DRAIN_S = 5.0  # with shutting Ray down, a run that is asked to stop is gone within 10 s
GRACE_S = 30.0  # beyond the unit's own timeout, before a silent process is killed from outside
RESTARTS = 1000  # of an actor, and tries of a task: an input that kills costs 2 * max_attempts
LOOK_S = 0.5
# A worker's share is cut into so many tasks: enough to balance, few enough for the driver, whose
# work is per task and not per unit.
TASKS_PER_WORKER = 16
MAX_PER_TASK = 16


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
) -> None:
    """Run `units` by a pool of workers on the Ray that this process is connected to.

    Every unit ends in exactly one receipt. Each worker runs two threads, so that one reads the
    next unit while the other computes.

    Args:
        spec: of the workers.
        units: to do.
        on_receipt: called on this thread with each receipt, in order of completion.
        stop: once set, units not begun come back "drained", and so do those under way that don't
            end within `DRAIN_S`; their attempts are left as a killed worker leaves them.
        workers: how many, or (fewest, most): most are asked for where the cluster grows, and
            those that find no place do without; elsewhere Ray Data keeps between the two.
        num_cpus: of each worker.
        num_gpus: of each worker.
        memory_bytes: that a worker may allocate on top of what it holds at its start; None: no
            limit.
        labels: of the nodes that may hold a worker.
        grows: nodes come when they are asked for, so that workers may exceed the cluster of now.
        grace_s: beyond `spec.unit_timeout_s`, before a worker that shows no sign of life is killed.

    Raises:
        SpecError: the pool needs more than the cluster has (code "pool-too-large").
        RetryableError: the pool broke, for example because workers died too often (code
            "pool-failed"); what is committed stays.
    """
    if not units:
        return
    low, high = (workers, workers) if isinstance(workers, int) else workers
    low, high = min(low, len(units)), min(high, len(units))
    if grows:
        low = high  # workers that wait for a node are what brings it
    else:
        require(low, num_cpus, num_gpus)
    board = pin_board()
    pool = _Pool(
        units,
        size=(low, high),
        kwargs={"spec": spec, "board": board, "memory_bytes": memory_bytes},
        num_cpus=num_cpus,
        num_gpus=num_gpus,
        labels=labels or None,
        patience_s=max(1800.0, 3 * MAX_PER_TASK * (spec.unit_timeout_s + grace_s)),
    )
    missing = {unit.index: unit for unit in units}
    meters = UnitMeters(spec.operation, spec.dataset, len(units))
    drain_until = math.inf
    looked = time.monotonic()
    leaving = leaving_nodes()
    board.leaving.remote(leaving)
    try:
        while missing and time.monotonic() < drain_until:
            meters.tell()
            for receipt in pool.receipts(LOOK_S):
                if missing.pop(receipt.index, None) is not None:
                    meters.take(receipt)
                    on_receipt(receipt)
            if stop.is_set() and drain_until == math.inf:
                board.drain.remote()
                drain_until = time.monotonic() + DRAIN_S
            if time.monotonic() - looked > LOOK_S:
                looked = time.monotonic()
                if leaving_nodes() != leaving:
                    leaving = leaving_nodes()
                    board.leaving.remote(leaving)
                silent = ray.get(board.silent.remote(spec.unit_timeout_s + grace_s))
                if silent:
                    event("killed-silent", processes=len(silent))
                    end_processes(silent)
    except ray.exceptions.RayError as error:
        raise _failed(error) from error
    finally:
        pool.cut()
        if stop.is_set():
            ray.kill(board)  # it lets nothing begin any more
    for unit in missing.values():
        on_receipt(Receipt(unit.id, unit.index, "drained", inputs=len(unit.inputs)))


class _Pool:
    """The Ray Data execution, on a thread of its own."""

    def __init__(
        self,
        units: Sequence[Unit],
        *,
        size: tuple[int, int],
        kwargs: dict[str, Any],
        num_cpus: float,
        num_gpus: float,
        labels: dict[str, str] | None,
        patience_s: float,
    ) -> None:
        each = min(MAX_PER_TASK, max(1, len(units) // (size[1] * TASKS_PER_WORKER)))
        self._arrived: queue.Queue[list[Receipt] | BaseException] = queue.Queue()
        rows = [{"unit": unit.as_text()} for unit in units]
        users = DataContext.get_current()
        try:
            self._cut = _configure(users.copy(), patience_s)
            with warnings.catch_warnings():
                # max_restarts and max_task_retries have no other way in, up to Ray 2.64.
                warnings.filterwarnings("ignore", "`ray_remote_args` is deprecated")
                self._receipts = _map(rows, each, size, kwargs, num_cpus, num_gpus, labels)
        finally:
            # A dataset keeps the settings it was made with; others in this process get their own.
            DataContext._set_current(users)  # noqa: SLF001
        self._thread = threading.Thread(target=self._pump, name="pool", daemon=True)
        self._thread.start()

    def receipts(self, timeout_s: float) -> list[Receipt]:
        """Receipts that came in; none after `timeout_s`.

        Raises:
            RetryableError: the execution ended without those that are missing.
        """
        try:
            arrived = self._arrived.get(timeout=timeout_s)
        except queue.Empty:
            return []
        if isinstance(arrived, BaseException):
            raise _failed(arrived) from arrived
        return arrived

    def cut(self) -> None:
        """End the execution and its actors, whatever they are doing."""
        self._cut.set()
        self._thread.join(3)

    def _pump(self) -> None:
        try:
            for bundle in self._receipts.iter_internal_ref_bundles():
                for table in ray.get(list(bundle.block_refs)):
                    texts = table.column("receipt").to_pylist()
                    self._arrived.put([Receipt(**json.loads(text)) for text in texts])
            self._arrived.put(_Ended("the pool ended early"))
        except BaseException as error:  # noqa: BLE001 - raised again on the driver's thread
            self._arrived.put(error)


def _map(
    rows: list[dict[str, str]],
    each: int,
    size: tuple[int, int],
    kwargs: dict[str, Any],
    num_cpus: float,
    num_gpus: float,
    labels: dict[str, str] | None,
) -> ray.data.Dataset:
    return ray.data.from_items(rows, override_num_blocks=math.ceil(len(rows) / each)).map_batches(
        UnitActor,
        fn_constructor_kwargs=kwargs,
        batch_size=each,
        batch_format="pyarrow",
        compute=ActorPoolStrategy(
            min_size=size[0],
            max_size=size[1],
            max_concurrent_calls_per_actor=2,
            enable_true_multi_threading=True,
            # With tasks of many short units a third one waits at the actor, to hide the way to
            # the driver and back; a long unit must not wait for one actor.
            max_tasks_in_flight_per_actor=2 if each == 1 else 3,
        ),
        num_cpus=num_cpus,
        num_gpus=num_gpus,
        label_selector=labels,
        max_restarts=RESTARTS,
        max_task_retries=RESTARTS,
    )


class UnitActor:
    """One worker of the pool, as Ray Data builds it: a table of units to a table of receipts."""

    def __init__(self, spec: WorkerSpec, board: Any, memory_bytes: int | None) -> None:
        # Before any library with threads of its own is loaded: they read it once.
        os.environ["OMP_NUM_THREADS"] = str(spec.threads)
        if memory_bytes is not None:
            limit_memory(memory_bytes)
        self._reporter = Reporter(board)
        self._worker = Worker(spec)

    def __call__(self, batch: pa.Table) -> pa.Table:
        receipts = [self._run(Unit.of_text(text)) for text in batch.column("unit").to_pylist()]
        return pa.table({"receipt": [json.dumps(asdict(receipt)) for receipt in receipts]})

    def _run(self, unit: Unit) -> Receipt:
        with self._reporter.unit(unit.id) as granted:
            if granted:
                return self._worker.run(unit)
        return Receipt(unit.id, unit.index, "drained", inputs=len(unit.inputs))


def limit_memory(more_bytes: int) -> None:
    """Let this process allocate so much more than it has, then fail in itself, as MemoryError.

    The limit is on private writable memory: address space would count Ray's shared memory and
    every library's text as well.
    """
    status = Path("/proc/self/status").read_text()
    held = int(status.partition("VmData:")[2].split()[0]) * 1024
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (held + more_bytes, hard))


class _Ended(Exception):
    """The execution ended without an error, before every receipt was in."""


class _Cut(Exception):
    """The driver wants the execution gone."""


class Scissors(ExecutionCallback):
    """Ends an execution from within its own loop, which then kills its actors.

    Ray Data makes an instance for each execution, from the class alone; the event to watch is
    that of the pool made last.
    """

    latest: ClassVar[threading.Event] = threading.Event()

    def __init__(self) -> None:
        self._cut = Scissors.latest

    def on_execution_step(self, executor: Any) -> None:
        """Called by the loop, several times a second at least."""
        if self._cut.is_set():
            raise _Cut


def _configure(context: DataContext, patience_s: float) -> threading.Event:
    """Set Ray Data up for the next pool; returns the event that cuts it."""
    Scissors.latest = threading.Event()
    DataContext._set_current(context)  # noqa: SLF001
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.enable_auto_log_stats = False
    context.log_internal_stack_trace = False
    context.enable_fallback_to_arrow_object_ext_type = False
    context.execution_no_progress_timeout_s = patience_s
    context.custom_execution_callback_classes = [Scissors]
    # What goes wrong is raised here, with its cause; Ray would print pages besides.
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    return Scissors.latest


def _failed(error: BaseException) -> MedrayError:
    if isinstance(error, MedrayError):
        return error
    return RetryableError(
        f"the pool of workers broke ({type(error).__name__})",
        code="pool-failed",
        about="ray",
        hint="look at the cluster, then `medray resume`: what is committed stays",
    )
