"""The contract of a format: raw files to samples, and samples to files."""

import os
import struct
from abc import ABC, abstractmethod
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol

from blake3 import blake3
from xxhash import xxh3_64_intdigest

from medray.errors import SpecError
from medray.extras import need
from medray.spec.base import Settings
from medray.storage.shards.holds import Holds, Needs, named
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Sample
from medray.storage.shards.schema import Arrays, space_axes

_STAMP = struct.Struct("<3q").pack

Stamp = tuple[int, int, int]
"""Size in bytes, mark (see `Source.mark`), and time of the last change of status in ns, or 0."""


class FormatOptions(Settings):
    """Base of a format's options: frozen, unknown keys refused."""


class Memory(Protocol):
    """Keeps something from one plan of a step to the next; it may forget."""

    def load(self) -> bytes | None:
        """What was kept last, as far as anybody knows."""
        ...

    def keep(self, data: bytes) -> None:
        """Keep this instead."""
        ...


@dataclass(frozen=True)
class Source:
    """Where raw files lie. Of a bucket it is a folder that stands for it; see `formats.bucket`.

    Args:
        root: folder (or single file) that every path is confined to.
        follow_links: links may lead out of it.
        by_content: fingerprints are of contents, not of times.
        memory: what the last plan of the same step kept for this one.
    """

    far: ClassVar[bool] = False  # contents are here only once they were fetched
    timed: ClassVar[bool] = True  # times of status changes are those of the raw files
    root: Path
    follow_links: bool = field(default=False, kw_only=True)
    by_content: bool = field(default=False, kw_only=True)
    memory: Memory | None = field(default=None, kw_only=True, compare=False, repr=False)

    def fetch(self, path: str, size: int | None = None) -> None:
        """Bring the first `size` bytes of a file here, or all of it; in a folder they are."""

    def drop(self, path: str) -> None:
        """Give back the room that `fetch` took."""

    def place(self, path: str) -> Path:
        """Where a path lies; one that is absolute stays so."""
        return Path(self.spelt(path))

    def spelt(self, path: str) -> str:
        """`place` as text: a `Path` costs five times what it takes to look at the file there."""
        root = self.root
        if root.name == path and root.is_file():
            return str(root)
        return os.path.join(root, path)  # noqa: PTH118

    @property
    def exact(self) -> bool:
        """Whether the time of a file's last change of status tells it from others."""
        return self.timed and not self.by_content

    def mark(self, path: str, mtime_ns: int) -> int:
        """What stands for a file's content in fingerprints: the time of its last change, or with
        `by_content` a hash.

        Raises:
            OSError: it cannot be read.
        """
        if not self.by_content:
            return mtime_ns
        self.fetch(path)
        hashed = blake3()
        with self.place(path).open("rb") as file:
            while block := file.read(2**22):
                hashed.update(block)
        self.drop(path)
        return int(hashed.hexdigest()[:15], 16)

    def stamp(self, path: str, status: os.stat_result) -> Stamp:
        """What a file must be like when it is read to be the one that was planned."""
        ctime_ns = status.st_ctime_ns if self.exact else 0
        return status.st_size, self.mark(path, status.st_mtime_ns), ctime_ns


class Input(NamedTuple):
    """One accountable input of a unit: it ends committed or quarantined, never lost.

    Args:
        key: how reports and the quarantine name it; a pseudonym where paths may identify people.
        paths: below the source's root, in order.
        fingerprint: cheap and stable: changes when the content does (size, mtime or ETag).
        size: bytes of all its files.
        extra: what `read` needs besides, JSON-able.
        stamp: hash of the stamps of every file that `read` opens, see `stamp_of`; 0 where nobody
            looked. No part of the input's identity, which is all the rest.
    """

    key: str
    paths: tuple[str, ...]
    fingerprint: str
    size: int
    extra: dict[str, Any]
    stamp: int = 0


def stamp_of(stamps: Iterable[Stamp]) -> int:
    """One number, of 48 bits, for the stamps of an input's files in the order of `Format.opens`."""
    return joined([xxh3_64_intdigest(_STAMP(*stamp)) >> 16 for stamp in stamps])


def joined(stamps: Sequence[int]) -> int:
    """One number for those of files that were stamped one by one."""
    if len(stamps) == 1:
        return stamps[0]
    return int(xxh3_64_intdigest(array("q", stamps).tobytes())) >> 16


