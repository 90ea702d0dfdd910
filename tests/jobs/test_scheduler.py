"""Scheduler drills on a virtual clock: each due time exactly once, whatever happens to time."""

import datetime
import threading
import time
from collections import Counter

import pytest
from nights import DAY, HOUR, pass_time, states

from medray.jobs.schedule.claims import Claim
from medray.jobs.schedule.scheduler import Scheduler
from medray.jobs.schedule.start import Outcome


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
    under_way, ended = list[str](), list[str]()
    until = time.monotonic() + 60  # on busy cores some ticks find nothing to do

    class Instant:
        nodes = 1

        def __init__(self, claim: Claim) -> None:
            with lock:
                starts[claim.due] += 1
                assert not under_way, "two runs of one schedule at once"
                under_way.append(claim.due)

        def poll(self) -> Outcome:
            with lock:
                ended.extend(under_way)
                under_way.clear()
            return Outcome(0)

        def stop(self) -> None: ...

    gate = threading.Barrier(4)

    def race() -> None:
        mine = Scheduler(objects, Instant, clock=clock)
        gate.wait()
        while len(ended) < 20 and time.monotonic() < until:
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
