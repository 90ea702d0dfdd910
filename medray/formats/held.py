"""Raw files held against the plan: what is read must be what was planned, from before to after.

A file is the same while its size, the time of its last change and the time of its last change of
status are. The last one can't be set back, so a file that was swapped and put back again shows.
With `fingerprint: content` it is the same while its content is, and must rest while it is read.
"""

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from medray.errors import DataError
from medray.formats.base import Format, Input, Source, Stamp, stamp_of

CHANGED = "changed-while-read"

Look = tuple[str, os.stat_result]


@contextmanager
def held(source: Source, made: Format, item: Input) -> Iterator[None]:
    """Hold an input's files against its plan while the block reads them.

    Raises:
        DataError: they are others than were planned, or changed meanwhile, or are gone (code
            CHANGED), which goes before what reading them raised.
    """
    before = _looks(source, made, item)
    if item.stamp and stamp_of(_stamps(source, before)) != item.stamp:
        raise _changed()
    try:
        yield
    except Exception as error:
        if _resting(_looks(source, made, item)) != _resting(before):
            raise _changed() from error
        raise
    if _resting(_looks(source, made, item)) != _resting(before):
        raise _changed()


def look(source: Source, path: str) -> Iterator[Look]:
    """A file, or every file below a folder, in order.

    Raises:
        OSError: there is none.
    """
    status = os.stat(source.spelt(path))  # noqa: PTH116 - see there
    if not stat.S_ISDIR(status.st_mode):
        yield path, status
        return
    place = source.place(path)
    for below in sorted(one.relative_to(place) for one in place.rglob("*") if one.is_file()):
        yield f"{path}/{below.as_posix()}", (place / below).stat()


def stamp_at(source: Source, made: Format, item: Input) -> int:
    """The stamp of an input's files as they are now; for formats whose inputs are folders.

    Raises:
        DataError: a file is gone (code CHANGED).
    """
    return stamp_of(_stamps(source, _looks(source, made, item)))


def _looks(source: Source, made: Format, item: Input) -> list[Look]:
    try:
        return [found for path in made.opens(item) for found in look(source, path)]
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError(
            "a file is gone since it was planned", code=CHANGED, hint="run the job again"
        ) from error


def _stamps(source: Source, looks: Iterable[Look]) -> Iterator[Stamp]:
    return (source.stamp(path, status) for path, status in looks)


def _resting(looks: Iterable[Look]) -> list[tuple[int, ...]]:
    """What does not change while a file rests; the number of its node only on one machine."""
    return [
        (one.st_dev, one.st_ino, one.st_size, one.st_mtime_ns, one.st_ctime_ns) for _, one in looks
    ]


def _changed() -> DataError:
    return DataError(
        "the files changed after they were planned, or while they were read",
        code=CHANGED,
        hint="run the job again when they rest: it takes them as they are then",
    )
