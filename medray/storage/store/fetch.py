"""Byte ranges of one object on their way: from a bucket side by side, used as they come."""

from collections.abc import Callable, Iterator, Sequence
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
        starts, ends = _merged(group)
        parts = iter(objects.get_ranges(path, starts, ends))
        return list(_cut(group, starts, parts)) if len(starts) < len(group) else list(parts)

    total = sum(size for _, size in ranges)
    if objects.folder is not None or total < 2 * REQUEST_BYTES:
        parts = read(ranges)
        return len(ranges), [lambda: parts]
    per = -(-len(ranges) * REQUEST_BYTES // total)
    pool = _fetchers(objects.profile.concurrency)
    groups = [ranges[first : first + per] for first in range(0, len(ranges), per)]
    return per, [pool.submit(read, group).result for group in groups]


def _merged(ranges: Sequence[Range]) -> tuple[list[int], list[int]]:
    """Where ranges begin and end, those that lie end to end as one."""
    starts: list[int] = []
    ends: list[int] = []
    for at, size in ranges:
        if ends and ends[-1] == at:
            ends[-1] += size
        else:
            starts.append(at)
            ends.append(at + size)
    return starts, ends


def _cut(
    ranges: Sequence[Range], starts: Sequence[int], parts: Iterator[memoryview]
) -> Iterator[memoryview]:
    """The ranges out of the merged ones."""
    begins = set(starts)
    for at, size in ranges:
        if at in begins:
            part, base = next(parts), at
        yield part[at - base : at - base + size]


@cache
def _fetchers(concurrency: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(concurrency, thread_name_prefix="fetch")
