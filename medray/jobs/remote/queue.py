"""The line before a cluster: several runs side by side, the others waiting by priority.

<root>/queues/<cluster>.json    {"entries": [{id, priority, at, beat, running}, …]}, moved by swap

Every driver keeps its own entry alive with a beat that it counts up. Whoever sees an entry's beat
stand still for `GONE_S` strikes it out: a killed driver frees its place without anybody's help.
"""

import contextlib
import json
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from types import TracebackType
from typing import Literal, Self

from medray.clock import SYSTEM, Clock
from medray.errors import InterruptedRun, RetryableError
from medray.lease import BEAT_S, Watch, beaten
from medray.log import event
from medray.storage.store.documents import Count, Moment, decode
from medray.storage.store.objects import Objects

GONE_S = 45.0  # sooner than `medray.lease` has it: others stand in the line
SILENT = "delete it: runs under way write themselves in again"
_TRIES = 200
_LOOKS = 5  # from beat to beat of one that waits: others may have given it its place


@dataclass(frozen=True)
class Entry:
    """A run in the line.

    Args:
        id: of its submission.
        job: id of the job's run.
        priority: higher goes first; equals go in order of `at`.
        at: when it was submitted.
        beat: counted up by its driver.
        seen: when it beat last, by its own clock; told to people, decides nothing.
        running: whether it has a place.
    """

    id: str
    job: str
    priority: int
    at: Moment
    beat: Count = 0
    seen: Moment | Literal[""] = ""
    running: bool = False


@dataclass(frozen=True)
class _Queue:
    entries: list[Entry]


def admit(entries: Sequence[Entry], places: int) -> list[Entry]:
    """The entries with every free place given to whoever comes first."""
    free = places - sum(entry.running for entry in entries)
    waiting = sorted((e for e in entries if not e.running), key=lambda e: (-e.priority, e.at, e.id))
    chosen = {entry.id for entry in waiting[: max(0, free)]}
    return [replace(e, running=True) if e.id in chosen else e for e in entries]


def read_queue(objects: Objects, cluster: str) -> list[Entry]:
    """The line as it is: those that run, then those that wait, the next one first."""
    entries = _read(objects, cluster)[0]
    return sorted(entries, key=lambda e: (not e.running, -e.priority, e.at, e.id))


class Turn:
    """A place in a cluster's line; entering waits for it, leaving frees it.

    Args:
        objects: the storage root.
        cluster: whose line.
        entry: of this run.
        places: runs side by side.
        stop: set when the run is to stop, waiting or not.
        cancelled: path of the mark that asks a waiting run to stop.
        clock: measures how long others have been silent.
    """

    def __init__(
        self,
        objects: Objects,
        cluster: str,
        entry: Entry,
        places: int,
        stop: threading.Event,
        cancelled: str,
        clock: Clock = SYSTEM,
    ) -> None:
        self._objects, self._cluster, self._places = objects, cluster, places
        self._entry, self._stop, self._cancelled, self._clock = entry, stop, cancelled, clock
        self._watch = Watch[str](clock)
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="line", daemon=True)

    def __enter__(self) -> Self:
        try:
            self._await_turn()
        except BaseException:
            self.leave()
            raise
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._left.set()
        self._thread.join()
        self.leave()

    def _await_turn(self) -> None:
        looks = 0
        while not (self._has_turn() if looks % _LOOKS else self.step()):
            looks += 1
            if self._stop.wait(BEAT_S / _LOOKS) or self._objects.exists(self._cancelled):
                raise InterruptedRun(
                    "stopped while it waited for its turn",
                    code="stopped",
                    about=self._entry.id,
                    hint="`medray resume` puts it into the line again",
                )
        self._entry = replace(self._entry, running=True)

    def _has_turn(self) -> bool:
        entries = _read(self._objects, self._cluster)[0]
        return any(entry.running for entry in entries if entry.id == self._entry.id)

    def step(self) -> bool:
        """Beat, strike out the dead, give out free places; whether this run has one."""
        for _ in range(_TRIES):
            entries, tag = _read(self._objects, self._cluster)
            mine = next((e for e in entries if e.id == self._entry.id), self._entry)
            others = [e for e in entries if e.id != mine.id and not self._gone(e)]
            # One that was struck out while storage was away does run still.
            has = mine.running or self._entry.running
            mine = beaten(replace(mine, running=has), self._clock)
            entries = admit([*others, mine], self._places)
            if _write(self._objects, self._cluster, entries, tag):
                return next(e.running for e in entries if e.id == mine.id)
        raise RetryableError(
            "the line could not be written", code="line-contended", about=self._cluster
        )

    def leave(self) -> None:
        """Strike this run out; what fails, others do after `GONE_S`."""
        with contextlib.suppress(RetryableError):
            for _ in range(_TRIES):
                entries, tag = _read(self._objects, self._cluster)
                rest = [entry for entry in entries if entry.id != self._entry.id]
                if _write(self._objects, self._cluster, admit(rest, self._places), tag):
                    return

    def _gone(self, entry: Entry) -> bool:
        return self._watch.still_s(entry.id, entry.beat) > GONE_S

    def _keep(self) -> None:
        while not self._left.wait(BEAT_S):
            try:
                self.step()
            except RetryableError:
                event("line-failed", cluster=self._cluster)


def _read(objects: Objects, cluster: str) -> tuple[list[Entry], str | None]:
    try:
        data, tag = objects.get_tagged(f"queues/{cluster}.json")
    except FileNotFoundError:
        return [], None
    return decode(data, f"queues/{cluster}.json", _Queue, SILENT).entries, tag


def _write(objects: Objects, cluster: str, entries: Sequence[Entry], tag: str | None) -> bool:
    data = json.dumps({"entries": [asdict(entry) for entry in entries]}).encode()
    return objects.swap(f"queues/{cluster}.json", data, tag)
