"""The two trees of a bigWig file, looked at whole before pybigtools follows them.

pybigtools allocates what sizes in the file say and goes wherever places in it say: a size of 2**60
aborts the process, a node that is its own child never ends. Layouts: Kent et al. 2010, supplement,
tables 5 to 17.
"""

import mmap
import struct
from pathlib import Path
from typing import Any

import numpy as np

from medray.errors import DataError

MAX_BLOCK = 2**26  # bytes that one block may unpack to; UCSC's tools make them of 32 KiB
MAX_CONTIGS = 2**20
MAX_KEY = 256  # bytes of a contig's name
_MAGIC, _NAMES, _INDEX = 0x888FFC26, 0x78CA8C91, 0x2468ACE0


def check(path: Path) -> bool:
    """Look at the header, the tree of contigs and the index of the data; not at the data.

    Returns:
        Whether there are records: pyBigWig writes files that have none without an index.

    Raises:
        DataError: "not-bigwig", "damaged-bigwig", "compression-bomb".
    """
    with path.open("rb") as file:
        if path.stat().st_size < 64:
            raise DataError("the file is no bigWig file", code="not-bigwig")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as raw:
            try:
                return _check(raw)
            except (struct.error, ValueError, OverflowError) as error:
                raise _damaged() from error


def _check(raw: mmap.mmap) -> bool:
    order = next((one for one in "<>" if struct.unpack_from(f"{one}I", raw)[0] == _MAGIC), None)
    if order is None:
        raise DataError("the file is no bigWig file", code="not-bigwig")
    names, _, index = struct.unpack_from(f"{order}3Q", raw, 8)
    (unpacked,) = struct.unpack_from(f"{order}I", raw, 52)
    if unpacked > MAX_BLOCK:
        raise DataError("a block would unpack to over 64 MiB", code="compression-bomb")
    magic, block, key, value, count = struct.unpack_from(f"{order}4IQ", raw, names)
    known = magic == _NAMES and (count == 0 or 0 < key <= MAX_KEY) and value == 8
    if not known or not block <= 2**16 or not count <= MAX_CONTIGS:
        raise _damaged()
    child = np.dtype([("key", f"S{key}"), ("at", f"{order}u8")])
    if count:
        _walk(raw, order, names + 32, child, child)
    if not index:
        return False
    magic, _, items = struct.unpack_from(f"{order}2IQ", raw, index)
    if magic != _INDEX:
        raise _damaged()
    if not items:
        return False
    bounds = [(name, f"{order}u4") for name in ("chrom", "start", "chrom_end", "end")]
    child = np.dtype([*bounds, ("at", f"{order}u8")])
    leaf = np.dtype([*bounds, ("at", f"{order}u8"), ("size", f"{order}u8")])
    _walk(raw, order, index + 48, child, leaf)
    return True


def _walk(raw: mmap.mmap, order: str, root: int, child: np.dtype[Any], leaf: np.dtype[Any]) -> None:
    """Every node once: children lie in the file, and none is met twice; so do blocks of data."""
    seen, ahead = {root}, [root]
    while ahead:
        at = ahead.pop()
        is_leaf, count = struct.unpack_from(f"{order}BxH", raw, at)
        items = np.frombuffer(raw, leaf if is_leaf else child, count, at + 4).copy()
        if is_leaf:
            if "size" in (leaf.names or ()):
                beyond = (items["at"] > len(raw)) | (items["size"] > len(raw))
                if (beyond | (items["at"] + items["size"] > len(raw))).any():
                    raise _damaged()
            continue
        for place in items["at"].tolist():
            if place in seen or place >= len(raw):
                raise _damaged()
            seen.add(place)
            ahead.append(place)


def _damaged() -> DataError:
    return DataError("the bigWig file is damaged", code="damaged-bigwig")
