"""The reading thread: order, errors, and that it never outlives its consumer."""

import threading
from collections.abc import Iterator

import pytest

from medray.data.ahead import read_ahead


def _threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "medray-read-ahead"]


def test_everything_arrives_in_order() -> None:
    assert list(read_ahead(range(100), depth=3)) == list(range(100))
    assert not _threads()


def test_it_is_ahead_but_not_further_than_asked() -> None:
    made = []
    third = threading.Event()

    def items() -> Iterator[int]:
        for number in range(10):
            made.append(number)
            if number == 2:
                third.set()
            yield number

    ahead = read_ahead(items(), depth=1)
    assert next(ahead) == 0
    assert third.wait(5), "item 2 is made while item 0 is in use and item 1 waits"
    assert len(made) <= 3
    ahead.close()
    assert not _threads()


def test_an_error_of_the_items_is_raised_after_what_came_before() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise KeyError("gone")

    ahead = read_ahead(items())
    assert next(ahead) == 1
    with pytest.raises(KeyError, match="gone"):
        next(ahead)
    assert not _threads()


def test_closing_closes_the_items() -> None:
    closed = threading.Event()

    def items() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.set()

    ahead = read_ahead(items())
    next(ahead)
    ahead.close()
    assert closed.is_set()
    assert not _threads()


def test_never_started_means_no_thread() -> None:
    read_ahead(iter([1])).close()
    assert not _threads()
