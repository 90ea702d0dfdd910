"""Raw files in a bucket. Formats read folders, so a folder stands for the bucket.

To plan, its outline is made: every object as a sparse file of its size, whose time of change is a
hash of its ETag, so that an input's fingerprint is size and ETag; of the content only what a format
fetches comes here. To read, the files of one input come to a folder of their own, which goes when
the input is read: a worker needs room for its largest input, not for the source.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from medray.errors import SpecError
from medray.formats.base import Memory, Source
from medray.storage.shards.records import Refusal
from medray.storage.store.listing import Entry
from medray.storage.store.objects import Objects

MAX_PART = 255  # bytes in one part of a path, of every file system in use
MAX_PATH = 3500  # bytes in a path; Linux takes 4095


@dataclass(frozen=True)
class Outline(Source):
    """A folder of sparse files that stands for a bucket while its inputs are planned.

    Args:
        root: the folder.
        objects: the bucket, from the source's prefix on.
        refused: objects whose keys cannot be paths of files.
    """

    far: ClassVar[bool] = True
    timed: ClassVar[bool] = False
    objects: Objects
    refused: tuple[Refusal, ...] = ()

    def fetch(self, path: str, size: int | None = None) -> None:
        """Bring the first `size` bytes of an object here; time and size stay as they are."""
        place = self.root / path
        if place.is_file():
            _fill(self.objects, path, place, size)

    def drop(self, path: str) -> None:
        """Make the file sparse again."""
        place = self.root / path
        with _kept_time(place):
            size = place.stat().st_size
            os.truncate(place, 0)
            os.truncate(place, size)


class Fetched(Source):
    """A folder with files of a bucket, whose times of change are hashes of their ETags too."""

    timed: ClassVar[bool] = False


@contextmanager
def outlined(
    objects: Objects, *, by_content: bool = False, memory: Memory | None = None
) -> Iterator[Outline]:
    """The outline of a bucket, for as long as inputs are planned.

    Args:
        objects: the bucket, from the source's prefix on.
        by_content: see Source.
        memory: see Source.

    Raises:
        RetryableError: it cannot be listed.
        SpecError: no object lies there (code "no-such-source").
    """
    root = Path(tempfile.mkdtemp(prefix="medray-outline-"))
    try:
        refused, found = [], 0
        for entry in objects.walk():
            found += 1
            if not _sketch(root, entry):
                key = hashlib.sha256(entry.path.encode()).hexdigest()[:16]
                reason = "the object's key cannot be the path of a file"
                refused.append(Refusal(f"object-{key}", "unsafe-name", reason))
        if not found:
            raise SpecError(
                "there is nothing in the source",
                code="no-such-source",
                about=objects.url,
                hint="give the prefix that the files lie below",
            )
        yield Outline(root, objects, tuple(refused), by_content=by_content, memory=memory)
    finally:
        shutil.rmtree(root, ignore_errors=True)


@contextmanager
def fetched(
    objects: Objects, paths: Iterable[str], *, by_content: bool = False
) -> Iterator[Source]:
    """A folder with these files of a bucket, for as long as one input is read.

    What is gone from the bucket is not there either; the format says so.
    """
    root = Path(tempfile.mkdtemp(prefix="medray-input-"))
    try:
        for path in dict.fromkeys(paths):
            place = root / path
            place.parent.mkdir(parents=True, exist_ok=True)
            try:
                etag = _fill(objects, path, place, None)
                # So it can be held against the plan, which has the hash of the ETag of then.
                os.utime(place, ns=(_mark(etag), _mark(etag)))
            except FileNotFoundError:
                place.unlink(missing_ok=True)
        yield Fetched(root, by_content=by_content)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _sketch(root: Path, entry: Entry) -> bool:
    """Make an object's sparse file; False where its key cannot be a path."""
    parts = entry.path.split("/") if entry.path else []
    unsafe = any(
        part in ("", ".", "..") or "\0" in part or len(part.encode()) > MAX_PART for part in parts
    )
    if unsafe or len(entry.path.encode()) > MAX_PATH:
        return False
    place = root / entry.path
    if entry.size == 0 and place.is_dir():
        return True  # a console's mark of a folder, the root among them
    try:
        if not place.parent.is_dir():
            _unmark(root, place)
            place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("xb") as file:
            file.truncate(entry.size)
    except (FileExistsError, NotADirectoryError):  # an object that is a folder of others too
        return False
    os.utime(place, ns=(_mark(entry.etag), _mark(entry.etag)))
    return True


def _mark(etag: str) -> int:
    return int(hashlib.sha256(etag.encode()).hexdigest()[:15], 16)


def _unmark(root: Path, place: Path) -> None:
    """Remove the empty files that consoles make to mark folders, and whose place is a folder."""
    for folder in place.parents:
        if folder == root:
            return
        if folder.is_file() and folder.stat().st_size == 0:
            folder.unlink()


def _fill(objects: Objects, path: str, place: Path, size: int | None) -> str:
    """Bring bytes of an object here; returns the ETag that it has now."""
    with _kept_time(place):
        whole = place.stat().st_size if place.exists() else None
        with place.open("r+b" if whole is not None else "wb") as file:
            etag = objects.download(path, file, size)
            if whole is not None:
                file.truncate(whole)
    return etag


@contextmanager
def _kept_time(place: Path) -> Iterator[None]:
    before = place.stat().st_mtime_ns if place.exists() else None
    yield
    if before is not None:
        os.utime(place, ns=(before, before))
