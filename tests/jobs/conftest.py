"""What drills of the scheduler stand on."""

import datetime
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medray.jobs.schedule import schedules
from medray.jobs.schedule.scheduler import Scheduler
from medray.storage.store.objects import Objects

sys.path.insert(0, str(Path(__file__).parent))  # several files share the nights

from nights import JOB, Night, Wall


@pytest.fixture
def clock() -> Wall:
    return Wall(datetime.datetime(2026, 5, 1, 12, tzinfo=datetime.UTC))


@pytest.fixture
def night(clock: Wall) -> Night:
    return Night(clock)


@pytest.fixture
def add(objects: Objects, clock: Wall) -> Callable[..., None]:
    def make(cron: str = "0 22 * * *", **fields: Any) -> None:
        schedules.add(objects, "n", JOB, clock=clock, cron=cron, **fields)

    return make


@pytest.fixture
def scheduler(objects: Objects, clock: Wall, night: Night) -> Callable[[], Scheduler]:
    return lambda: Scheduler(objects, night, clock=clock)
