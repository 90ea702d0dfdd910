"""Compute the next items of an iterator, or batches, on a thread while this one is being used."""

import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch

T = TypeVar("T")
TOGETHER = 8  # batches made at once: a hand-over between threads costs as much as making one
ORDERED = 64  # batches whose order is looked up at once, where they are not kept: 120 microseconds


@dataclass(frozen=True)
class _Item(Generic[T]):
    value: T


@dataclass(frozen=True)
class _End:
    error: BaseException | None


def read_ahead(items: Iterable[T], depth: int = 1) -> Generator[T, None, None]:
    """Iterate `items` on a thread of its own, `depth` items ahead of the consumer.

    At most depth + 2 items exist at a time: one in use, `depth` waiting, one being made. The
    thread ends when `items` does, when they raise (the error is raised here), and when the consumer
    closes this generator or drops it; the last waits for the item being made.

    Args:
        items: iterated on the thread only; closed there if it is a generator.
        depth: how many finished items may wait.
    """
    ready: queue.Queue[_Item[T] | _End] = queue.Queue(maxsize=depth)
    stop = threading.Event()

    def offer(entry: _Item[T] | _End) -> None:
        while not stop.is_set():
            try:
                ready.put(entry, timeout=0.05)
            except queue.Full:
                continue
            return

    def produce() -> None:
        iterator = iter(items)
        error: BaseException | None = None
        try:
            for item in iterator:
                offer(_Item(item))
                if stop.is_set():
                    break
        except BaseException as raised:  # noqa: BLE001 - handed to the consumer, whatever it is
            error = raised
        finally:
            close = getattr(iterator, "close", None)
            if close is not None:
                close()
        offer(_End(error))

    thread = threading.Thread(target=produce, name="medray-read-ahead", daemon=True)
    thread.start()
    try:
        while isinstance(entry := ready.get(), _Item):
            yield entry.value
        if entry.error is not None:
            raise entry.error
    finally:
        stop.set()
        thread.join()


def many_ahead(
    make: Callable[[range], Iterator[T]],
    steps: range,
    *,
    prefetch: int,
    device: torch.device,
) -> Iterator[T]:
    """Batches that are quickly made, at least `prefetch` of them ahead on a thread.

    On a CPU each is made when it is asked for: a thread would take the network's own core, and a
    hand-over costs more than a batch (2 kb windows: 28 microseconds, and 90 by a thread).

    Args:
        make: gives the batches of some steps on end, one by one.
        steps: of the batches.
        prefetch: how many are made ahead.
        device: that computes with them.
    """
    in_turn = device.type == "cpu"
    many = ORDERED if in_turn else TOGETHER
    parts = (steps[at : at + many] for at in range(0, len(steps), many))
    if in_turn:
        for part in parts:
            yield from make(part)
        return
    for made in read_ahead((list(make(part)) for part in parts), -(-prefetch // TOGETHER)):
        yield from made
