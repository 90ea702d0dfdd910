"""Who lives is told by watching, whatever the clocks of others say."""

import datetime

from medray.clock import VirtualClock
from medray.jobs.remote.queue import Entry
from medray.lease import Watch, beaten, told_ago_s

EPOCH = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def test_a_sign_stands_still_from_the_first_look_on() -> None:
    clock = VirtualClock(EPOCH)
    watch = Watch[str](clock)
    assert watch.still_s("a", 1) == 0.0, "who looks for the first time knows nothing"
    clock.sleep(40)
    assert (watch.still_s("a", 1), watch.still_s("b", 1)) == (40.0, 0.0)
    assert watch.has_moved("a", 2)
    assert watch.has_moved("a", 2), "asking is no look"
    assert watch.still_s("a", 2) == 0.0
    assert not watch.has_moved("a", 2)
    clock.sleep(7)
    assert watch.still_s("a", 2) == 7.0
    watch.forget("a")
    assert not watch.has_moved("a", 1), "nothing is known of it"
    assert watch.still_s("a", 2) == 0.0


def test_no_sign_yet_is_a_sign_like_any_other() -> None:
    clock = VirtualClock(EPOCH)
    watch = Watch[str](clock)
    watch.still_s("a", None)
    clock.sleep(3)
    assert watch.still_s("a", None) == 3.0


def test_a_beat_is_counted_and_dated() -> None:
    clock = VirtualClock(EPOCH)
    entry = Entry("s", "job", 0, EPOCH.isoformat())
    clock.sleep(5)
    twice = beaten(beaten(entry, clock), clock)
    assert (twice.beat, twice.seen) == (2, "2026-01-01T00:00:05.000+00:00")
    clock.sleep(2)
    assert told_ago_s(twice.seen, clock) == 2.0
