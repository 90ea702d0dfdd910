"""Run units in this process: the twin of the Ray pool, for tests, laptops and debuggers."""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed

from medray.engine.units.operation import Unit
from medray.engine.units.worker import Receipt, Worker, WorkerSpec


def run_inline(
    spec: WorkerSpec,
    units: Iterable[Unit],
    on_receipt: Callable[[Receipt], None],
    stop: threading.Event,
) -> None:
    """Run `units` by one worker on two threads, so that reading overlaps computing.

    Args:
        spec: of the worker.
        units: to do.
        on_receipt: called on this thread with each receipt, in order of completion.
        stop: once set, units not begun come back "drained".
    """
    worker = Worker(spec)

    def one(unit: Unit) -> Receipt:
        if stop.is_set():
            return Receipt(unit.id, unit.index, "drained", inputs=len(unit.inputs))
        return worker.run(unit)

    with ThreadPoolExecutor(2, thread_name_prefix="unit") as pool:
        for done in as_completed([pool.submit(one, unit) for unit in units]):
            on_receipt(done.result())
