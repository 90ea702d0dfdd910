"""Rows read by RDKit in another process, so that one that hangs or kills costs that row alone.

A child gets some hundred rows at a time, the next ones while it is at these. One that stands at a
row for SUSPECT_S is let alone with it: the rows behind are a new child's, so that nobody waits. It
has until the row's deadline; if it answers, nothing is lost. If it does not, or dies, that row is
refused, and what lay before it in its batch is done again. So a row is at most one death.

Where several read at once, as a worker's units do, those that began later stand behind. Abreast
they would come to their ends together, and wait there for their last deadlines together, with
nothing to do for the processor.
"""

import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from typing import Any

from medray.errors import FatalError
from medray.formats.molecules.marks import IDLE
from medray.formats.molecules.nursery import Child, nursery
from medray.formats.molecules.parsed import Parsed, joined

SUSPECT_S = 0.05  # ordinary rows take 0.1 to 10 ms
TICK_S = 0.02
LOOK_S = 0.2  # between looks at rows that were let alone: each asks the system, and there are 16
SLOWEST = 20  # times as long may a row take where processors are busy
AHEAD_BYTES = 64 * 2**10  # of texts that wait in a pipe, which holds 200 KiB
WINDOW = 256  # batches that are held while one of them waits for a deadline
SUSPECTS = 16  # at a time
UNEXPLAINED = 3  # deaths on end, at no row
BEHIND = 5  # niceness of whom others come before


@dataclass
class _Batch:
    """Rows whose answers are given together: parts of it by the number of their first row."""

    texts: Sequence[str]
    parts: dict[int, Parsed] = field(default_factory=dict)
    left: int = 0

    def put(self, start: int, rows: int, part: Parsed) -> None:
        if rows:
            self.parts[start] = part
            self.left -= rows


@dataclass
class _Job:
    """Rows of a batch from `start` to before `stop`, as a child has them from `base` on."""

    batch: _Batch
    start: int
    stop: int
    base: int = 0

    @property
    def texts(self) -> Sequence[str]:
        return self.batch.texts[self.start : self.stop]

    @property
    def bytes(self) -> int:
        return sum(map(len, self.texts))


class _Reading:
    """A child, what it has been given, and since when it is at its row."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self.jobs = deque[_Job]()
        self.at, self._since = IDLE, 0.0
        self._used = self._idle = 0.0

    def stood(self, now: float) -> float:
        """For how long it has been at a row, in seconds of a processor; 0 if at none.

        Where others have the processors, a row is not to blame for its time; where nothing is
        computed, it is.
        """
        at = self.child.marks.at
        if at != self.at or at == IDLE:
            self.at, self._since, self._used, self._idle = at, now, -1.0, 0.0
        elapsed = now - self._since
        if elapsed < SUSPECT_S:
            return 0.0
        used, busy = self.child.usage()
        if self._used < 0:
            self._used = used - SUSPECT_S / 2
        self._idle = 0.0 if busy else self._idle or now
        if self._idle and now > self._idle:
            return elapsed  # asleep whenever it was looked at
        return max(used - self._used, elapsed / SLOWEST)


class _Order:
    """Who reads in this process, in the order in which they began."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reading: list[Guard] = []

    def enter(self, one: "Guard") -> None:
        with self._lock:
            self._reading.append(one)

    def leave(self, one: "Guard") -> None:
        with self._lock:
            self._reading.remove(one)

    def first(self, one: "Guard") -> bool:
        return self._reading[0] is one


_order = _Order()


