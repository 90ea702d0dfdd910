"""The worker takes units: reads ahead, computes, writes, commits. With and without Ray."""

import contextlib
import faulthandler
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from medray.engine import OPERATIONS
from medray.engine.operation import Operation, Unit
from medray.errors import DataError, MedrayError
from medray.faults import point
from medray.log import event
from medray.storage.ledger import Attempt, Commit, Ledger
from medray.storage.objects import Objects
from medray.storage.samples import Refusal, Sample
from medray.storage.shards import ShardWriter

State = Literal["committed", "skipped", "drained", "failed"]


@dataclass(frozen=True)
class WorkerSpec:
    """All a worker needs, small and picklable: it travels to other processes.

    Args:
        operation: name in the registry of operations.
        parameters: of the resolved step.
        objects: the storage root.
        dataset: that the units make.
        session: of the driver; see Ledger.
        max_attempts: see Ledger.
        unit_timeout_s: a unit that takes longer ends its process, as a crash would.
        threads: for the mathematics of one unit.
    """

    operation: str
    parameters: dict[str, Any]
    objects: Objects
    dataset: str
    session: str = ""
    max_attempts: int = 3
    unit_timeout_s: float = 1800.0
    threads: int = 1


@dataclass(frozen=True)
class Receipt:
    """What a worker returns for a unit; the only thing that travels back.

    Args:
        unit: id.
        index: position in the plan.
        state: committed now, skipped (it was committed before), drained (not begun: the run is
            stopping) or failed.
        rows: samples in the shard.
        inputs: accountable inputs of the unit.
        quarantined: those refused.
        bytes: of the shard.
        seconds: by stage.
        error: of a failed unit, as text.
        exit_status: that a failed unit asks for.
    """

    unit: str
    index: int
    state: State
    rows: int = 0
    inputs: int = 0
    quarantined: int = 0
    bytes: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    error: str = ""
    exit_status: int = 0


