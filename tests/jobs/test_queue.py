"""The line before a cluster: places by priority, freed by the dead, never given twice."""

import datetime
import threading

import pytest

from medray.clock import VirtualClock
from medray.errors import InterruptedRun
from medray.jobs.remote.queue import GONE_S, Entry, Turn, admit, read_queue
from medray.storage.store.objects import Objects

EPOCH = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def place(
    objects: Objects, name: str, clock: VirtualClock, priority: int = 0, places: int = 1
) -> Turn:
    entry = Entry(name, "job-x", priority, clock.now().isoformat())
    return Turn(objects, "c", entry, places, threading.Event(), "runs/x/cancel", clock)


def running(objects: Objects) -> list[str]:
    return [entry.id for entry in read_queue(objects, "c") if entry.running]


def test_places_go_by_priority_then_by_age() -> None:
    entries = [
        Entry("old", "job-x", 0, "1"),
        Entry("urgent", "job-x", 5, "3"),
        Entry("young", "job-x", 0, "2"),
        Entry("busy", "job-x", -9, "0", running=True),
    ]
    assert [e.id for e in admit(entries, 2) if e.running] == ["urgent", "busy"]
    assert [e.id for e in admit(entries, 3) if e.running] == ["old", "urgent", "busy"]
    assert [e.id for e in admit(entries, 1) if e.running] == ["busy"]


def test_who_leaves_gives_the_place_to_the_next(objects: Objects) -> None:
    clock = VirtualClock(EPOCH)
    first, second, urgent = (
        place(objects, name, clock, rank) for name, rank in (("a", 0), ("b", 0), ("c", 3))
    )
    assert first.step()
    assert not second.step()
    assert not urgent.step()
    first.leave()
    assert running(objects) == ["c"]
    assert not second.step()
    urgent.leave()
    assert second.step()


def test_the_dead_are_struck_out_by_the_clock_of_whoever_waits(objects: Objects) -> None:
    theirs, ours = VirtualClock(EPOCH), VirtualClock(EPOCH + datetime.timedelta(days=3))
    dead, waiting = place(objects, "dead", theirs), place(objects, "waiting", ours)
    assert dead.step()
    assert not waiting.step(), "its clock is days ahead; that says nothing"
    ours.sleep(GONE_S - 1)
    assert not waiting.step()
    dead.step()  # alive after all
    assert not waiting.step()
    ours.sleep(GONE_S + 1)
    assert waiting.step()
    assert running(objects) == ["waiting"]


def test_many_at_once_never_hold_more_than_the_places(objects: Objects) -> None:
    most, now = 0, 0
    lock = threading.Lock()

    def work(number: int) -> None:
        nonlocal most, now
        clock = VirtualClock(EPOCH)
        mine = place(objects, f"r{number}", clock, places=2)
        while not mine.step():
            threading.Event().wait(0.01)
        with lock:
            now += 1
            most = max(most, now)
        threading.Event().wait(0.02)
        with lock:
            now -= 1
        mine.leave()

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 2
    assert read_queue(objects, "c") == []


def test_one_that_waits_can_be_cancelled(objects: Objects) -> None:
    clock = VirtualClock(EPOCH)
    assert place(objects, "a", clock).step()
    objects.put("runs/x/cancel", b"{}")
    with pytest.raises(InterruptedRun, match="stopped"), place(objects, "b", clock):
        pytest.fail("it has no place")
    assert [entry.id for entry in read_queue(objects, "c")] == ["a"]