@dataclass(frozen=True)
class Found:
    """What a format found in a source.

    Args:
        groups: inputs, each group of which makes one shard; order is the dataset's order. Such as
            `medray.formats.packed.grouped` makes take a tenth of the room of lists.
        refused: files that were turned away while planning, each with its reason.
        attributes: of the whole dataset, JSON-able, such as the names of a table's features.
        arrays: what only headers tell of arrays; goes before what `Format.arrays` says.
    """

    groups: Sequence[Sequence[Input]]
    refused: list[Refusal]
    attributes: dict[str, Any] = field(default_factory=dict)
    arrays: Arrays = field(default_factory=dict)


class Format(ABC):
    """How one kind of raw file becomes samples and back. Stateless; one per process and job.

    `libraries` are those that it can do nothing without, see `medray.extras`.
    """

    name: ClassVar[str]
    Options: ClassVar[type[FormatOptions]]
    libraries: ClassVar[tuple[str, ...]] = ()

    def __init__(self, options: FormatOptions) -> None:
        self.options = options

    @abstractmethod
    def plan(self, source: Source) -> Found:
        """List the inputs: names, sizes and headers at most, never payload.

        What is read of a file is asked for by `source.fetch` before.

        Raises:
            SpecError: the source does not exist or is not of this format at all.
        """

    def named(self) -> list[tuple[str, str]]:
        """(option, path) of what the options name: files and folders below the source, or absolute.

        Whoever checks a job looks for them first: what is not there is a mistake in the job, and no
        fault of any input. See `medray.steps.base.sources.check_named`.
        """
        return []

    def arrays(self) -> Arrays:
        """Every array that samples may have, by name: axes, units, types, chunks, form.

        None by default. An array that is not declared is no input's fault and ends the run.
        """
        return {}

    def holds(self) -> Holds:
        """What a dataset that is ingested so holds, as far as the options say."""
        return Holds(named(self.arrays()), axes=space_axes(self.arrays()))

    def ready(self) -> None:
        """Look for what reading or writing takes besides the files: libraries, keys.

        Raises:
            SpecError: it is not there.
        """
        need(*self.libraries, what=self.name)

    def ready_to_write(self) -> None:
        """As `ready`, where files are written; what pseudonyms take may not be needed then.

        Raises:
            SpecError: it is not there.
        """
        self.ready()

    @classmethod
    def writes(cls) -> bool:
        """Whether a dataset can be exported so."""
        return cls.write is not Format.write

    def needs(self) -> Needs:
        """What samples must have so that `write` can write them."""
        return Needs()

    def files(self, item: Input) -> Iterator[str]:
        """Every path below the source that `read` opens."""
        yield from item.paths

    def opens(self, item: Input) -> Iterator[str]:
        """Every file and folder that `read` opens, in order: below the source, or absolute."""
        yield from self.files(item)

    def shown(self, item: Input) -> tuple[str, str]:
        """How the quarantine names an input besides its key: its first file below the source, ""
        where paths may identify people; and of DICOM the transfer syntax."""
        return (item.paths[0] if item.paths else ""), ""

    @abstractmethod
    def read(self, source: Source, item: Input) -> Iterator[Sample | Refusal]:
        """Read one input on a worker. One input may hold many samples (an .npz, a volume series).

        Yields:
            Samples, or refusals where one of many samples of the input is bad. Samples without
            arrays that are many come as tables (`storage.rows.Rows`); they then do all of them.

        Raises:
            DataError: the whole input is unusable; it is quarantined under its key.
        """

    def takes(self, names: frozenset[str]) -> frozenset[str]:
        """Which of a sample's arrays `write` looks at, so that no other is loaded; all by default.

        Args:
            names: of the arrays that are there.
        """
        return names

    def write(self, samples: Iterable[Sample], target: Path) -> Iterator[Path]:
        """Write samples as files below `target`; yields the path of each file written.

        Raises:
            SpecError: this format cannot be written (code "read-only-format").
        """
        raise SpecError(
            f"format {self.name!r} cannot be written", code="read-only-format", about=self.name
        )


class WriteOnly(Format):
    """A format that nothing is ingested from; `instead` says what reads such files, if anything."""

    instead: ClassVar[str] = ""

    def plan(self, source: Source) -> Found:
        """Not for reading.

        Raises:
            SpecError: always (code "write-only-format").
        """
        raise self.unread()

    def read(self, source: Source, item: Input) -> Iterator[Sample | Refusal]:
        """Not for reading.

        Raises:
            SpecError: always (code "write-only-format").
        """
        raise self.unread()

    def unread(self) -> SpecError:
        """What is raised where somebody reads it all the same."""
        return SpecError(
            f"format {self.name!r} is written only",
            code="write-only-format",
            about=self.name,
            hint=self.instead,
        )
