"""Ingest by processes of the engine's worker, which is what each actor of the Ray pool runs.

Workers are dealt units one by one, as the pool deals them where there are few. Imports and the
start of processes are outside of all times; the plan, which runs in one process, is inside.
"""

import multiprocessing
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from multiprocessing.connection import Connection
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import Any

from medray.engine.units.operation import Unit
from medray.engine.units.worker import Receipt, Worker, WorkerSpec
from medray.formats import FORMATS
from medray.formats.base import Source
from medray.steps.ingest.plan import plan_ingest
from medray.steps.ingest.resolve import OPERATION
from medray.storage.catalog.commits import Commits
from medray.storage.catalog.ledger import Ledger
from medray.storage.shards.schema import encode
from medray.storage.store.objects import Objects

TURNS = 2  # units at once of a worker


@dataclass(frozen=True)
class Done:
    """An ingest that was measured.

    Args:
        seconds: on the clock.
        cpu_s: of the processor, of all processes.
        commits: of its units, in plan order.
    """

    seconds: float
    cpu_s: float
    commits: Commits


class Crew:
    """Worker processes that wait for work.

    Args:
        pipes: one to each.
        dealt: units, which they take as they come to them.
    """

    def __init__(self, pipes: list[Connection], dealt: "SimpleQueue[Unit | None]") -> None:
        self._pipes, self._dealt = pipes, dealt

    def ingest(
        self,
        name: str,
        options: dict[str, Any],
        root: Path,
        objects: Objects,
        samples: int | None = None,
        operation: str = OPERATION,
    ) -> Done:
        """Ingest a folder into the dataset "raw"; ends the benchmark if any of it is refused.

        Args:
            name: of the format.
            options: of it.
            root: of the source.
            objects: storage.
            samples: inputs a unit; None: as the format groups them.
            operation: what workers do, "module:Class".
        """
        began, cpu = time.perf_counter(), time.process_time()
        kind = FORMATS.get(name)
        found = kind(kind.Options.model_validate(options)).plan(Source(root))
        planned = plan_ingest(found, name=name, identity={}, samples=samples)
        parameters = {"format": {"name": name, **options}, "source": str(root), "split": None}
        parameters["arrays"] = encode(found.arrays)
        spec = WorkerSpec(operation, parameters, objects, "raw", session="bench")
        for pipe in self._pipes:
            pipe.send(spec)
        for unit in [*planned.units, *[None] * TURNS * len(self._pipes)]:
            self._dealt.put(unit)
        answers = [pipe.recv() for pipe in self._pipes]
        took = time.perf_counter() - began
        spent = time.process_time() - cpu + sum(seconds for _, seconds in answers)
        receipts = [receipt for own, _ in answers for receipt in own]
        if any(one.state != "committed" or one.quarantined for one in receipts):
            raise SystemExit(f"not all committed: {receipts}")
        commits = Ledger(objects, "raw").committed([unit.id for unit in planned.units])
        return Done(took, spent, commits)


@contextmanager
def crew(count: int = 2) -> Iterator[Crew]:
    """Some worker processes, until the context ends."""
    os.environ["MALLOC_ARENA_MAX"] = "1"  # as Ray's workers have it
    context = multiprocessing.get_context("spawn")
    pipes, dealt = [], context.SimpleQueue()
    for _ in range(count):
        ours, theirs = context.Pipe()
        context.Process(target=serve, args=(theirs, dealt), daemon=True).start()
        pipes.append(ours)
    yield Crew(pipes, dealt)
    for pipe in pipes:
        pipe.send(None)


def serve(pipe: Connection, dealt: "SimpleQueue[Unit | None]") -> None:
    """A worker process: takes a spec, then units; answers with receipts and processor seconds."""
    while spec := pipe.recv():
        cpu = time.process_time()
        worker = Worker(spec)

        def turn(_: int, worker: Worker = worker) -> list[Receipt]:
            return [worker.run(unit) for unit in iter(dealt.get, None)]

        with ThreadPoolExecutor(TURNS) as pool:  # as an actor of the pool: one reads, one writes
            receipts = list(chain.from_iterable(pool.map(turn, range(TURNS))))
        pipe.send((receipts, time.process_time() - cpu))
