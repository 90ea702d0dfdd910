"""Scheduler drills on a virtual clock: each due time exactly once, whatever happens to time."""

import datetime
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from medray.errors import RetryableError, SpecError
from medray.jobs import schedules
from medray.jobs.schedule_claims import Claim, Claims
from medray.jobs.schedule_start import Outcome
from medray.jobs.scheduler import LEASE_S, RETRIES, RETRY_S, TICK_S, Scheduler
from medray.storage.objects import Objects

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
        return Outcome(4 if self.asked else (self.night.statuses or [0]).pop(0))

    def stop(self) -> None:
        self.asked = True
        self.night.stops += 1


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


def pass_time(clock: Wall, seconds: float, *who: Scheduler, step: float = TICK_S) -> None:
    until = clock.passed + seconds
    while clock.passed < until:
        for one in who:
            one.tick()
        clock.sleep(step)


def states(objects: Objects, clock: Wall) -> dict[str, str]:
    records = Claims(objects, "n", clock).history(1000)
    return {record.claim.due: record.end.state if record.end else "" for record in records}


def test_a_due_time_runs_once_however_often_one_looks(
    add, scheduler, clock, night, objects
) -> None:
    add()
    one = scheduler()
    pass_time(clock, 10 * HOUR - 60, one, step=600)
    assert night.started == []
    pass_time(clock, 2 * HOUR, one, step=60)
    one.tick()
    one.tick()
    assert night.started == ["20260501T220000Z"]
    assert states(objects, clock) == {"20260501T220000Z": "done"}


def test_two_schedulers_in_turn(add, scheduler, clock, night) -> None:
    add("*/10 * * * *")
    pass_time(clock, HOUR - 30, scheduler(), scheduler(), step=30)
    assert len(night.started) == 5
    assert len(set(night.started)) == 5


