"""What a worker keeps watch with: turns in the process, deadlines, and where the time goes."""

import contextlib
import faulthandler
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from medray.engine.units.operation import Unit
from medray.errors import FatalError
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Sample, Slabs

LOOK_S = 0.05
SATURATED = 0.8  # of the time


def busy_ns(thread: int) -> int:
    """For how long a thread of this process has computed, or stood in line for a processor.

    Args:
        thread: its number (`threading.get_native_id`).

    Returns:
        Nanoseconds since it began; 0 where the system does not tell.
    """
    try:
        computed, stood, _ = Path(f"/proc/self/task/{thread}/schedstat").read_text().split()
    except OSError:
        return 0
    return int(computed) + int(stood)


class Turn:
    """Units share the process: a second one begins once the first waits for storage or a device.

    While the first computes they would be no sooner done together, and push one another's data out
    of the core's cache. A careful one has the process alone, so that a crash names its cause.

    Args:
        busy: see `busy_ns`.
    """

    def __init__(self, busy: Callable[[int], int] = busy_ns) -> None:
        self._busy = busy
        self._changed = threading.Condition()
        self._sharing = dict[int, tuple[int, int]]()  # by thread: when it was looked at, its `busy`
        self._waiting = 0
        self._alone = False

    @contextlib.contextmanager
    def taken(self, *, alone: bool) -> Iterator[None]:
        """Hold a turn: with others, or `alone`. Who waits to be alone goes before newcomers."""
        thread = threading.get_native_id()
        with self._changed:
            if alone:
                self._waiting += 1
                self._changed.wait_for(lambda: not self._alone and not self._sharing)
                self._waiting -= 1
                self._alone = True
            else:
                while self._alone or self._waiting or self._saturated():
                    self._changed.wait(LOOK_S)
                self._sharing[thread] = time.monotonic_ns(), self._busy(thread)
        try:
            yield
        finally:
            with self._changed:
                if alone:
                    self._alone = False
                else:
                    del self._sharing[thread]
                self._changed.notify_all()

    def _saturated(self) -> bool:
        """Whether one that is under way has computed since it was looked at, or just begun."""
        now, found = time.monotonic_ns(), False
        for thread, (then, before) in self._sharing.items():
            if now - then < LOOK_S * 1e9:
                found = True
                continue
            busy = self._busy(thread)
            self._sharing[thread] = now, busy
            found |= busy - before > SATURATED * (now - then)
        return found


class Watchdog:
    """Ends the process when a unit takes too long, even inside C code that holds the GIL.

    faulthandler's timer is a C thread; there is one a process, so it is set to the next deadline.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._deadlines: dict[str, float] = {}
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def over(self, unit: str) -> Iterator[None]:
        """Watch over `unit` while the context lasts."""
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
            faulthandler.dump_traceback_later(left, exit=True, file=sys.__stderr__ or 2)


class Stages:
    """Seconds by stage; time in an inner stage is not counted in the outer one."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._stack: list[str] = []
        self._since = 0.0

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the time of the context as `name`'s."""
        self._switch()
        self._stack.append(name)
        try:
            yield
        finally:
            self._switch()
            self._stack.pop()

    def lazy(self, name: str, sample: Sample) -> Sample:
        """The sample; what its slabs take, which are made as they are written, is `name`'s."""
        lazily = {
            key: replace(value, parts=self._each(name, value.parts))
            for key, value in sample.arrays.items()
            if isinstance(value, Slabs)
        }
        # `Rows` have no arrays, and no copy of theirs could be made so.
        return replace(sample, arrays={**sample.arrays, **lazily}) if lazily else sample

    def _each(self, name: str, parts: Iterator[Any]) -> Iterator[Any]:
        while True:
            with self.stage(name):
                part = next(parts, None)
            if part is None:
                return
            yield part

    def _switch(self) -> None:
        now = time.monotonic()
        if self._stack:
            top = self._stack[-1]
            self.seconds[top] = self.seconds.get(top, 0.0) + now - self._since
        self._since = now


def require_sound(unit: Unit, refused: list[Refusal]) -> None:
    """Where every one of several inputs failed unforeseen, the code is to blame: commit nothing."""
    unforeseen = {item.source for item in refused if item.code == "unexpected-error"}
    if len(unit.inputs) > 1 and unforeseen == set(unit.inputs):
        raise FatalError(
            f"all {len(unit.inputs)} inputs failed unforeseen ({refused[0].reason})",
            code="unexpected-error",
            about=unit.id,
            hint="not the data's fault: `medray logs` has the place; mend it, run again",
        )
