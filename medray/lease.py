"""Liveness by lease: who lives gives a sign again and again, and who waits for it watches.

Machines disagree about the time, and a machine's own clock may jump. So nobody is taken for dead
by comparing clocks: whoever would take a place, a lease or a unit from another measures by its own
clock how long the other's sign has stood still (`Watch`). `told_ago_s` is the weaker way, for who
looks only once: a person who asks for the status, and a second submission of the same job.
"""

import datetime
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from medray.clock import SYSTEM, Clock, stamp

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    class _Beating(DataclassInstance, Protocol):
        @property
        def beat(self) -> int: ...
        @property
        def seen(self) -> str: ...


BEAT_S = 5.0  # from sign to sign
GONE_S = 60.0  # a sign that has stood still for so long has lost its giver

Who = TypeVar("Who")
Record = TypeVar("Record", bound="_Beating")


@dataclass
class Watch(Generic[Who]):
    """How long the signs of others have stood still, by our own clock."""

    clock: Clock = SYSTEM
    _known: dict[Who, tuple[object, float]] = field(default_factory=dict)

    def still_s(self, who: Who, sign: object) -> float:
        """Seconds since `who` gave a sign other than `sign`, as far as we looked: 0 at first."""
        now = self.clock.monotonic()
        known, since = self._known.get(who, (None, now))
        if who in self._known and known == sign:
            return now - since
        self._known[who] = (sign, now)
        return 0.0

    def has_moved(self, who: Who, sign: object) -> bool:
        """Whether `who` has given a sign since we looked last: it lives. This is no look itself."""
        return who in self._known and self._known[who][0] != sign

    def forget(self, who: Who) -> None:
        """Let the next look at `who` be the first."""
        self._known.pop(who, None)


def beaten(record: Record, clock: Clock = SYSTEM) -> Record:
    """A stored record with its owner's next sign: `beat`, which others watch, is counted up, and
    `seen`, which people are told, is now."""
    return replace(record, beat=record.beat + 1, seen=stamp(clock))


def told_ago_s(seen: str, clock: Clock = SYSTEM) -> float:
    """Seconds since a sign that its giver dated by its own clock, as `medray.clock.stamp` wrote it.

    It is as wrong as the two clocks differ: good for what is told, or done again without harm.
    """
    return (clock.now() - datetime.datetime.fromisoformat(seen)).total_seconds()
