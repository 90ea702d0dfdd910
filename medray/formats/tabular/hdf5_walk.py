"""Walks over an HDF5 file in a process of its own, which may die of it: see `hdf5.examine`.

    python hdf5_walk.py FILE

Reads every attribute and all texts, which is where libhdf5 trusts what it finds: a heap of texts
that points to itself never ends, a wrong size allocates gigabytes, a wrong address is a
segmentation fault. Numbers are not read. Needs nothing of medray, so it starts in a quarter of a
second.
"""

import importlib
import resource
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

CPU_S, BYTES_S = 2, 20 * 2**20  # processor's time: a start, and the file at this rate
MEMORY, RATIO = 256 * 2**20, 16  # texts in memory beside what they are packed into
ROWS = 2**16
DAMAGED = 3


def _limit(size: int) -> None:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    used = int(status.partition("VmData:")[2].split()[0]) * 1024
    most = used + MEMORY + RATIO * size
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    spent = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    seconds = int(spent) + 1 + CPU_S + size // BYTES_S
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _look(node: Any) -> None:
    import h5py

    for name in node.attrs:
        try:
            node.attrs[name]
        except (TypeError, ValueError, KeyError):
            continue  # of a type that has no counterpart here; nobody reads it
    texts = isinstance(node, h5py.Dataset) and node.dtype.hasobject and not node.external
    if texts and not node.is_virtual and node.ndim == 1 and _unpackable(node):
        for start in range(0, node.shape[0], ROWS):
            node[start : start + ROWS]


def _unpackable(node: Any) -> bool:
    """Whether all filters of a dataset are here; who wants it is told which one is not."""
    import h5py

    packing = node.id.get_create_plist()
    filters = (packing.get_filter(at)[0] for at in range(packing.get_nfilters()))
    return all(h5py.h5z.filter_avail(number) for number in filters)


def main(path: str) -> int:
    """0, or DAMAGED; or it does not come to its end."""
    import h5py

    with suppress(ImportError):
        importlib.import_module("hdf5plugin")
    _limit(Path(path).stat().st_size)
    try:
        with h5py.File(path, "r") as file:
            _look(file)
            file.visititems(lambda _, node: _look(node))
    except (OSError, RuntimeError, MemoryError):
        return DAMAGED
    except (TypeError, ValueError, KeyError, AttributeError):
        return 0  # h5py's own refusals: they come again, and are told apart, where it is read
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
