"""A virtual night: a clock whose wall can be moved, and runs that take their time on it."""

import datetime
from dataclasses import dataclass, field
from typing import Any

from medray.jobs.schedule.claims import Claim, Claims
from medray.jobs.schedule.scheduler import TICK_S, Scheduler
from medray.jobs.schedule.start import Outcome
from medray.storage.store.objects import Objects

DAY = 86400.0
HOUR = 3600.0
JOB = {
    "kind": "ingest",
    "format": {"name": "nifti"},
    "source": "raw",
    "output": "heads",
    "cluster": "inline",
}


@dataclass
class Wall:
    """A clock whose wall can be moved without time passing."""

    at: datetime.datetime
    passed: float = 0.0

    def now(self) -> datetime.datetime:
        return self.at

    def monotonic(self) -> float:
        return self.passed

    def sleep(self, seconds: float) -> None:
        self.passed += seconds
        self.at += datetime.timedelta(seconds=seconds)


@dataclass
class Night:
    """Starts runs that take a while on the clock, and remembers which."""

    clock: Wall
    takes: float = 0.0
    statuses: list[int] = field(default_factory=list)
    result: dict[str, Any] = field(default_factory=dict)
    started: list[str] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)
    stops: int = 0
    most: int = 0
    now: int = 0

    def __call__(self, claim: Claim) -> "Child":
        self.started.append(claim.due)
        self.runs.append(claim.run)
        self.now += 1
        self.most = max(self.most, self.now)
        return Child(self, self.clock.monotonic() + self.takes)


@dataclass
class Child:
    night: Night
    until: float
    nodes: int = 1
    asked: bool = False

    def poll(self) -> Outcome | None:
        if not self.asked and self.night.clock.monotonic() < self.until:
            return None
        self.night.now -= 1
        return Outcome(4 if self.asked else (self.night.statuses or [0]).pop(0), self.night.result)

    def stop(self) -> None:
        self.asked = True
        self.night.stops += 1

    leave = stop


def pass_time(clock: Wall, seconds: float, *who: Scheduler, step: float = TICK_S) -> None:
    until = clock.passed + seconds
    while clock.passed < until:
        for one in who:
            one.tick()
        clock.sleep(step)


def states(objects: Objects, clock: Wall) -> dict[str, str]:
    records = Claims(objects, "n", clock).history(1000)
    return {record.claim.due: record.end.state if record.end else "" for record in records}