class Guard:
    """Reads batches of rows in other processes.

    Args:
        reads: "module:Class" of what reads them, see `nursery.Reads`.
        options: that it is made with, JSON-able.
        row_s: seconds that a row may take.
    """

    def __init__(self, reads: str, options: dict[str, Any], row_s: float) -> None:
        self._reads, self._options, self._row_s = reads, options, row_s
        self._current: _Reading | None = None
        self._suspects: list[_Reading] = []
        self._todo = deque[_Job]()
        self._next = 0
        self._looked = 0.0
        self._unexplained = 0
        self.deaths = 0

    def read(self, batches: Iterable[Sequence[str]]) -> Iterator[Parsed]:
        """What is made of each batch, in order.

        Raises:
            FatalError: children die at no row ("reader-dies").
        """
        source, held, ended = iter(batches), deque[_Batch](), False
        _order.enter(self)
        try:
            while True:
                while held and not held[0].left:
                    whole = held.popleft()
                    yield joined(sorted(whole.parts.items()))
                while not ended and len(self._todo) < 2 and len(held) < WINDOW:
                    texts = next(source, None)
                    ended = texts is None
                    if texts is not None:
                        held.append(_Batch(texts, left=len(texts)))
                        self._todo.append(_Job(held[-1], 0, len(texts)))
                if ended and not held:
                    return
                self._give()
                self._wait()
        finally:
            _order.leave(self)
            for one in [*self._suspects, *filter(None, [self._current])]:
                one.child.end()
            self._current, self._suspects = None, []

    def _give(self) -> None:
        while self._todo and len(self._suspects) < SUSPECTS:
            current = self._current
            if current is None:
                nice = 0 if _order.first(self) else BEHIND
                child = nursery().child(self._reads, self._options, nice)
                self._current = current = _Reading(child)
            job = self._todo[0]
            waiting = sum(one.bytes for one in current.jobs)
            if len(current.jobs) > 1 or (current.jobs and waiting + job.bytes > AHEAD_BYTES):
                return
            self._todo.popleft()
            job.base, self._next = self._next, self._next + job.stop - job.start
            current.jobs.append(job)
            try:
                current.child.give(job.base, job.texts)
            except OSError:
                self._lost(current)

    def _wait(self) -> None:
        everyone = [*self._suspects, *filter(None, [self._current])]
        tick = LOOK_S if self._current is None else TICK_S
        ready = wait([one.child.connection for one in everyone], tick)
        now = time.monotonic()
        if look := now >= self._looked + LOOK_S:
            self._looked = now
        for one in everyone:
            if one.child.connection in ready:
                self._take(one)
                continue
            if one is not self._current and not look:
                continue
            stood = one.stood(now)
            if stood >= self._row_s:
                reason = f"RDKit takes longer than {self._row_s:g} s"
                self._lost(one, ("timeout", reason))
            elif stood >= SUSPECT_S and one is self._current:
                self._suspect(one)

    def _take(self, one: _Reading) -> None:
        try:
            parsed = one.child.answer()
        except (EOFError, OSError):
            self._lost(one)
            return
        job = one.jobs.popleft()
        rows = job.stop - job.start
        job.batch.put(job.start, rows, parsed.until(rows))
        self._unexplained = 0
        if one is not self._current:
            self._suspects.remove(one)
            one.child.end()

    def _suspect(self, one: _Reading) -> None:
        """Leave a child alone with the row that it is at."""
        job, *others = one.jobs
        row = one.at - job.base
        if not 0 <= row < job.stop - job.start:
            return
        one.child.marks.stop_before(one.at + 1)
        behind = _Job(job.batch, job.start + row + 1, job.stop)
        job.stop = behind.start
        one.jobs = deque([job])
        self._again([behind, *others])
        self._suspects.append(one)
        self._current = None

    def _lost(self, one: _Reading, why: tuple[str, str] | None = None) -> None:
        """A child has died, or is to: refuse its row, and have all others done by another."""
        at = one.child.marks.at
        one.child.end()
        if one is self._current:
            self._current = None
        else:
            self._suspects.remove(one)
        self.deaths += 1
        job, *others = one.jobs or [None]
        if job is None or not job.base <= at < job.base + job.stop - job.start:
            self._unexplained += 1
            if self._unexplained > UNEXPLAINED:
                raise FatalError(
                    "the process that reads compounds dies, and no row is to blame",
                    code="reader-dies",
                    hint="look at the memory of the machine, and whether rdkit can be imported",
                )
            self._again(one.jobs)
            return
        row = job.start + at - job.base
        refusal = why or ("reader-died", "RDKit ended its process")
        job.batch.put(row, 1, Parsed(refused={0: refusal}))
        before, behind = _Job(job.batch, job.start, row), _Job(job.batch, row + 1, job.stop)
        self._again([before, behind, *others])

    def _again(self, jobs: Iterable[_Job]) -> None:
        self._todo.extendleft(reversed([job for job in jobs if job.start < job.stop]))
