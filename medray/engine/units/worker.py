"""The worker takes units: reads ahead, computes, writes, commits. With and without Ray."""

import contextlib
import random
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from medray.allocator import keep_freed_memory
from medray.engine.units.operation import Operation, Unit, operation_of
from medray.engine.units.outcome import Loaded, Outcome
from medray.engine.units.turns_and_deadlines import Stages, Turn, Watchdog, require_sound
from medray.engine.units.verdict import is_fault_of_storage, is_lack_of_memory, is_passing
from medray.errors import FatalError, MedrayError, status_of
from medray.faults import point
from medray.formats.held import CHANGED
from medray.log import event
from medray.storage.catalog.attempts import Attempt
from medray.storage.catalog.commit import Commit
from medray.storage.catalog.ledger import Ledger
from medray.storage.shards.records import Refusal, single_samples, whole_inputs
from medray.storage.shards.samples import Sample
from medray.storage.shards.writer import ShardWriter
from medray.storage.store.objects import Objects

RETRIES = 3  # of a unit, when storage fails in passing; the store's client has retried before
State = Literal["committed", "skipped", "drained", "failed"]


@dataclass(frozen=True)
class WorkerSpec:
    """All a worker needs, small and picklable: it travels to other processes.

    Args:
        operation: "module:Class" of what is done.
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
        state: committed by this run, skipped (by another or an earlier one), drained (not begun:
            the run is stopping) or failed.
        rows: samples in the shard.
        inputs: accountable inputs of the unit.
        quarantined: those refused.
        samples_quarantined: samples refused of the others.
        passed_over: those that are nothing that was asked for.
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
    samples_quarantined: int = 0
    passed_over: int = 0
    bytes: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    error: str = ""
    exit_status: int = 0


class Worker:
    """Runs units of one operation. `run` may be called from two threads at once: while one
    computes, the other reads the next unit or writes the one before."""

    def __init__(self, spec: WorkerSpec) -> None:
        self.spec = spec
        self.ledger = Ledger(
            spec.objects, spec.dataset, session=spec.session, max_attempts=spec.max_attempts
        )
        self.operation: Operation = operation_of(spec.operation)(spec.objects, spec.parameters)
        if self.operation.device:
            keep_freed_memory()
        self._device = threading.Lock()
        # Of units that need the device one reads while another has it.
        self._turn = Turn(lambda _: 0) if self.operation.device else Turn()
        self._making = "compute" if self.operation.device else "read"
        self._watch = Watchdog(spec.unit_timeout_s)
        self._opened = False
        self._opening = threading.Lock()

    def run(self, unit: Unit) -> Receipt:
        """Do one unit, unless it is done already. Errors come back in the receipt."""
        started = time.monotonic()
        try:
            commit, own = self._insist(unit)
        except Exception as error:  # noqa: BLE001 - one bad unit must not end the pool
            event("unit", unit=unit.id, state="failed", seconds=time.monotonic() - started)
            status = status_of(error)
            return Receipt(unit.id, unit.index, "failed", error=_text(error), exit_status=status)
        state: State = "committed" if own else "skipped"
        event("unit", unit=unit.id, state=state, rows=commit.shard.rows)
        return _receipt(unit, state, commit)

    def _insist(self, unit: Unit) -> tuple[Commit, bool]:
        """Attempt the unit until a commit stands; returns it, and whether it is of this run.

        What storage fails at in passing is tried again a little later; what memory does not
        suffice for is tried again with the process to itself, one input at a time.
        """
        alone, failures = False, 0
        while True:
            done, fence = self.ledger.look(unit.id)
            if done is not None:
                # Of this run too: a worker that died between its commit and its receipt.
                return done, bool(done.session) and done.session == self.spec.session
            history = self.ledger.history(unit.id)
            if history.unexplained >= 2 * self.spec.max_attempts:
                raise FatalError(
                    "kills its worker, and no input of it is to blame",
                    code="unit-kills-worker",
                    about=unit.id,
                    hint="look at the memory of the workers, and at unit_timeout_s",
                )
            alone = alone or history.careful
            # The turn comes first: an attempt that merely waits must not count as a death.
            with self._turn.taken(alone=alone):
                attempt = self.ledger.begin(unit.id, history, fence)
                try:
                    with self._watch.over(unit.id):
                        commit = self._attempt(unit, attempt, alone=alone)
                except BaseException as error:
                    # Alive, so no death of the unit: say so, or it would count as one.
                    with contextlib.suppress(MedrayError):
                        self.ledger.end(attempt, "failed")
                    if not alone and is_lack_of_memory(error):
                        alone = True
                    elif is_passing(error) and failures < RETRIES:
                        failures += 1
                    else:
                        raise
                else:
                    return commit, commit.attempt == attempt.id
            if failures:
                time.sleep(2**failures * random.uniform(0.1, 0.3))

    def _attempt(self, unit: Unit, attempt: Attempt, *, alone: bool) -> Commit:
        self._open()
        clock = Stages()
        path = self.ledger.shard_path(attempt)
        writer = ShardWriter(self.spec.objects, path, self.operation.arrays)
        try:
            refused = self._fill(unit, attempt, writer, clock, alone=alone)
            require_sound(unit, refused)
            if any(item.code == CHANGED for item in refused):
                # Its files may be put back as they were, and then the unit would count as done.
                self.ledger.give_way(unit.id, CHANGED)
            with clock.stage("write"):
                shard = writer.finish()
        except BaseException:
            # From the commit on these files may be the unit's; before it they are nobody's.
            with contextlib.suppress(MedrayError):
                writer.discard()
            raise
        point("commit.before")
        spent, session = dict(clock.seconds), self.spec.session
        commit = Commit(unit.id, attempt.id, shard, len(unit.inputs), refused, spent, session)
        return self.ledger.commit(attempt, commit)

    def _open(self) -> None:
        with self._opening:
            if self._opened:
                return
            self.operation.open()
            if (torch := sys.modules.get("torch")) is not None:
                torch.set_num_threads(self.spec.threads)
            self._opened = True

    def _fill(
        self, unit: Unit, attempt: Attempt, writer: ShardWriter, clock: Stages, *, alone: bool
    ) -> list[Refusal]:
        """Write the unit's samples; returns what was refused."""
        outcome = Outcome(writer, alone)
        for key in unit.inputs:
            if key in attempt.condemned:
                text = f"killed its worker {2 * self.spec.max_attempts} times"
                outcome.refused.append(Refusal(key, "poison", text))
        keys = [k for k in unit.inputs if k not in attempt.condemned]
        if attempt.careful or alone or not self.operation.device:
            for key in keys:
                if attempt.careful:
                    self.ledger.mark(attempt, key)
                rows = writer.rows
                for item in self._load(unit, key, outcome, clock):
                    self._compute([item], outcome, clock)
                if key in outcome.unread:
                    outcome.forget(rows)
            if attempt.careful:
                self.ledger.mark(attempt, "")  # a death from here on is no input's
        else:
            # Read ahead of the unit before, which has the device.
            loaded = [item for key in keys for item in self._load(unit, key, outcome, clock)]
            with self._device:
                whole = [item for item in loaded if item.key not in outcome.unread]
                self._compute(whole, outcome, clock)
        return [self.operation.described(unit, item) for item in outcome.settled()]

    def _load(self, unit: Unit, key: str, outcome: Outcome, clock: Stages) -> Iterator[Loaded]:
        stream = self.operation.load(unit, key)
        if self.operation.lazy(unit):  # telling the time would take most of it
            yield from (Loaded(key, item) for item in stream if isinstance(item, Sample))
            return
        while True:
            try:
                with clock.stage("read"):
                    item = next(stream, None)
            except Exception as error:  # noqa: BLE001 - one bad input must not end the unit
                outcome.refuse(key, "", error)
                outcome.unread.add(key)
                return
            if item is None:
                return
            if isinstance(item, Refusal):
                outcome.refused.append(item)
            else:
                yield Loaded(key, item)

    def _compute(
        self, loaded: list[Loaded], outcome: Outcome, clock: Stages, step: int | None = None
    ) -> None:
        step = step or self.operation.batch
        at = 0
        while at < len(loaded):
            part = loaded[at : at + step]
            rows = outcome.writer.rows
            try:
                with clock.stage("compute"):
                    for sample in self.operation.compute([item.sample for item in part]):
                        with clock.stage("write"):
                            outcome.writer.add(clock.lazy(self._making, sample))
            except Exception as error:
                if is_fault_of_storage(error):
                    raise
                # Nothing of a batch may stay when it is done again in halves.
                outcome.forget(rows)
                if len(part) > 1 and is_lack_of_memory(error):
                    step = len(part) // 2
                    continue
                if len(part) > 1:  # one of them is to blame, and none that come after
                    self._compute(part, outcome, clock, len(part) // 2)
                else:
                    outcome.refuse(part[0].key, part[0].sample.id, error)
            else:
                outcome.taken.update(item.key for item in part)
            at += len(part)


def _receipt(unit: Unit, state: State, commit: Commit) -> Receipt:
    quarantined, passed_over = whole_inputs(commit.refused)
    return Receipt(
        unit.id,
        unit.index,
        state,
        rows=commit.shard.rows,
        inputs=commit.inputs,
        quarantined=quarantined,
        samples_quarantined=sum(single_samples(commit.refused).values()),
        passed_over=passed_over,
        bytes=commit.shard.bytes,
        seconds=commit.seconds,
    )


def _text(error: BaseException) -> str:
    return str(error) if isinstance(error, MedrayError) else type(error).__name__
