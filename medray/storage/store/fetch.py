"""Byte ranges of one object on their way: from a bucket side by side, used as they come."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from medray.storage.store.objects import Objects

REQUEST_BYTES = 4 * 2**20  # about, of a large window in a bucket
Range = tuple[int, int]  # where it begins, and its bytes


def fetch(
    objects: Objects, path: str, ranges: Sequence[Range]
) -> tuple[int, list[Callable[[], list[memoryview]]]]:
    """Ask for ranges: how many come together, and a call for each of these groups.

    From a disk all come at once. Of a bucket large windows come in several requests side by side,
    and the first ones are decoded while the others are on their way.
    """

    def read(group: Sequence[Range]) -> list[memoryview]:
        return objects.get_ranges(path, [at for at, _ in group], [at + n for at, n in group])

    total = sum(size for _, size in ranges)
    if objects.folder is not None or total < 2 * REQUEST_BYTES:
        parts = read(ranges)
        return len(ranges), [lambda: parts]
    per = -(-len(ranges) * REQUEST_BYTES // total)
    pool = _fetchers(objects.profile.concurrency)
    groups = [ranges[first : first + per] for first in range(0, len(ranges), per)]
    return per, [pool.submit(read, group).result for group in groups]


@cache
def _fetchers(concurrency: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(concurrency, thread_name_prefix="fetch")
