"""Scheduler drills on a virtual clock: pauses, overlaps, windows, dead schedulers, failures."""

import datetime
import json
import threading
from collections import Counter
from typing import Any

import pytest
from nights import DAY, HOUR, JOB, Night, pass_time, states

from medray.commands.run import report_error
from medray.errors import DataError, RetryableError, SpecError
from medray.jobs.schedule import schedules
from medray.jobs.schedule.claims import Claims, Failure
from medray.jobs.schedule.scheduler import RETRIES, RETRY_S, TICK_S, Scheduler
from medray.lease import GONE_S


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
    pass_time(clock, GONE_S - TICK_S, one, other)
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


def test_why_a_night_failed_is_kept_and_read_again(
    add, scheduler, clock, night, objects, capsys
) -> None:
    refused = DataError("1 of 9 were refused", code="error-budget", about="x", hint="look")
    report_error([], refused)  # what the run prints, and the scheduler keeps
    night.statuses, night.result = [3], json.loads(capsys.readouterr().out)
    add()
    pass_time(clock, 11 * HOUR, scheduler(), step=30)
    (record,) = Claims(objects, "n", clock).history(9)
    assert record.end is not None
    assert record.end.state == "failed"
    assert record.end.error == Failure("error-budget", "1 of 9 were refused", "x", "look", 3)
    pass_time(clock, DAY, scheduler(), step=300)
    assert len(night.started) == 2  # and the next night comes


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
