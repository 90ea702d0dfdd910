"""What lies below a source: every file once, by name; whatever cannot be named, opened or followed
is one fault, and the rest goes on.

Links are followed to files that lie below the source, and to nothing else, unless the job says
`follow_links`. A folder is entered once, whatever leads to it, so that no link can go round.
"""

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

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
class _Folder:
    """A folder to be listed: below the source, `linked` where a link led to it, or above it."""

    path: str
    linked: bool = False


Entry = tuple[str, os.stat_result]  # a file's path below the source, and what is known of it


def entries(source: Source, *, hidden: bool = False) -> Iterator[Entry | Lost]:
    """Every file below a source that is a folder, sorted within its folder, and what is no file.

    Names are listed and asked about one by one, below the open folder: 1 million names of a folder
    are 80 MB, where the same many DirEntry are 300.

    Args:
        source: whose root is resolved.
        hidden: list what has a name that begins with a dot, too, and no link to what is listed
            anyway. Without, editors', version control's and macOS's own files are left out.

    Raises:
        RetryableError: too many files are open.
    """
    walk = _Walk(source, hidden)
    folders = [_Folder("")]
    while folders:
        folder = folders.pop()
        further: list[_Folder] = []
        for found in _inside(walk, folder, hidden):
            if isinstance(found, _Folder):
                further.append(found)
            else:
                yield found
        folders.extend(reversed(further))


def _inside(walk: "_Walk", folder: _Folder, hidden: bool) -> Iterator[Entry | Lost | _Folder]:
    """What one folder holds."""
    prefix = f"{folder.path}/" if folder.path else ""
    try:
        handle = os.open(walk.place(folder.path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        yield Lost(named(folder.path), unreadable(error, "the folder cannot be listed"), True)
        return
    try:
        try:
            names = sorted(os.listdir(handle))  # noqa: PTH208 - of an open folder
        except OSError as error:
            yield Lost(named(folder.path), unreadable(error, "the folder cannot be listed"), True)
            return
        for name in names:
            if not hidden and name[0] == ".":
                continue
            path = prefix + name
            try:
                status = os.stat(name, dir_fd=handle, follow_symlinks=False)
                mode = status.st_mode
                if stat.S_ISREG(mode):
                    found: Entry | Lost | _Folder = (path, status)
                elif stat.S_ISLNK(mode):
                    found = walk.follow(path)
                elif stat.S_ISDIR(mode):
                    found = walk.enter(path, status, linked=folder.linked)
                else:
                    found = Lost(named(path), _no_file())
            except OSError as error:
                found = Lost(named(path), unreadable(error, "it cannot be looked at"))
            if isinstance(found, tuple) and not is_text(path):
                found = Lost(named(path), _unnameable())
            yield found
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

    def follow(self, path: str) -> Entry | _Folder | Lost:
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
            return Lost(named(path), _no_file())
        parts = target[len(self._root) :].split("/") if within else []
        listed = within and (self._hidden or not any(part.startswith(".") for part in parts))
        if listed and (folder or self._hidden):
            reason = "a link to what is found at its own place"
            return Lost(named(path), PassedOver(reason, code="rejected-link"), folder)
        if not folder:
            return path, status
        if not self._source.follow_links:
            fault = DataError("a link to a folder", code="linked-folder", hint=_FOLLOW)
            return Lost(named(path), fault, True)
        return self.enter(path, status, linked=True)

    def enter(self, path: str, status: os.stat_result, *, linked: bool) -> _Folder | Lost:
        """A folder; beyond links it is entered once."""
        if linked:
            known = (status.st_dev, status.st_ino)
            if known in self._entered:
                reason = "a folder that is found by another way"
                return Lost(named(path), PassedOver(reason, code="rejected-link"), True)
            self._entered.add(known)
        return _Folder(path, linked)


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


def _no_file() -> DataError:
    return DataError("neither a file nor a link to one", code="not-a-file")


def _unnameable() -> DataError:
    hint = "rename it, e.g. with convmv"
    return DataError("the name is no UTF-8", code="unnameable", hint=hint)