class Worker:
    """Runs units of one operation. `run` may be called from two threads at once: while one
    computes, the other reads the next unit or writes the one before.
    """

    def __init__(self, spec: WorkerSpec) -> None:
        self.spec = spec
        self.ledger = Ledger(
            spec.objects, spec.dataset, session=spec.session, max_attempts=spec.max_attempts
        )
        self.operation: Operation = OPERATIONS.get(spec.operation)(spec.objects, spec.parameters)
        self._device = threading.Lock()
        self._turn = _Turn()
        self._watch = _Watchdog(spec.unit_timeout_s)
        self._opened = False
        self._opening = threading.Lock()

    def run(self, unit: Unit) -> Receipt:
        """Do one unit, unless it is done already. Errors come back in the receipt."""
        started = time.monotonic()
        try:
            done = self.ledger.commit_of(unit.id)
            if done is not None:
                return _receipt(unit, "skipped", done)
            attempt = self.ledger.begin(unit.id)
            with self._turn.taken(alone=attempt.careful), self._watch.over(unit.id):
                try:
                    commit = self._attempt(unit, attempt)
                except BaseException:
                    # Alive, so no death of the unit: say so, or it would count as one.
                    with contextlib.suppress(MedrayError):
                        self.ledger.end(attempt, "failed")
                    raise
            won = commit.attempt == attempt.id
            state: State = "committed" if won else "skipped"
            event("unit", unit=unit.id, state=state, rows=commit.shard.rows)
            return _receipt(unit, state, commit)
        except (MedrayError, OSError, MemoryError) as error:
            status = error.exit_status if isinstance(error, MedrayError) else 1
            event("unit", unit=unit.id, state="failed", seconds=time.monotonic() - started)
            return Receipt(unit.id, unit.index, "failed", error=_text(error), exit_status=status)

    def _attempt(self, unit: Unit, attempt: Attempt) -> Commit:
        self._open()
        clock = _Stages()
        writer = ShardWriter(self.spec.objects, self.ledger.shard_path(attempt))
        refused = [
            Refusal(key, "poison", f"killed its worker {2 * self.spec.max_attempts} times")
            for key in unit.inputs
            if key in attempt.condemned
        ]
        keys = [key for key in unit.inputs if key not in attempt.condemned]
        if attempt.careful:
            for key in keys:
                self.ledger.mark(attempt, key)
                self._stream(unit, [key], writer, refused, clock)
        elif self.operation.device:
            loaded = list(self._load(unit, keys, refused, clock))  # ahead of the unit before
            with self._device:
                self._compute(loaded, writer, refused, clock)
        else:
            self._stream(unit, keys, writer, refused, clock)
        with clock.stage("write"):
            shard = writer.finish()
        point("commit.before")
        commit = Commit(unit.id, attempt.id, shard, len(unit.inputs), refused, dict(clock.seconds))
        return self.ledger.commit(attempt, commit)

    def _open(self) -> None:
        with self._opening:
            if not self._opened:
                self.operation.open()
                self._opened = True

    def _stream(
        self,
        unit: Unit,
        keys: list[str],
        writer: ShardWriter,
        refused: list[Refusal],
        clock: "_Stages",
    ) -> None:
        for key in keys:
            for item in self._load(unit, [key], refused, clock):
                self._compute([item], writer, refused, clock)

    def _load(
        self, unit: Unit, keys: list[str], refused: list[Refusal], clock: "_Stages"
    ) -> "Iterator[_Loaded]":
        for key in keys:
            stream = self.operation.load(unit, key)
            while True:
                try:
                    with clock.stage("read"):
                        item = next(stream, None)
                except Exception as error:  # noqa: BLE001 - one bad input must not end the unit
                    refused.append(_refusal(key, "", error))
                    break
                if item is None:
                    break
                if isinstance(item, Refusal):
                    refused.append(item)
                else:
                    yield _Loaded(key, item)

    def _compute(
        self,
        loaded: "list[_Loaded]",
        writer: ShardWriter,
        refused: list[Refusal],
        clock: "_Stages",
    ) -> None:
        step = self.operation.batch
        at = 0
        while at < len(loaded):
            part = loaded[at : at + step]
            rows = writer.rows
            try:
                with clock.stage("compute"):
                    for sample in self.operation.compute([item.sample for item in part]):
                        with clock.stage("write"):
                            writer.add(sample)
            except Exception as error:
                if _is_fault_of_storage(error):
                    raise
                if len(part) > 1:
                    # Nothing of a batch may stay when it is done again in halves.
                    writer.forget(rows)
                    step = max(1, len(part) // 2)
                    continue
                refused.append(_refusal(part[0].key, "", error))
                writer.forget(rows)
            at += len(part)


@dataclass(frozen=True)
class _Loaded:
    """A sample and the input it came from."""

    key: str
    sample: Sample


def _is_fault_of_storage(error: Exception) -> bool:
    return isinstance(error, MedrayError) and not isinstance(error, DataError)


def _refusal(key: str, sample: str, error: Exception) -> Refusal:
    if _is_fault_of_storage(error):
        raise error
    if isinstance(error, DataError):
        return Refusal(key, error.code, error.message, sample)
    if isinstance(error, MemoryError) or "allocate memory" in str(error):
        return Refusal(key, "out-of-memory", "needs more memory than the worker has", sample)
    # Only the type: the text of a library's exception may quote the file.
    where = traceback.extract_tb(error.__traceback__)[-1]
    event(
        "unexpected",
        level=30,
        input=key,
        exception=type(error).__name__,
        at=f"{Path(where.filename).name}:{where.lineno}",
    )
    return Refusal(key, "unexpected-error", type(error).__name__, sample)


def _receipt(unit: Unit, state: State, commit: Commit) -> Receipt:
    return Receipt(
        unit.id,
        unit.index,
        state,
        rows=commit.shard.rows,
        inputs=commit.inputs,
        quarantined=len({item.source for item in commit.refused if not item.sample}),
        bytes=commit.shard.bytes,
        seconds=commit.seconds,
    )


def _text(error: BaseException) -> str:
    return str(error) if isinstance(error, MedrayError) else type(error).__name__


class _Stages:
    """Seconds by stage; time in an inner stage is not counted in the outer one."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._stack: list[str] = []
        self._since = 0.0

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        self._switch()
        self._stack.append(name)
        try:
            yield
        finally:
            self._switch()
            self._stack.pop()

    def _switch(self) -> None:
        now = time.monotonic()
        if self._stack:
            top = self._stack[-1]
            self.seconds[top] = self.seconds.get(top, 0.0) + now - self._since
        self._since = now


class _Turn:
    """Many units share the process; a careful one has it alone, so that a crash names its cause."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._sharing = 0
        self._alone = False

    @contextlib.contextmanager
    def taken(self, *, alone: bool) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self._alone and (not alone or self._sharing == 0))
            if alone:
                self._alone = True
            else:
                self._sharing += 1
        try:
            yield
        finally:
            with self._changed:
                if alone:
                    self._alone = False
                else:
                    self._sharing -= 1
                self._changed.notify_all()


class _Watchdog:
    """Ends the process when a unit takes too long, even inside C code that holds the GIL.

    faulthandler's timer is a C thread; there is one a process, so it is set to the next deadline.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._deadlines: dict[str, float] = {}
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def over(self, unit: str) -> Iterator[None]:
        with self._lock:
            self._deadlines[unit] = time.monotonic() + self._timeout_s
            self._arm()
        try:
            yield
        finally:
            with self._lock:
                del self._deadlines[unit]
                self._arm()

    def _arm(self) -> None:
        faulthandler.cancel_dump_traceback_later()
        if self._deadlines:
            left = max(0.001, min(self._deadlines.values()) - time.monotonic())
            faulthandler.dump_traceback_later(left, exit=True, file=sys.__stderr__)
