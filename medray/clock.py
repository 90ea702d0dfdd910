"""Time as a value that can be replaced: tests run on a clock of their own."""

import datetime
import time
from dataclasses import dataclass
from typing import Protocol


class Clock(Protocol):
    """What medray asks of time."""

    def now(self) -> datetime.datetime:
        """The current time in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary origin; never goes back."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime.datetime:
        return datetime.datetime.now(datetime.UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


@dataclass
class VirtualClock:
    """A clock that moves when told to, or when somebody sleeps on it."""

    at: datetime.datetime

    def now(self) -> datetime.datetime:
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()

    def sleep(self, seconds: float) -> None:
        self.at += datetime.timedelta(seconds=seconds)


SYSTEM = SystemClock()


def stamp(clock: Clock = SYSTEM) -> str:
    """The time as ISO 8601 in UTC with milliseconds, for records."""
    return clock.now().isoformat(timespec="milliseconds")
