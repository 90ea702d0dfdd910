"""MedMNIST's .npz: a zip of .npy arrays, streamed. Nothing is unpickled, nothing held whole.

Official splits stand in the arrays' names: train_images, train_labels, val_images, …
"""

import ast
import math
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from medray.errors import DataError

Array = np.ndarray[Any, Any]

SPLITS = ("train", "val", "test")
PART_BYTES = 64 * 2**20
PART_SAMPLES = 4096
# A part is reached, and its checksum checked, by unpacking all of the array: 16 times at most.
MAX_PARTS = 16
DEFLATE_LIMIT = 1040  # no deflate stream grows more than 1032-fold
MAX_MEMBERS = 64
MAX_HEADER = 4096
_SKIP = 2**20
_DESCR = re.compile(r"^[<>|][uifb][1248]$")
_DAMAGE = (OSError, EOFError, ValueError, RuntimeError, NotImplementedError, zlib.error,
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


def parts(path: Path) -> Iterator[tuple[str, list[tuple[int, int]] | DataError]]:
    """Each split, and (start, stop) of its pieces: of at most 64 MiB and 4,096 images or a
    sixteenth each. A split that is broken gives what is wrong with it; the others stand.

    Raises:
        DataError: of the whole archive: "damaged-npz", "not-medmnist".
    """
    with _opened(path) as archive:
        names = set(archive.namelist())
        splits = [s for s in SPLITS if any(f"{s}_{kind}.npy" in names for kind in _KINDS)]
        if not splits:
            raise DataError(
                "the archive holds no train_images, val_images or test_images", code="not-medmnist"
            )
        for split in splits:
            try:
                yield split, _pieces(archive, split)
            except DataError as error:
                yield split, error


def _pieces(archive: zipfile.ZipFile, split: str) -> list[tuple[int, int]]:
    images, labels = (_member(archive, f"{split}_{kind}.npy") for kind in _KINDS)
    if len(images.shape) < 3 or not labels.shape or images.shape[0] != labels.shape[0]:
        raise DataError("images and labels don't count alike", code="uneven-npz")
    step = min(PART_SAMPLES, PART_BYTES // max(1, images.sample_bytes))
    step = max(1, step, -(-images.shape[0] // MAX_PARTS))
    return [
        (start, min(images.shape[0], start + step)) for start in range(0, images.shape[0], step)
    ]


def read_part(path: Path, split: str, start: int, stop: int) -> Iterator[tuple[Array, Array]]:
    """Image and label of each sample from `start` to `stop`; holds these and no others.

    Nothing is yielded before the checksum of both arrays has been found right.

    Yields:
        The image as stored, (Y, X), (Y, X, C) or (Z, Y, X), and its label values, (k,).

    Raises:
        DataError: "damaged-npz", "pickled-array", "uneven-npz", "compression-bomb".
    """
    with _opened(path) as archive:
        images, labels = (_values(archive, f"{split}_{kind}.npy", start, stop) for kind in _KINDS)
    for image, label in zip(images, labels, strict=True):
        yield image, label.reshape(-1)


def classes_of(label: Array) -> list[int]:
    """Class numbers of one sample.

    Args:
        label: as stored, (k,).

    Raises:
        DataError: one is no whole number ("fractional-label") or below 0 ("negative-label").
    """
    whole = np.isfinite(label) & (label == np.rint(label)) if label.dtype.kind == "f" else label
    if label.dtype.kind == "f" and not whole.all():
        raise DataError("a label is no whole number", code="fractional-label")
    if (label < 0).any():
        raise DataError("a label is negative", code="negative-label")
    return [int(value) for value in label]


_KINDS = ("images", "labels")


def _values(archive: zipfile.ZipFile, name: str, start: int, stop: int) -> Array:
    member = _member(archive, name)
    if stop > member.shape[0]:
        raise DataError("the archive changed since it was planned", code="uneven-npz")
    with _reading(archive, name) as file:
        _header(file, name)
        _skip(file, start * member.sample_bytes)
        raw = _exactly(file, (stop - start) * member.sample_bytes)
        _skip(file, (member.shape[0] - stop) * member.sample_bytes)
    values = np.frombuffer(raw, member.dtype).reshape(stop - start, *member.shape[1:])
    return values.astype(member.dtype.newbyteorder("="), copy=False)


def _opened(path: Path) -> zipfile.ZipFile:
    try:
        archive = zipfile.ZipFile(path)
    except _DAMAGE as error:
        raise DataError("the file is no zip archive", code="damaged-npz") from error
    if len(archive.namelist()) > MAX_MEMBERS:
        archive.close()
        raise DataError(f"the archive has over {MAX_MEMBERS} members", code="not-medmnist")
    return archive


def _reading(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    try:
        return archive.open(name)
    except (*_DAMAGE, KeyError) as error:
        raise DataError(f"{name} cannot be read", code="damaged-npz") from error


def _member(archive: zipfile.ZipFile, name: str) -> Member:
    with _reading(archive, name) as file:
        shape, dtype, header = _header(file, name)
    info = archive.getinfo(name)
    if info.file_size > DEFLATE_LIMIT * max(1, info.compress_size):
        raise DataError(f"{name} would grow beyond what deflate can", code="compression-bomb")
    if math.prod(shape) * dtype.itemsize + header != info.file_size:
        raise DataError(f"{name} does not hold what its header says", code="damaged-npz")
    return Member(name, shape, dtype)


def _header(file: IO[bytes], name: str) -> tuple[tuple[int, ...], np.dtype[Any], int]:
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
    if not isinstance(descr, str) or not _DESCR.match(descr):
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
    except _DAMAGE as error:
        raise DataError("the archive is damaged", code="damaged-npz") from error
    if len(raw) != size:
        raise DataError("the archive ends too early", code="damaged-npz")
    return raw
