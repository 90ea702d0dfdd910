"""Archives of numpy, .npz: a zip of .npy arrays, each looked at before any of it is read.

Nothing is unpickled, and an array is read as far as it is asked for.
"""

import ast
import math
import re
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from medray.errors import DataError

Array = np.ndarray[Any, Any]

DEFLATE_LIMIT = 1040  # no deflate stream grows more than 1032-fold
MAX_MEMBERS = 64
MAX_HEADER = 4096
_SKIP = 2**20
_DESCR = re.compile(r"^[<>|][uifb][1248]$")
_TEXT = re.compile(r"^[<>|][US]\d{1,4}$")
DAMAGE = (OSError, EOFError, ValueError, RuntimeError, NotImplementedError, zlib.error,
          zipfile.BadZipFile)  # fmt: skip


@dataclass(frozen=True)
class Member:
    """One array of the archive: its shape and type, before any of its values are read."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def sample_bytes(self) -> int:
        """Bytes of one entry along the first axis."""
        return math.prod(self.shape[1:]) * self.dtype.itemsize

    @property
    def bytes(self) -> int:
        """Of all values."""
        return math.prod(self.shape) * self.dtype.itemsize


def opened(path: Path, many: str = "too-many-members") -> zipfile.ZipFile:
    """The archive, to be closed.

    Args:
        path: of the file.
        many: code of the error for an archive of more members than any array archive has.

    Raises:
        DataError: "damaged-npz", or over 64 members (code `many`).
    """
    try:
        archive = zipfile.ZipFile(path)
    except DAMAGE as error:
        raise DataError("the file is no zip archive", code="damaged-npz") from error
    if len(archive.namelist()) > MAX_MEMBERS:
        archive.close()
        raise DataError(f"the archive has over {MAX_MEMBERS} members", code=many)
    return archive


def member(archive: zipfile.ZipFile, name: str, *, texts: bool = False) -> Member:
    """What an array is like, by its header alone.

    Args:
        archive: that holds it.
        name: of the .npy in it.
        texts: whether it may be one of texts.

    Raises:
        DataError: "damaged-npz", "pickled-array", "compression-bomb".
    """
    with _reading(archive, name) as file:
        shape, dtype, header = _header(file, name, texts=texts)
    info = archive.getinfo(name)
    if info.file_size > DEFLATE_LIMIT * max(1, info.compress_size):
        raise DataError(f"{name} would grow beyond what deflate can", code="compression-bomb")
    if math.prod(shape) * dtype.itemsize + header != info.file_size:
        raise DataError(f"{name} does not hold what its header says", code="damaged-npz")
    return Member(name, shape, dtype)


def values_of(
    archive: zipfile.ZipFile, found: Member, start: int = 0, stop: int | None = None
) -> Array:
    """Entries `start` … `stop` along an array's first axis, in native bytes; all by default.

    Nothing is given back before the checksum of the whole array has been found right.

    Raises:
        DataError: "damaged-npz".
    """
    rows = found.shape[0] if found.shape else 1
    stop = rows if stop is None else stop
    with _reading(archive, found.name) as file:
        _header(file, found.name, texts=True)
        _skip(file, start * found.sample_bytes)
        raw = _exactly(file, (stop - start) * found.sample_bytes)
        _skip(file, (rows - stop) * found.sample_bytes)
    shape = (stop - start, *found.shape[1:]) if found.shape else ()
    values = np.frombuffer(raw, found.dtype).reshape(shape)
    return values.astype(found.dtype.newbyteorder("="), copy=False)


def _reading(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    try:
        return archive.open(name)
    except (*DAMAGE, KeyError) as error:
        raise DataError(f"{name} cannot be read", code="damaged-npz") from error


def _header(
    file: IO[bytes], name: str, *, texts: bool
) -> tuple[tuple[int, ...], np.dtype[Any], int]:
    """Shape, type and header bytes of a .npy stream (NEP 1), read without numpy's loader."""
    start = _exactly(file, 8)
    if start[:6] != b"\x93NUMPY" or start[6] not in (1, 2, 3):
        raise DataError(f"{name} is no .npy array", code="damaged-npz")
    width = 2 if start[6] == 1 else 4
    size = int.from_bytes(_exactly(file, width), "little")
    if size > MAX_HEADER:
        raise DataError(f"{name} has a header of {size} bytes", code="damaged-npz")
    text = _exactly(file, size)
    try:
        fields = ast.literal_eval(text.decode("latin-1").strip())
        descr, order, shape = fields["descr"], fields["fortran_order"], fields["shape"]
        if order or not all(isinstance(n, int) and 0 <= n < 2**40 for n in shape):
            raise ValueError
    except (ValueError, SyntaxError, TypeError, KeyError, MemoryError, RecursionError) as error:
        raise DataError(f"{name} has a header that can't be read", code="damaged-npz") from error
    known = isinstance(descr, str) and (_DESCR.match(descr) or (texts and _TEXT.match(descr)))
    if not known:
        raise DataError(
            f"{name} holds Python objects or records, not numbers",
            code="pickled-array",
            hint="save it as plain numbers",
        )
    try:
        dtype = np.dtype(descr)
    except TypeError as error:
        raise DataError(f"{name} has no known type", code="damaged-npz") from error
    return tuple(shape), dtype, 8 + width + size


def _skip(file: IO[bytes], count: int) -> None:
    while count:
        count -= len(_exactly(file, min(count, _SKIP)))


def _exactly(file: IO[bytes], size: int) -> bytes:
    try:
        raw = file.read(size)
    except DAMAGE as error:
        raise DataError("the archive is damaged", code="damaged-npz") from error
    if len(raw) != size:
        raise DataError("the archive ends too early", code="damaged-npz")
    return raw
