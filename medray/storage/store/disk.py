"""Files of a root that is a folder: written whole and durable, or not at all."""

import os
import secrets
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from functools import partial
from io import BytesIO, FileIO, RawIOBase
from pathlib import Path
from typing import Any, NamedTuple

from blake3 import blake3
from google_crc32c import extend

from medray.errors import DataError

SYNCS = 8  # at once: journal and disk take those that wait together (82 files: 53 ms and 15 ms)
OPEN_FILES = 256
EARLY_BYTES = 4 * 2**20  # of a file; the disk begins to write while the rest is being made
READ_BYTES = 2**18  # stays in a core's cache while it is summed
SMALL_BYTES = 2**16  # of a file that is read in one go
PIECES = 256  # of a write; systems take 1,024


class NewFile:
    """A file that comes in pieces, in a folder that nobody reads yet.

    Args:
        place: where; nothing stands there.
        guard: calls what touches the disk, and raises its errors as storage's.
    """

    def __init__(self, place: Path, guard: Callable[[Callable[[], Any]], Any]) -> None:
        self._place, self._guard = place, guard
        self._file: FileIO = guard(lambda: _create(place))
        self._size = self._begun = 0

    def write(self, *pieces: bytes) -> None:
        """Add pieces."""
        self._guard(lambda: _write(self._file, pieces))
        self._size += sum(map(len, pieces))
        fresh = self._size - self._begun
        if fresh >= EARLY_BYTES:
            _begin_to_write(self._file, self._begun, fresh)
            self._begun = self._size

    def close(self) -> None:
        """Say that all pieces are here: they can be read back now, and outlive a power cut only
        once they have been settled."""
        _begin_to_write(self._file, self._begun, self._size - self._begun)

    def settle(self) -> None:
        """Wait until the file and its name are on the disk."""

        def finish() -> None:
            with self._file:
                os.fsync(self._file)
            with suppress(FileNotFoundError):  # gc took it: then nothing of this can be committed
                sync(self._place.parent)

        self._guard(finish)

    def abandon(self) -> None:
        """Let go of a file that nobody wants any more; whoever owns its folder removes it."""
        self._file.close()


def write_file(place: Path, data: bytes | bytearray) -> None:
    """Write a file beside its place, move it there, and wait until both are on the disk."""

    def move(part: Path) -> None:
        part.replace(place)

    _put(place, data, move, durable=place.exists())  # a cut must leave the old one or the new one


def create_file(place: Path, data: bytes | bytearray) -> bool:
    """Write a file as `write_file` does, but only where there is none. False: one stands there."""
    try:
        # obstore counts such files' names up from 1: a name that gc took may be another writer's.
        _put(place, data, lambda part: os.link(part, place), durable=False)
    except FileExistsError:
        return False
    return True


def _put(
    place: Path, data: bytes | bytearray, settle: Callable[[Path], None], *, durable: bool
) -> None:
    """Write a file beside its place and settle it there, again if gc takes it away meanwhile."""
    while True:
        # Named as obstore names a file that isn't whole: its listings leave such files out.
        part = place.with_name(f"{place.name}#{secrets.randbits(48)}")
        try:
            with _create(part) as file:
                _write(file, (data,))
                if durable:
                    os.fsync(file)
            try:
                settle(part)
            except FileNotFoundError:
                continue
        finally:
            part.unlink(missing_ok=True)
        # After the move, so that the journal takes file and name in one go: half the time.
        with suppress(FileNotFoundError):  # it stood there, and somebody has removed it since
            sync(place, place.parent)
        return


def write_files(
    root: Path, files: Mapping[str, bytes], settle: Iterable[Callable[[], None]] = ()
) -> None:
    """Write many small files below a folder that nobody reads yet, and wait for all of them, and
    for what else waits for the disk.

    Nobody sees a half-written one, so none is moved into place; and a folder needs no sync for each
    of them, since a journal keeps the order of names: the last one brings those before it.
    """
    names, waits = list(files), list(settle)
    if not names and not waits:
        return
    _make_folders(root, names)
    for first in range(0, max(1, len(names)), OPEN_FILES):
        with ExitStack() as opened:
            for name in names[first : first + OPEN_FILES]:
                file = opened.enter_context(_create(root / name))
                _write(file, (files[name],))
                _begin_to_write(file, 0, len(files[name]))
                waits.append(partial(os.fsync, file))
            with ThreadPoolExecutor(min(SYNCS, len(waits))) as pool:
                list(pool.map(lambda wait: wait(), waits))
            waits.clear()
    if names:
        sync(root)


class Sums(NamedTuple):
    """Size and CRC-32C of each of a file's pieces, and BLAKE3 of all of it, in hexadecimal."""

    pieces: list[tuple[int, int]]
    whole: str


