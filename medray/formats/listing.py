"""What lies below a source, folder by folder: every file once, by name; whatever cannot be named,
opened or followed is one fault, and the rest goes on.

A file is a path among others and a row of numbers: an object each would take as long as to ask for
its status, and ten times the memory.

Links are followed to files that lie below the source, and to nothing else, unless the job says
`follow_links`. A folder is entered once, whatever leads to it, so that no link can go round.
"""

import errno
import os
import stat
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from medray.errors import DataError, PassedOver, shortage
from medray.formats.base import Source

_FOLLOW = "`follow_links: true` takes what it leads to"


@dataclass(frozen=True, slots=True)
class Lost:
    """What is there and can be no input.

    Args:
        path: below the source, as far as it can be told.
        fault: why; PassedOver is no damage.
        folder: it is a folder, or leads to one: nobody knows what it holds.
    """

    path: str
    fault: DataError
    folder: bool = False


@dataclass(frozen=True, slots=True)
class Folder:
    """What one folder holds besides folders.

    Args:
        path: below the source; "" is the source itself.
        files: their paths below the source, sorted.
        status: int64 (files, 4): size in bytes, times of the last change of content and of status
            in ns, number of the node.
        lost: what is there and can be no input.
    """

    path: str
    files: pa.LargeStringArray
    status: np.ndarray
    lost: list[Lost]


@dataclass(frozen=True, slots=True)
class _Way:
    """To a folder: its path below the source, `linked` where a link led to it, or above it."""

    path: str
    linked: bool = False


def folders(source: Source, *, hidden: bool = False) -> Iterator[Folder]:
    """Every folder of a source that is one, in order, each before those that it holds.

    Args:
        source: whose root is resolved.
        hidden: list what has a name that begins with a dot, too, and no link to what is listed
            anyway. Without, editors', version control's and macOS's own files are left out.

    Raises:
        RetryableError: too many files are open.
    """
    walk = _Walk(source, hidden)
    ways = [_Way("")]
    while ways:
        folder, further = _inside(walk, ways.pop(), hidden)
        yield folder
        ways.extend(reversed(further))


def _inside(walk: "_Walk", way: _Way, hidden: bool) -> tuple[Folder, list[_Way]]:
    """What one folder holds, and the folders in it."""
    prefix = f"{way.path}/" if way.path else ""
    paths, table = list[str](), array("q")
    lost, further = list[Lost](), list[_Way]()
    try:
        with _opened(walk.place(way.path)) as handle:
            names = os.listdir(handle)  # noqa: PTH208 - of an open folder
            names.sort()
            for name in names:
                if not hidden and name[0] == ".":
                    continue
                path = prefix + name
                found: os.stat_result | _Way | Lost
                try:
                    found = os.stat(name, dir_fd=handle, follow_symlinks=False)
                    if not stat.S_ISREG(found.st_mode):
                        found = walk.found(path, found, linked=way.linked)
                except OSError as error:
                    found = Lost(named(path), unreadable(error, "it cannot be looked at"))
                if isinstance(found, os.stat_result):
                    paths.append(path)
                    table.extend(
                        (found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)
                    )
                elif isinstance(found, Lost):
                    lost.append(found)
                else:
                    further.append(found)
    except OSError as error:
        lost.append(Lost(named(way.path), unreadable(error, "the folder cannot be listed"), True))
    rows = np.frombuffer(table, np.int64) if table else np.empty(0, np.int64)
    rows = rows.reshape(-1, 4)
    if not is_text("".join(paths)):
        texts = np.array([is_text(path) for path in paths])
        lost += [Lost(named(paths[at]), _unnameable()) for at in np.flatnonzero(~texts)]
        paths, rows = [paths[at] for at in np.flatnonzero(texts)], rows[texts]
    return Folder(way.path, texts_of(paths), rows, lost), further


@contextmanager
def _opened(place: str) -> Iterator[int]:
    handle = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield handle
    finally:
        os.close(handle)


