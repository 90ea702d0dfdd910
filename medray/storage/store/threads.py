"""Many small reads at once."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")
GROUP = 64


def spread(pool: ThreadPoolExecutor, look: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """What `look` says of each item, in order.

    Threads take many at once: to hand over a small file costs ten times as much as to read it.
    """
    groups = [items[start : start + GROUP] for start in range(0, len(items), GROUP)]
    found = pool.map(lambda group: [look(item) for item in group], groups)
    return list(chain.from_iterable(found))
