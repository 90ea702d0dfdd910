"""The audit log: chained, append-only, and telling what was done to it."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from medray.clock import VirtualClock
from medray.storage.catalog.audit import HEAD, entries, record, verify
from medray.storage.store.objects import Objects

CLOCK = VirtualClock(datetime(2026, 1, 1, tzinfo=UTC))


@pytest.fixture
def log(objects: Objects) -> Objects:
    for number in range(1, 6):
        record(objects, what="ingest", about=f"ct@{number}", clock=CLOCK)
    assert verify(objects) == []
    return objects


def path(number: int) -> str:
    return f"audit/{number:09d}.json"


def test_entries_say_who_what_which_and_when(log: Objects) -> None:
    found = entries(log)
    assert [entry["about"] for entry in found] == [f"ct@{n}" for n in range(1, 6)]
    assert found[0]["at"] == "2026-01-01T00:00:00.000+00:00"
    assert "@" in found[0]["who"]
    assert found[0]["previous"] == "0" * 64


def test_no_log_is_no_fault(objects: Objects) -> None:
    assert verify(objects) == []


def test_an_altered_entry_is_named(log: Objects) -> None:
    entry = json.loads(log.get(path(3)))
    log.put(path(3), json.dumps({**entry, "about": "mr@1"}).encode())
    assert verify(log) == [f"{path(3)}: altered since {path(4)} was written"]


def test_the_last_entry_cannot_be_altered_either(log: Objects) -> None:
    entry = json.loads(log.get(path(5)))
    log.put(path(5), json.dumps({**entry, "who": "nobody"}).encode())
    assert verify(log) == [f"{path(5)}: altered since it was written"]


@pytest.mark.parametrize("number", [1, 3])
def test_a_deleted_entry_is_named(log: Objects, number: int) -> None:
    log.delete([path(number)])
    assert verify(log) == [f"{path(number)}: the entry was deleted"]


def test_a_log_cut_at_its_end_is_noticed(log: Objects) -> None:
    log.delete([path(4), path(5)])
    assert verify(log) == [f"{HEAD}: names entry 5; entries 4 to 5 were deleted"]


def test_a_log_that_is_gone_is_noticed(log: Objects) -> None:
    log.delete([path(number) for number in range(1, 6)])
    assert verify(log) == [f"{HEAD}: names entry 5; entries 1 to 5 were deleted"]


def test_a_missing_head_is_noticed(log: Objects) -> None:
    log.delete([HEAD])
    assert verify(log) == [f"{HEAD}: deleted"]


def test_changed_order_is_named(log: Objects) -> None:
    second, third = log.get(path(2)), log.get(path(3))
    log.put(path(2), third)
    log.put(path(3), second)
    assert f"{path(2)}: holds entry 3: the order was changed" in verify(log)


def test_rubbish_is_named(log: Objects) -> None:
    log.put(path(2), b"\x00")
    assert f"{path(2)}: not an entry" in verify(log)


def test_writers_at_the_same_time_all_get_in(objects: Objects) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: record(objects, what="run", about=f"x@{n}"), range(40)))
    assert verify(objects) == []
    assert sorted(entry["about"] for entry in entries(objects)) == sorted(
        f"x@{n}" for n in range(40)
    )


def test_a_writer_that_died_before_moving_head_is_overtaken(log: Objects) -> None:
    head = log.get(HEAD)
    record(log, what="ingest", about="ct@6")
    log.put(HEAD, head)  # as if the sixth writer had died
    record(log, what="ingest", about="ct@7")
    assert verify(log) == []
    assert [entry["about"] for entry in entries(log)][-2:] == ["ct@6", "ct@7"]
