"""Bulk inference: units stream through a pool of Ray Data's, whose rows are units on the way there
and receipts on the way back. Nothing heavy travels. Who looks after the cluster finds it in Ray's
dashboard, and where a pool may have from few to many workers, Ray Data keeps it between the two."""

import json
import logging
import math
import queue
import threading
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, ClassVar

import pyarrow as pa
import ray
from ray.data import ActorPoolStrategy, DataContext
from ray.data._internal.execution.execution_callback import ExecutionCallback

from medray.cluster.crew import RESTARTS, Place, UnitActor
from medray.engine.units.operation import Unit
from medray.engine.units.worker import Receipt, WorkerSpec


class Stream:
    """An execution of Ray Data, on a thread of its own.

    Args:
        spec: of the workers.
        units: to do.
        each: units that a worker is handed at once.
        ahead: such tasks that a worker has at once, two of which it does beside each other.
        size: fewest and most workers.
        place: of a worker.
        board: that they report to.
    """

    def __init__(
        self,
        spec: WorkerSpec,
        units: Sequence[Unit],
        each: int,
        ahead: int,
        size: tuple[int, int],
        place: Place,
        board: Any,
    ) -> None:
        self._arrived: queue.Queue[list[Receipt] | BaseException] = queue.Queue()
        rows = [{"unit": unit.as_text()} for unit in units]
        pool = ActorPoolStrategy(
            min_size=size[0],
            max_size=size[1],
            max_concurrent_calls_per_actor=2,
            enable_true_multi_threading=True,
            max_tasks_in_flight_per_actor=ahead,
        )
        users = DataContext.get_current()
        try:
            self._cut = _configure(users.copy())
            with warnings.catch_warnings():
                # max_restarts and max_task_retries have no other way in, up to Ray 2.64.
                warnings.filterwarnings("ignore", "`ray_remote_args` is deprecated")
                blocks = math.ceil(len(rows) / each)
                self._receipts = ray.data.from_items(rows, override_num_blocks=blocks).map_batches(
                    PoolActor,
                    fn_constructor_kwargs={"spec": spec, "board": board, "place": place},
                    batch_size=each,
                    batch_format="pyarrow",
                    compute=pool,
                    num_cpus=place.num_cpus,
                    num_gpus=place.num_gpus,
                    label_selector=place.labels or None,
                    max_restarts=RESTARTS,
                    max_task_retries=RESTARTS,
                )
        finally:
            # A dataset keeps the settings it was made with; others in this process get their own.
            DataContext._set_current(users)  # noqa: SLF001
        self._thread = threading.Thread(target=self._pump, name="pool", daemon=True)
        self._thread.start()

    def receipts(self, timeout_s: float) -> list[Receipt]:
        """Receipts that came in; none after `timeout_s`.

        Raises:
            Exception: the execution ended without those that are missing.
        """
        try:
            arrived = self._arrived.get(timeout=timeout_s)
        except queue.Empty:
            return []
        if isinstance(arrived, BaseException):
            raise arrived
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


class PoolActor:
    """A process of the pool, as Ray Data builds it: a table of units to a table of receipts."""

    def __init__(self, spec: WorkerSpec, board: Any, place: Place) -> None:
        self._actor = UnitActor(board, place.threads, place.memory_bytes)
        self._spec = spec

    def __call__(self, batch: pa.Table) -> pa.Table:
        units = [Unit.of_text(text) for text in batch.column("unit").to_pylist()]
        receipts = self._actor.run("", self._spec, units)
        return pa.table({"receipt": [json.dumps(asdict(receipt)) for receipt in receipts]})


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


def _configure(context: DataContext) -> threading.Event:
    """Set Ray Data up for the next pool; returns the event that cuts it."""
    Scissors.latest = threading.Event()
    DataContext._set_current(context)  # noqa: SLF001
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.enable_auto_log_stats = False
    context.log_internal_stack_trace = False
    context.enable_fallback_to_arrow_object_ext_type = False
    context.execution_no_progress_timeout_s = -1  # who asks for receipts has patience, or not
    context.custom_execution_callback_classes = [Scissors]
    # What goes wrong is raised here, with its cause; Ray would print pages besides.
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    return Scissors.latest
