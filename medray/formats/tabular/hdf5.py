"""What is read of HDF5 files: numbers and texts at paths, never by way of another file."""

import importlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from medray.errors import DataError
from medray.extras import need
from medray.formats.tabular import hdf5_walk

MAX_VALUES = 2**28  # of a list of names or ends: 2 GiB of numbers at most
MAX_RATIO = 2048  # of unpacked to stored bytes: deflate reaches 1,032
SLACK_BYTES = 2**20
WALK_S = 600  # at most, by the clock; by the processor's time far less, see hdf5_walk
# Of https://github.com/HDFGroup/hdf5_plugins, by their registered numbers.
FILTERS = {
    305: "LZO", 307: "bzip2", 32000: "LZF", 32001: "Blosc", 32004: "LZ4", 32008: "bitshuffle",
    32013: "ZFP", 32015: "Zstandard", 32017: "SZ", 32019: "FCIDECOMP", 32024: "SZ3",
    32026: "Blosc2", 4: "szip",
}  # fmt: skip
DAMAGE = (OSError, KeyError, ValueError, TypeError, RuntimeError, AttributeError, MemoryError)


def examine(path: Path) -> None:
    """Let a process of its own read attributes and texts first, which a damaged file may kill.

    Raises:
        DataError: it died of the file, or found it damaged (code "damaged-hdf5").
        SpecError: HDF5's library is not installed (code "missing-extra").
    """
    need("h5py", what="HDF5")
    command = [sys.executable, "-P", hdf5_walk.__file__, str(path)]
    try:
        done = subprocess.run(  # noqa: S603  # this interpreter, and a path as its argument
            command,
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=WALK_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise _damaged() from error
    if done.returncode:
        raise _damaged()


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """The file; what is wrong with it, then or in the block, is a DataError ("damaged-hdf5")."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            yield file
    except DAMAGE as error:
        raise _damaged() from error


def member(file: Any, path: str) -> Any:
    """The group or dataset at a path.

    Raises:
        DataError: there is none ("no-such-member"), it lies in another file ("foreign-link"), is
            packed by a filter that is not installed ("no-hdf5-filter"), or is larger than what is
            stored of it ("damaged-hdf5").
    """
    import h5py

    node = file
    for name in path.split("/"):
        if not isinstance(node, h5py.Group) or name not in node:
            raise DataError(f"the file has no {path!r}", code="no-such-member")
        if not isinstance(node.get(name, getlink=True), h5py.HardLink):
            raise _foreign(path)
        node = node[name]
    if not isinstance(node, h5py.Dataset):
        return node
    _unpackable(node, path)
    if node.external or node.is_virtual:
        raise _foreign(path)
    # Sizes are the file's own word: what was never stored would be made up, in memory.
    if node.nbytes > MAX_RATIO * node.id.get_storage_size() + SLACK_BYTES:
        raise DataError(f"{path!r} is larger than what is stored of it", code="damaged-hdf5")
    return node


def numbers_at(file: Any, path: str, start: int = 0, stop: int | None = None) -> np.ndarray:
    """Values of one dimension, or a range of them.

    Raises:
        DataError: as `member`; they are too many, or no numbers ("damaged-matrix").
    """
    found = member(file, path)
    if found.ndim != 1 or found.dtype.kind not in "biuf":
        raise DataError(f"{path!r} is no list of numbers", code="damaged-matrix")
    stop = found.shape[0] if stop is None else stop
    if not 0 <= start <= stop <= found.shape[0] or stop - start > MAX_VALUES:
        raise DataError(f"{path!r} has not the length it should", code="damaged-matrix")
    values: np.ndarray = found[start:stop]
    return values


def texts_at(file: Any, path: str, start: int = 0, stop: int | None = None) -> list[str]:
    """Texts of one dimension, or a range of them; numbers as texts.

    Of AnnData's texts some of which are missing (a group of values and a mask) a missing one is "".

    Raises:
        DataError: as `member`; they are none or too many ("damaged-matrix").
    """
    import h5py

    if isinstance(member(file, path), h5py.Group):
        values = texts_at(file, f"{path}/values", start, stop)
        mask = numbers_at(file, f"{path}/mask", start, stop).tolist()
        return ["" if gone else one for one, gone in zip(values, mask, strict=True)]
    found = member(file, path)
    if found.ndim != 1 or found.shape[0] > MAX_VALUES or found.dtype.kind not in "SOUiu":
        raise DataError(f"{path!r} is no list of texts", code="damaged-matrix")
    return texts(found[start:stop])


def texts(values: Any) -> list[str]:
    """Bytes or texts as texts."""
    return [one.decode() if isinstance(one, bytes) else str(one) for one in values.tolist()]


def ends_of_rows(file: Any, path: str, rows: int | None) -> np.ndarray:
    """Where the values of each row of a sparse matrix begin, and the last end: int64 (rows + 1,).

    Raises:
        DataError: they do not ascend from 0, or are not as many as they should ("damaged-matrix").
    """
    ends = numbers_at(file, path).astype(np.int64)
    fits = len(ends) > 0 and ends[0] == 0 and (np.diff(ends) >= 0).all()
    if not fits or rows not in (None, len(ends) - 1):
        raise DataError(f"{path!r} does not say where rows begin", code="damaged-matrix")
    return ends


def attribute(node: Any, name: str) -> str:
    """An attribute as text; "" where there is none."""
    attributes: Mapping[str, Any] = node.attrs
    value = attributes.get(name, "")
    return value.decode() if isinstance(value, bytes) else str(value)


def _unpackable(node: Any, path: str) -> None:
    """Raise if a dataset is packed by a filter that libhdf5 has not."""
    import h5py

    _plugins()
    packing = node.id.get_create_plist()
    for at in range(packing.get_nfilters()):
        number, _, _, named = packing.get_filter(at)
        if not h5py.h5z.filter_avail(number):
            name = FILTERS.get(number) or named.decode("ascii", "replace")[:40] or "unnamed"
            raise DataError(
                f"{path!r} is packed by the HDF5 filter {name} ({number}), which is not here: "
                "pip install 'medray[hdf5]', or write the file again with compression='gzip'",
                code="no-hdf5-filter",
            )


@cache
def _plugins() -> None:
    """Where hdf5plugin is installed, importing it makes its filters known to libhdf5."""
    with suppress(ImportError):
        importlib.import_module("hdf5plugin")


def _foreign(path: str) -> DataError:
    return DataError(f"{path!r} lies in another file", code="foreign-link")


def _damaged() -> DataError:
    return DataError("the HDF5 file is damaged or of another kind", code="damaged-hdf5")