def sums(file: RawIOBase | BytesIO, sizes: Iterable[int]) -> Sums:
    """Read a file, piece by piece.

    Args:
        file: at its beginning.
        sizes: that the pieces should have, in bytes. Where the file is shorter, the sizes returned
            are smaller; what goes beyond them is one more piece.
    """
    hashed, block, at = blake3(), b"", 0  # pieces are small: one read brings many of them

    def piece(size: int) -> tuple[int, int]:
        nonlocal block, at
        left, crc32c = size, 0
        while left:
            if at == len(block):
                block, at = file.read(READ_BYTES) or b"", 0
                hashed.update(block)
                if not block:
                    break
            part = block[at : at + left]
            at += len(part)
            left -= len(part)
            crc32c = extend(crc32c, part)
        return size - left, crc32c

    found = [piece(size) for size in sizes]
    beyond = piece(sys.maxsize)
    return Sums(found + [beyond] * (beyond[0] > 0), hashed.hexdigest())


def sums_of_file(place: Path, sizes: Iterable[int]) -> Sums:
    """As `sums`, of the file at a place."""
    with FileIO(place) as file:
        return sums(file, sizes)


def _write(file: FileIO, pieces: Iterable[bytes | bytearray]) -> None:
    left = [memoryview(piece) for piece in pieces]
    while left:
        written = os.writev(file.fileno(), left[:PIECES])
        while left and written >= len(left[0]):
            written -= len(left.pop(0))
        if left:
            left[0] = left[0][written:]


def _begin_to_write(file: FileIO, start: int, size: int) -> None:
    """Have the disk begin with bytes that wait to be written: a sync later waits for less."""
    if hasattr(os, "posix_fadvise"):
        # Of pages that are not written yet this only starts the writing. A hint: not all file
        # systems take it.
        with suppress(OSError):
            os.posix_fadvise(file.fileno(), start, size, os.POSIX_FADV_DONTNEED)


def _make_folders(root: Path, names: Iterable[str]) -> None:
    """Make the folders of files below `root`, each by one call."""
    needed: set[str] = set()
    for name in names:
        folder = name.rpartition("/")[0]
        while folder and folder not in needed:
            needed.add(folder)
            folder = folder.rpartition("/")[0]
    root.mkdir(parents=True, exist_ok=True)
    for folder in sorted(needed):  # each after the one that it lies in
        with suppress(FileExistsError):
            os.mkdir(f"{root}/{folder}")  # noqa: PTH102 - 100 folders a unit: paths cost as much


def _create(place: Path) -> FileIO:
    while True:
        try:
            return FileIO(place, "xb")
        except FileNotFoundError:  # not made yet, or somebody has just removed it, empty
            place.parent.mkdir(parents=True, exist_ok=True)


def sync(*places: Path) -> None:
    """Wait until files, or the names in a folder, are on the disk."""
    for place in places:
        handle = os.open(place, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def read_file(place: str) -> bytes:
    """All of a file, in 5 microseconds where `Path.read_bytes` takes 16: records come in thousands.

    Raises:
        FileNotFoundError: there is none; a folder is none.
    """
    try:
        handle = os.open(place, os.O_RDONLY)
        try:
            data = os.read(handle, SMALL_BYTES)
            # FileIO asks for the size first, and where it is: twice as many calls of the system.
            if len(data) < SMALL_BYTES and not os.read(handle, 1):
                return data
            os.lseek(handle, 0, os.SEEK_SET)
            with FileIO(handle, closefd=False) as file:
                return file.readall()
        finally:
            os.close(handle)
    except (IsADirectoryError, NotADirectoryError) as error:
        raise FileNotFoundError(place) from error


def refuse_folder(place: Path, path: str) -> None:
    """Refuse to take for absent an object in whose place a folder stands: writing it would fail.

    Raises:
        DataError: one does (code "damaged-object").
    """
    if place.is_dir():
        raise DataError(
            "a folder stands where an object should",
            code="damaged-object",
            about=path,
            hint="move it away, and run the job again",
        )


def folders(place: Path) -> list[str]:
    """Names of the folders directly in one; none where there is no such folder."""
    try:
        with os.scandir(place) as entries:
            return [entry.name for entry in entries if entry.is_dir()]
    except (FileNotFoundError, NotADirectoryError):
        return []


def count(place: Path) -> int:
    """How many names are in a folder; 0 where there is no such folder."""
    try:
        with os.scandir(place) as entries:
            return sum(1 for _ in entries)
    except (FileNotFoundError, NotADirectoryError):
        return 0


def read_tail(place: Path, size: int) -> bytes:
    """The last `size` bytes of a file, or all of a shorter one."""
    handle = os.open(place, os.O_RDONLY)
    try:
        return os.pread(handle, size, max(0, os.fstat(handle).st_size - size))
    finally:
        os.close(handle)


def read_ranges(place: Path, starts: Sequence[int], ends: Sequence[int]) -> list[memoryview]:
    """Several byte ranges of a file; 4x faster than obstore, which copies (3 MB patches)."""
    handle = os.open(place, os.O_RDONLY)
    try:
        return [
            memoryview(os.pread(handle, end - start, start))
            for start, end in zip(starts, ends, strict=True)
        ]
    finally:
        os.close(handle)
