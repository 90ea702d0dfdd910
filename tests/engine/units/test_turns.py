"""Who is at work in a process at a time."""

import threading
import time

from medray.engine.units.turns_and_deadlines import SATURATED, Turn, busy_ns


def test_who_waits_to_be_alone_goes_before_newcomers() -> None:
    turn, order = Turn(lambda _: 0), []
    first_in, waiting = threading.Event(), threading.Event()

    def sharer(name: str, until: threading.Event) -> None:
        with turn.taken(alone=False):
            order.append(name)
            first_in.set()
            until.wait(5)

    def loner() -> None:
        with turn.taken(alone=True):
            order.append("alone")

    done = threading.Event()
    done.set()
    threads = [threading.Thread(target=sharer, args=("first", waiting))]
    threads[0].start()
    first_in.wait(5)
    threads.append(threading.Thread(target=loner))
    threads[1].start()
    while turn._waiting == 0:
        pass
    threads.append(threading.Thread(target=sharer, args=("newcomer", done)))
    threads[2].start()
    waiting.set()
    for thread in threads:
        thread.join(5)
    assert order == ["first", "alone", "newcomer"]


def second(turn: Turn, begun: threading.Event) -> threading.Thread:
    def run() -> None:
        with turn.taken(alone=False):
            begun.set()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_a_second_unit_begins_once_the_first_waits() -> None:
    computes, begun = [True], threading.Event()
    turn = Turn(lambda _: time.monotonic_ns() if computes[0] else 0)
    with turn.taken(alone=False):
        waiting = second(turn, begun)
        assert not begun.wait(0.3)
        computes[0] = False
        assert begun.wait(5)
    waiting.join(5)


def test_a_second_unit_begins_once_the_first_has_ended() -> None:
    turn, begun = Turn(lambda _: time.monotonic_ns()), threading.Event()
    with turn.taken(alone=False):
        waiting = second(turn, begun)
        assert not begun.wait(0.2)
    assert begun.wait(5)
    waiting.join(5)


def test_busy_is_a_thread_that_computes_and_not_one_that_sleeps() -> None:
    me = threading.get_native_id()
    before, began = busy_ns(me), time.monotonic_ns()
    while time.monotonic_ns() < began + 2 * 10**8:
        pass
    assert busy_ns(me) - before > SATURATED * 2 * 10**8  # whoever else has the processor
    before = busy_ns(me)
    time.sleep(0.2)
    assert busy_ns(me) - before < SATURATED * 2 * 10**8
    assert busy_ns(2**22 + 1) == 0  # there is no such thread
