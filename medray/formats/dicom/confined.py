"""Opening a source's files: only those that lie below it, and many asked of the disk at once."""

import itertools
import os
import stat
from collections import deque
from collections.abc import Generator, Iterable
from contextlib import suppress

from medray.errors import DataError, RetryableError, shortage
from medray.formats.base import Source

AHEAD_FILES, AHEAD_BYTES = 64, 32 * 2**20  # asked of the disk before they are needed

Opened = tuple[int, os.stat_result]  # a descriptor, and what is known of its file


class Confined:
    """Opens files that lie below a root, wherever links would lead; for one series or one scan.

    A folder's own links are followed once, and its other files are opened by what was found: this
    runs once a file over trees of millions, whose folders hold hundreds.

    Args:
        source: whose root is resolved.
    """

    def __init__(self, source: Source) -> None:
        self._root, self._beyond = str(source.root), source.follow_links
        self._last = ("", "")  # a folder as it was asked for, and resolved; any thread's

    def open(self, relative: str) -> Opened:
        """Open a regular file; the caller closes the descriptor.

        Raises:
            DataError: "outside-root" (the path or a link leads out), "not-a-file", "unreadable".
            RetryableError: too many files are open.
        """
        parent, _, name = relative.rpartition("/")
        asked, folder = self._last
        if asked != parent or not folder:
            folder = self._resolve(parent)
            self._last = (parent, folder)
        try:
            # O_NONBLOCK: opening a pipe for reading would otherwise hang until somebody writes.
            handle = os.open(
                f"{folder}/{name}",
                (0 if self._beyond else os.O_NOFOLLOW) | os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC,
            )
        except OSError as error:
            raise shortage(error) or DataError(
                f"the file cannot be opened: {os.strerror(error.errno or 0)}", code="unreadable"
            ) from None
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            os.close(handle)
            raise DataError("not a regular file", code="not-a-file")
        return handle, status

    def open_all(
        self, paths: Iterable[str], head: int = AHEAD_BYTES
    ) -> Generator[Opened | DataError, None, None]:
        """Open files one after another, each closed when the next one is asked for.

        Those that come next are open already, and the disk is asked for them, many at once: it
        reads while this one is decoded, and one reading at a time costs thrice the time.

        Args:
            paths: of the files.
            head: bytes of each that will be read.

        Yields:
            For each path what `open` returns, or the DataError that it raises.

        Raises:
            RetryableError: too many files are open, and none of them by this.
        """
        left, ready, asked = iter(paths), deque[tuple[Opened | DataError, int]](), 0
        try:
            while True:
                if len(ready) <= AHEAD_FILES // 2 and asked <= AHEAD_BYTES // 2:
                    for path in left:
                        try:
                            opened, size = self._asked_for(path, head)
                        except RetryableError:
                            if not ready:
                                raise
                            left = itertools.chain([path], left)  # again, when others are closed
                            break
                        ready.append((opened, size))
                        asked += size
                        if len(ready) == AHEAD_FILES or asked >= AHEAD_BYTES:
                            break
                if not ready:
                    return
                yield ready[0][0]
                opened, size = ready.popleft()
                asked -= size
                _close(opened)
        finally:
            for opened, _ in ready:
                _close(opened)

    def _asked_for(self, path: str, head: int) -> tuple[Opened | DataError, int]:
        try:
            handle, status = self.open(path)
        except DataError as fault:
            return fault, 0
        size = min(status.st_size, head)
        if hasattr(os, "posix_fadvise"):
            with suppress(OSError):  # a hint: not all file systems take it
                os.posix_fadvise(handle, 0, size, os.POSIX_FADV_WILLNEED)
        return (handle, status), size

    def _resolve(self, parent: str) -> str:
        folder = os.path.realpath(f"{self._root}/{parent}")
        within = self._root == "/" or f"{folder}/".startswith(f"{self._root}/")
        if not (within or self._beyond):
            raise DataError("the path leads out of its source", code="outside-root")
        return folder


def _close(opened: Opened | DataError) -> None:
    if not isinstance(opened, DataError):
        os.close(opened[0])
