"""Files of a root that is a folder: written whole and durable, or not at all."""

import os
import secrets
from collections.abc import Sequence
from io import FileIO
from pathlib import Path


def write_file(place: Path, data: bytes) -> None:
    """Write a file beside its place, move it there, and wait until both are on the disk."""
    # Named as obstore names a file that isn't whole: its listings leave such files out.
    part = place.with_name(f"{place.name}#{secrets.randbits(48)}")
    try:
        with _create(part) as file:
            left = memoryview(data)
            while left:
                left = left[file.write(left) :]
            if place.exists():
                os.fsync(file)  # a power cut must leave the old one or the new one
        part.replace(place)
        # After the move, so that the journal takes file and name in one go: half the time.
        sync(place, place.parent)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


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
