"""When a schedule is due: crontab, time zones, changes of clocks, the window."""

import datetime
import itertools
from typing import Any

import pytest
from pydantic import ValidationError

from medray.spec.schedules import Schedule

UTC = datetime.UTC
MINUTE = datetime.timedelta(minutes=1)


def utc(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text).replace(tzinfo=UTC)


def make(cron: str, tz: str = "UTC", **fields: Any) -> Schedule:
    start = utc("2026-01-01")
    given = {"name": "n", "file": "f", "documents": [], "after": start, **fields}
    return Schedule(cron=cron, tz=tz, **given)


def due(cron: str, tz: str, after: str, until: str) -> list[str]:
    times = make(cron, tz).due_times(utc(after), utc(until))
    return [time.strftime("%d %H:%M") for time in times]


def test_the_hour_is_that_of_the_zone() -> None:
    assert due("0 22 * * *", "Europe/Berlin", "2026-07-01", "2026-07-03") == [
        "01 20:00",
        "02 20:00",
    ]
    assert due("0 22 * * *", "America/New_York", "2026-01-01", "2026-01-03T12:00") == [
        "01 03:00",
        "02 03:00",
        "03 03:00",
    ]


@pytest.mark.parametrize(
    ("tz", "after", "until", "expected"),
    [
        # Clocks go from 02:00 to 03:00: half past two does not exist, so it is at three.
        ("Europe/Berlin", "2026-03-28", "2026-03-31", ["28 01:30", "29 01:00", "30 00:30"]),
        ("America/New_York", "2026-03-07", "2026-03-10", ["07 07:30", "08 07:00", "09 06:30"]),
        # Clocks go back from 03:00 to 02:00: half past two comes twice, the first time counts.
        ("Europe/Berlin", "2026-10-24", "2026-10-27", ["24 00:30", "25 00:30", "26 01:30"]),
        # In New York, 01:00 to 02:00 comes twice; 02:30 does not.
        ("America/New_York", "2026-10-31", "2026-11-03", ["31 06:30", "01 07:30", "02 07:30"]),
    ],
)
def test_a_fixed_hour_is_due_once_when_clocks_change(
    tz: str, after: str, until: str, expected: list[str]
) -> None:
    assert due("30 2 * * *", tz, after, until) == expected


def test_the_repeated_hour_of_new_york_counts_once() -> None:
    found = due("30 1 * * *", "America/New_York", "2026-10-31", "2026-11-03")
    assert found == ["31 05:30", "01 05:30", "02 06:30"]


def test_two_times_that_a_gap_moves_together_are_one() -> None:
    found = due("0,30 2,3 * * *", "Europe/Berlin", "2026-03-28T23:00", "2026-03-29T12:00")
    assert found == ["29 01:00", "29 01:30"]


def test_every_hour_is_every_hour_when_clocks_change() -> None:
    for after, until in (
        ("2026-03-28T22:30", "2026-03-29T04:30"),
        ("2026-10-24T22:30", "2026-10-25T04:30"),
    ):
        found = make("0 * * * *", "Europe/Berlin").due_times(utc(after), utc(until))
        assert [b - a for a, b in itertools.pairwise(found)] == [60 * MINUTE] * 5


@pytest.mark.parametrize(
    "tz", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia"]
)
@pytest.mark.parametrize("cron", ["30 2 * * *", "15,45 1-3 * * *", "*/20 * * * *", "0 */2 * * *"])
@pytest.mark.parametrize(
    "month", ["2026-03-07", "2026-03-28", "2026-04-04", "2026-10-24", "2026-10-31", "2011-12-29"]
)
def test_where_one_looks_from_changes_nothing(tz: str, cron: str, month: str) -> None:
    """A scheduler looks again and again from where it was: no time may come up twice or never."""
    first, last = utc(month), utc(month) + datetime.timedelta(days=2)
    schedule = make(cron, tz)
    whole = schedule.due_times(first, last)
    assert whole == sorted(set(whole))
    pieces, at = [], first
    while at < last:
        pieces += schedule.due_times(at, at + 137 * MINUTE)
        at += 137 * MINUTE
    assert [time for time in pieces if time <= last] == whole
    assert all(schedule.next_due(a) == b for a, b in itertools.pairwise(whole))


@pytest.mark.parametrize(
    ("window", "inside", "outside"),
    [
        ("22:00-06:00", ["22:00", "23:59", "00:00", "05:59"], ["06:00", "12:00", "21:59"]),
        ("01:30-04:00", ["01:30", "03:59"], ["04:00", "01:29", "23:00"]),
    ],
)
def test_a_window_may_span_midnight(window: str, inside: list[str], outside: list[str]) -> None:
    schedule = make("0 22 * * *", window=window)
    assert all(schedule.open_at(utc(f"2026-05-01T{time}")) for time in inside)
    assert not any(schedule.open_at(utc(f"2026-05-01T{time}")) for time in outside)


def test_a_window_is_in_local_time() -> None:
    schedule = make("0 22 * * *", "Europe/Berlin", window="22:00-06:00")
    assert schedule.open_at(utc("2026-07-01T20:00"))
    assert not schedule.open_at(utc("2026-07-01T04:30"))


@pytest.mark.parametrize(
    "fields",
    [
        {"cron": "0 22 * *"},
        {"cron": "0 0 22 * * *"},
        {"cron": "61 * * * *"},
        {"cron": "0 0 30 2 *"},
        {"cron": "0 0 * * *", "tz": "Europe/Bonn"},
        {"cron": "0 0 * * *", "tz": "../etc/passwd"},
        {"cron": "0 0 * * *", "window": "22:00"},
        {"cron": "0 0 * * *", "window": "22:00-22:00"},
        {"cron": "0 0 * * *", "window": "22-25"},
    ],
)
def test_what_makes_no_sense_is_refused(fields: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        make(**fields)  # type: ignore[arg-type]