class _Walk:
    """Where links of one source lead, and which folders beyond it were entered."""

    def __init__(self, source: Source, hidden: bool) -> None:
        self._source, self._hidden = source, hidden
        self._root = str(source.root).rstrip("/")
        status = source.root.stat()
        self._entered = {(status.st_dev, status.st_ino)}

    def place(self, path: str) -> str:
        """Where something lies."""
        return f"{self._root}/{path}"

    def found(
        self, path: str, status: os.stat_result, *, linked: bool
    ) -> os.stat_result | _Way | Lost:
        """What a name that is no file's stands for: one it leads to, or a way on.

        Args:
            path: below the source.
            status: of it, and not of what it may lead to.
            linked: a link led to its folder, or above it.
        """
        if stat.S_ISLNK(status.st_mode):
            return self._follow(path)
        folder = stat.S_ISDIR(status.st_mode)
        return self._enter(path, status, linked=linked) if folder else _no_file(path)

    def _follow(self, path: str) -> os.stat_result | _Way | Lost:
        """What a link leads to."""
        try:
            status = Path(self.place(path)).stat()
        except OSError as error:
            code = {errno.ELOOP: "link-loop", errno.ENOENT: "broken-link"}.get(error.errno or 0)
            if code is None:
                return Lost(named(path), unreadable(error, "the link cannot be followed"))
            reason = "the link leads to itself" if code == "link-loop" else "the link leads nowhere"
            return Lost(named(path), DataError(reason, code=code, hint="remove the link"))
        folder = stat.S_ISDIR(status.st_mode)
        target = os.path.realpath(self.place(path))
        within = f"{target}/".startswith(f"{self._root}/")
        if not within and not self._source.follow_links:
            reason = "the link leads out of the source"
            fault = DataError(reason, code="outside-source", hint=_FOLLOW)
            return Lost(named(path), fault, folder)
        if not (folder or stat.S_ISREG(status.st_mode)):
            return _no_file(path)
        parts = target[len(self._root) :].split("/") if within else []
        listed = within and (self._hidden or not any(part.startswith(".") for part in parts))
        if listed and (folder or self._hidden):
            reason = "a link to what is found at its own place"
            return Lost(named(path), PassedOver(reason, code="rejected-link"), folder)
        if not folder:
            return status
        if not self._source.follow_links:
            fault = DataError("a link to a folder", code="linked-folder", hint=_FOLLOW)
            return Lost(named(path), fault, True)
        return self._enter(path, status, linked=True)

    def _enter(self, path: str, status: os.stat_result, *, linked: bool) -> _Way | Lost:
        """A folder; beyond links it is entered once."""
        if linked:
            known = (status.st_dev, status.st_ino)
            if known in self._entered:
                reason = "a folder that is found by another way"
                return Lost(named(path), PassedOver(reason, code="rejected-link"), True)
            self._entered.add(known)
        return _Way(path, linked)


def texts_of(values: Sequence[str]) -> pa.LargeStringArray:
    """What `pa.array` makes too, but that loads pandas first: 50 MB and a third of a second."""
    ends = np.zeros(len(values) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, map(str.encode, values)), np.int64, len(values)), out=ends[1:])
    data = pa.py_buffer("".join(values).encode())
    return pa.LargeStringArray.from_buffers(len(values), pa.py_buffer(ends), data)


def numbers_of(values: np.ndarray) -> pa.Int64Array:
    """As `texts_of`, of int64 (n,)."""
    return pa.Array.from_buffers(pa.int64(), len(values), [None, pa.py_buffer(values)])


def is_text(path: str) -> bool:
    """Whether a path is UTF-8: only then can it stand in tables and documents."""
    if path.isascii():
        return True
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def named(path: str) -> str:
    """A path as it can be written, whatever bytes its names are of."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def unreadable(error: OSError, what: str) -> DataError:
    """The fault for what the system does not give.

    Raises:
        RetryableError: too many files are open, and it is no fault of the file.
    """
    if lacking := shortage(error):
        raise lacking from error
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return DataError("it is gone since it was listed", code="missing-file")
    reason = f"{what}: {os.strerror(error.errno or 0)}"
    return DataError(reason, code="unreadable", hint="let this user read it")


def _no_file(path: str) -> Lost:
    fault = DataError("neither a file nor a link to one", code="not-a-file")
    return Lost(named(path), fault)


def _unnameable() -> DataError:
    hint = "rename it, e.g. with convmv"
    return DataError("the name is no UTF-8", code="unnameable", hint=hint)
