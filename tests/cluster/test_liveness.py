"""The board tells who is silent, and lets nobody begin while a run drains."""

import datetime
import os

import pytest

from medray.clock import VirtualClock
from medray.cluster.liveness import Board, Process, _kill, _started

A, B = Process("node", 1, "10"), Process("node", 2, "20")


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC))


def test_silent_are_those_at_work_that_do_not_beat_and_each_is_told_once(
    clock: VirtualClock,
) -> None:
    board = Board(clock)
    assert board.begin(A, "u") == "yes"
    assert board.begin(B, "v") == "yes"
    clock.sleep(9)
    board.beat(B)
    assert board.silent(10) == []
    clock.sleep(2)
    assert board.silent(10) == [A]
    assert board.silent(10) == []
    board.beat(A)
    board.begin(A, "w")
    assert board.silent(10) == [], "it was only stopped, and what it begins now counts anew"


def test_a_process_without_a_unit_may_be_silent(clock: VirtualClock) -> None:
    board = Board(clock)
    board.begin(A, "u")
    board.begin(A, "v")
    board.end(A, "u")
    board.end(A, "v")
    clock.sleep(100)
    assert board.silent(10) == []


def test_one_of_two_units_done_is_still_at_work(clock: VirtualClock) -> None:
    board = Board(clock)
    board.begin(A, "u")
    board.begin(A, "v")
    board.end(A, "u")
    clock.sleep(100)
    assert board.silent(10) == [A]


def test_an_end_of_somebody_unknown_is_no_error(clock: VirtualClock) -> None:
    Board(clock).end(A, "u")


def test_draining_lets_nobody_begin(clock: VirtualClock) -> None:
    board = Board(clock)
    board.drain()
    assert board.begin(A, "u") == "no"
    clock.sleep(100)
    assert board.silent(10) == []


def test_on_a_node_that_is_to_go_nothing_begins(clock: VirtualClock) -> None:
    board = Board(clock)
    there = Process("other", 3, "30")
    assert board.begin(A, "u") == "yes"
    board.leaving(frozenset({"node"}))
    assert (board.begin(B, "v"), board.begin(there, "v")) == ("elsewhere", "yes")
    clock.sleep(11)
    assert board.silent(10) == [A, there], "what is under way there is still watched"
    board.leaving(frozenset())
    assert board.begin(B, "v") == "yes", "it was not taken away after all"
    board.drain()
    board.leaving(frozenset({"node"}))
    assert board.begin(B, "v") == "no", "a run that drains hands nothing on"


def test_a_number_that_was_reused_is_not_killed() -> None:
    _kill(os.getpid(), "0")
    assert int(_started(os.getpid())) > 0
    assert _started(2**22 + 1) == ""