def test_schedulers_racing_in_threads(add, objects, clock) -> None:
    add("* * * * *", catch_up="all")
    clock.sleep(20 * 60)
    starts, lock = Counter[str](), threading.Lock()
    under_way: list[str] = []

    class Instant:
        nodes = 1

        def __init__(self, claim: Claim) -> None:
            with lock:
                starts[claim.due] += 1
                assert not under_way, "two runs of one schedule at once"
                under_way.append(claim.due)

        def poll(self) -> Outcome:
            with lock:
                under_way.clear()
            return Outcome(0)

        def stop(self) -> None: ...

    gate = threading.Barrier(4)

    def race() -> None:
        mine = Scheduler(objects, Instant, clock=clock)
        gate.wait()
        for _ in range(60):
            mine.tick()

    threads = [threading.Thread(target=race) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(starts) == 20
    assert set(starts.values()) == {1}
    assert set(states(objects, clock).values()) == {"done"}


@pytest.mark.parametrize(
    ("policy", "run", "missed"),
    [
        ("last", ["0503"], ["0501", "0502"]),
        ("all", ["0501", "0502", "0503"], []),
        ("none", [], ["0501", "0502", "0503"]),
    ],
)
def test_down_for_three_days(add, scheduler, clock, night, objects, policy, run, missed) -> None:
    add(catch_up=policy)
    clock.sleep(3 * DAY)
    pass_time(clock, HOUR, scheduler(), scheduler(), step=30)
    assert night.started == [f"2026{day}T220000Z" for day in run]
    found = states(objects, clock)
    assert {due for due, state in found.items() if state == "missed"} == {
        f"2026{day}T220000Z" for day in missed
    }
    assert len(found) == 3
    pass_time(clock, 12 * HOUR, scheduler(), step=300)
    assert night.started[-1] == "20260504T220000Z"
    assert len(night.started) == len(run) + 1


@pytest.mark.parametrize(
    ("tz", "day", "due"),
    [
        ("Europe/Berlin", "2026-03-28", ["28T013000", "29T010000", "30T003000"]),
        ("Europe/Berlin", "2026-10-24", ["24T003000", "25T003000", "26T013000"]),
        ("America/New_York", "2026-03-07", ["07T073000", "08T070000", "09T063000"]),
        ("America/New_York", "2026-10-31", ["31T063000", "01T073000", "02T073000"]),
    ],
)
def test_when_clocks_change(add, scheduler, clock, night, tz, day, due) -> None:
    clock.at = datetime.datetime.fromisoformat(day).replace(tzinfo=datetime.UTC)
    add("30 2 * * *", tz=tz)
    pass_time(clock, 3 * DAY, scheduler(), scheduler(), step=600)
    assert [name[6:15] for name in night.started] == due


def test_the_clock_goes_back_and_forth(add, scheduler, clock, night) -> None:
    add("0 * * * *")
    one = scheduler()
    pass_time(clock, 3 * HOUR + 60, one, step=60)
    assert len(night.started) == 3
    clock.at -= datetime.timedelta(hours=2)  # two hours come again
    pass_time(clock, 2 * HOUR - 120, one, scheduler(), step=60)
    assert len(night.started) == 3
    pass_time(clock, 2 * HOUR, one, step=60)
    assert len(night.started) == 4
    clock.at += datetime.timedelta(hours=5)  # and five are missed; the last is made good
    pass_time(clock, 10 * 60, one, step=60)
    hours = [name[9:11] for name in night.started]
    assert hours == ["13", "14", "15", "16", "21", "22"]


def test_a_living_lease_outlives_a_clock_that_jumps(add, scheduler, clock, night) -> None:
    add()
    night.takes = 2 * HOUR
    one, other = scheduler(), scheduler()
    pass_time(clock, 10 * HOUR, one, step=60)
    for hours in (0, 6, -9):
        clock.at += datetime.timedelta(hours=hours)
        pass_time(clock, 300, one, other)
    assert night.started == ["20260501T220000Z"]
    assert night.stops == 0


def test_a_pause_makes_nothing_due(add, scheduler, clock, night, objects) -> None:
    add()
    schedules.pause(objects, "n")
    pass_time(clock, 2 * DAY, scheduler(), step=600)
    schedules.resume(objects, "n", clock)
    pass_time(clock, 6 * HOUR, scheduler(), step=600)
    assert night.started == []
    pass_time(clock, 6 * HOUR, scheduler(), step=600)
    assert night.started == ["20260503T220000Z"]


def test_overlap_skipped(add, scheduler, clock, night, objects) -> None:
    add("0 * * * *", overlap="skip")
    night.takes = 2.5 * HOUR
    pass_time(clock, 4.5 * HOUR, scheduler(), scheduler(), step=60)
    assert night.started == ["20260501T130000Z", "20260501T160000Z"]
    assert Counter(states(objects, clock).values()) == {"done": 1, "overlap": 2, "": 1}
    assert night.most == 1


def test_overlap_queued(add, scheduler, clock, night) -> None:
    add("0 13,14,15 * * *", overlap="queue")
    night.takes = 2.5 * HOUR
    pass_time(clock, 10 * HOUR, scheduler(), scheduler(), step=300)
    assert night.started == ["20260501T130000Z", "20260501T140000Z", "20260501T150000Z"]
    assert night.most == 1


def test_stopped_at_the_end_of_the_window_and_on_with_it_the_next_night(
    add, scheduler, clock, night, objects
) -> None:
    add("0 22 * * *", window="22:00-06:00")
    night.takes = 12 * HOUR
    pass_time(clock, 20 * HOUR, scheduler(), step=300)
    assert night.stops == 1
    assert states(objects, clock) == {"20260501T220000Z": "stopped"}
    pass_time(clock, DAY, scheduler(), step=300)
    assert night.started == ["20260501T220000Z", "20260502T220000Z"]


def test_nothing_begins_outside_the_window(add, scheduler, clock, night) -> None:
    add("0 22 * * *", window="22:00-06:00", catch_up="all")
    clock.sleep(DAY)  # it is noon, and last night was missed
    pass_time(clock, 9.9 * HOUR, scheduler(), step=60)
    assert night.started == []
    pass_time(clock, HOUR, scheduler(), step=60)
    assert night.started == ["20260501T220000Z", "20260502T220000Z"]


def test_a_dead_holder_is_succeeded_under_the_same_run(
    add, scheduler, clock, night, objects
) -> None:
    add()
    night.takes = HOUR
    dead = scheduler()
    pass_time(clock, 10 * HOUR + 60, dead, step=60)
    assert len(night.started) == 1
    one, other = scheduler(), scheduler()
    pass_time(clock, LEASE_S - TICK_S, one, other)
    assert len(night.started) == 1, "it may still live"
    pass_time(clock, 3 * TICK_S, one, other)
    assert night.started == ["20260501T220000Z"] * 2
    assert len(set(night.runs)) == 1
    dead.tick()  # it was only asleep, and wakes up: its lease is gone, so its run ends
    assert (night.stops, dead.running) == (1, {})
    pass_time(clock, 2 * HOUR, one, other, dead, step=60)
    assert len(night.started) == 2
    record = Claims(objects, "n", clock).record("20260501T220000Z")
    assert record.end is not None
    assert (record.end.state, record.end.attempts) == ("done", 2)


def test_a_restart_gives_back_what_runs_and_goes_on_at_once(add, scheduler, clock, night) -> None:
    add()
    night.takes = HOUR
    one = scheduler()
    pass_time(clock, 10 * HOUR + 60, one, step=60)
    one.drain()
    assert (night.stops, one.running) == (1, {})
    scheduler().tick()
    assert night.started == ["20260501T220000Z"] * 2


def test_what_may_mend_is_tried_again(add, scheduler, clock, night, objects) -> None:
    add()
    night.statuses = [5, 5, 0]
    pass_time(clock, 10 * HOUR + 4 * RETRY_S, scheduler(), step=15)
    assert night.started == ["20260501T220000Z"] * 3
    assert states(objects, clock) == {"20260501T220000Z": "done"}


@pytest.mark.parametrize(("statuses", "starts"), [([5] * 9, RETRIES + 1), ([3], 1), ([2], 1)])
def test_what_does_not_mend_has_failed(
    add, scheduler, clock, night, objects, statuses, starts
) -> None:
    add()
    night.statuses = statuses
    pass_time(clock, 11 * HOUR, scheduler(), step=30)
    assert len(night.started) == starts
    assert states(objects, clock) == {"20260501T220000Z": "failed"}


def test_storage_fails_for_a_while(add, scheduler, clock, night, objects, monkeypatch) -> None:
    add()
    one = scheduler()

    def down(path: str) -> Any:
        raise RetryableError("down", code="storage-failed")

    pass_time(clock, 10 * HOUR - 60, one, step=600)
    with monkeypatch.context() as broken:
        broken.setattr(objects, "get_tagged", down)
        pass_time(clock, 600, one)
    assert night.started == []
    pass_time(clock, 60, one)
    assert night.started == ["20260501T220000Z"]


def test_a_lost_answer_is_no_lost_claim(add, scheduler, clock, night, objects, monkeypatch) -> None:
    """Every conditional write is done, and its answer says it was not."""
    add()
    put_new, swap = objects.put_new, objects.swap
    monkeypatch.setattr(objects, "put_new", lambda *given: put_new(*given) and False)
    monkeypatch.setattr(objects, "swap", lambda *given: swap(*given) and False)
    monkeypatch.setattr(schedules, "change", lambda *given: None)
    pass_time(clock, 10 * HOUR + 60, scheduler(), step=60)
    assert night.started == ["20260501T220000Z"]


def test_removed_while_it_runs(add, scheduler, clock, night, objects) -> None:
    add()
    night.takes = HOUR
    one = scheduler()
    pass_time(clock, 10 * HOUR + 60, one, step=60)
    schedules.remove(objects, "n")
    one.tick()
    assert (night.stops, one.running) == (1, {})
    assert list(objects.walk("schedules")) == []


def test_run_now_whatever_window_and_pause_say(add, scheduler, clock, night, objects) -> None:
    add(window="22:00-06:00")
    schedules.pause(objects, "n")
    night.takes = 30
    record = scheduler().run_now("n", threading.Event())
    assert record.end is not None
    assert (record.claim.due, record.end.state) == ("20260501T120000Z", "done")
    assert record.end.seconds == pytest.approx(30, abs=2)


def test_run_now_waits_behind_a_run(add, scheduler, clock, night) -> None:
    add()
    night.takes = HOUR
    one = scheduler()
    pass_time(clock, 10 * HOUR + 60, one, step=60)
    record = scheduler().run_now("n", threading.Event())
    assert record.end is None
    assert len(night.started) == 1
    pass_time(clock, 2 * HOUR, one, step=60)
    assert night.started[1] == record.claim.due


def test_once_ends_when_nothing_is_left(add, scheduler, clock, night) -> None:
    add("0 * * * *", catch_up="all")
    clock.sleep(3 * HOUR)
    night.takes = 600
    scheduler().serve(threading.Event(), once=True)
    assert len(night.started) == 3
    assert clock.passed < 3 * HOUR + 3 * 700


def test_names_are_taken_once_and_missing_ones_named(add, objects, clock) -> None:
    add()
    with pytest.raises(SpecError) as taken:
        add()
    with pytest.raises(SpecError) as missing:
        schedules.pause(objects, "m")
    assert (taken.value.code, missing.value.code) == ("schedule-exists", "no-such-schedule")
    with pytest.raises(SpecError) as wrong:
        schedules.add(objects, "m", JOB, clock=clock, cron="0 25 * * *")
    assert wrong.value.code == "bad-field"


def test_golden_run_id(add, objects, clock) -> None:
    """It is how a cluster knows a run that it was given before."""
    add()
    claim = Claims(objects, "n", clock)
    Scheduler(objects, Night(clock), clock=clock)
    clock.sleep(10 * HOUR)
    night = Night(clock)
    Scheduler(objects, night, clock=clock).tick()
    assert claim.claim("20260501T220000Z").run == night.runs[0]
    again = Night(clock)
    schedules.remove(objects, "n")
    clock.at -= datetime.timedelta(hours=10)
    schedules.add(objects, "n", JOB, clock=clock, cron="0 22 * * *")
    clock.sleep(10 * HOUR)
    Scheduler(objects, again, clock=clock).tick()
    assert again.runs == night.runs
