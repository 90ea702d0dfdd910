"""Times and durations as texts say them: alone, together, and never guessed."""

import datetime as dt

import pyarrow as pa
import pytest

from medray.formats.events.columns import NEVER
from medray.formats.events.times import duration, iso, moment, moments, numbers

UTC = dt.UTC
TOLD = {
    "2015-09-24T15:14:52+00:00": dt.datetime(2015, 9, 24, 15, 14, 52, tzinfo=UTC),
    "2015-09-24T15:14:52.460+02:00": dt.datetime(2015, 9, 24, 13, 14, 52, 460_000, tzinfo=UTC),
    "2015-09-24T15:14:52Z": dt.datetime(2015, 9, 24, 15, 14, 52, tzinfo=UTC),
    "2015-09-24": dt.datetime(2015, 9, 24, tzinfo=UTC),
    "2015-09-24 10:00": dt.datetime(2015, 9, 24, 10, tzinfo=UTC),
    "2164-10-23 21:09:00": dt.datetime(2164, 10, 23, 21, 9, tzinfo=UTC),
    "1850-01-31": dt.datetime(1850, 1, 31, tzinfo=UTC),
    "2015": dt.datetime(2015, 1, 1, tzinfo=UTC),
    "2015-09": dt.datetime(2015, 9, 1, tzinfo=UTC),
}
BAD = ["2015-02-30", "2015-09-24T25:00:00", "x", "31.12.2015", "0001-01-01", "9999-01-01", "12"]


def expected(time: dt.datetime) -> int:
    return (time - dt.datetime(1970, 1, 1, tzinfo=UTC)) // dt.timedelta(microseconds=1)


@pytest.mark.parametrize("count", [len(TOLD), 7, 5, 1])
def test_times_alone_and_together(count: int) -> None:
    """The first seven are read by Arrow, all of them one by one."""
    texts = list(TOLD)[:count]
    found = moments(pa.array([*texts, None], pa.string()))
    assert found.values.tolist() == [*(expected(TOLD[text]) for text in texts), NEVER]
    assert not found.bad.any()
    assert [moment(text) for text in texts] == [expected(TOLD[text]) for text in texts]


@pytest.mark.parametrize("bad", BAD)
def test_what_is_no_time_is_bad_by_itself(bad: str) -> None:
    found = moments(pa.array(["2015-09-24", bad, None], pa.string()))
    assert found.bad.tolist() == [False, True, False]
    assert found.values.tolist() == [expected(TOLD["2015-09-24"]), NEVER, NEVER]


def test_other_forms() -> None:
    found = moments(pa.array(["24/09/2015 15:14", "2015-09-24"]), "%d/%m/%Y %H:%M")
    assert found.bad.tolist() == [False, True]
    assert iso(int(found.values[0])) == "2015-09-24T15:14:00"


def test_numbers_are_finite_and_plain() -> None:
    found = numbers(pa.array(["1.5", "-2e3", "1_000", "nan", "inf", "x", None, " 7 "]))
    assert found.bad.tolist() == [False, False, True, True, True, True, False, False]
    assert found.values[[0, 1, 7]].tolist() == [1.5, -2000, 7]


def test_durations() -> None:
    assert [duration(one) for one in ("30 s", "90m", "24h", "1.5d")] == [
        30 * 10**6, 5400 * 10**6, 86400 * 10**6, 129600 * 10**6,
    ]  # fmt: skip
    for bad in ("", "h", "1w", "-1h", "1h30m"):
        with pytest.raises(ValueError, match="no duration"):
            duration(bad)
