"""A record read on a worker: its headers, then its samples, held or slab by slab."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medray.errors import DataError
from medray.formats.base import Input, Source
from medray.formats.files import open_path
from medray.formats.wfdb.header import MAX_HEADER, Header, Signal, parse
from medray.formats.wfdb.packing import DIFFERENCES, missing_of
from medray.formats.wfdb.samples import Beside, Segment, groups_of
from medray.formats.wfdb.timeline import Stretch, Timeline
from medray.storage.shards.samples import Slabs

Values = npt.NDArray[Any]
HELD = 64 * 2**20  # bytes of a record's arrays that are held at once; larger ones come as slabs
GAP_FRAMES = 2**16  # of a gap that are written at a time
NO_SAMPLE = -(2**15)  # in gaps of channels whose storage has no such value
Found = dict[int, tuple[Values, int | None]]  # by channel: samples, and which stands for none
SUFFIX = ".hea"


class Files:
    """The files of one input.

    Args:
        source: where they lie.
        item: whose first path is its header.
        shown: whether messages may name files.
    """

    def __init__(self, source: Source, item: Input, *, shown: bool) -> None:
        self._source, self._shown = source, shown
        self._paths = frozenset(item.paths)
        folder, _, name = item.paths[0].rpartition("/")
        self._folder = f"{folder}/" if folder else ""
        self.record = name.removesuffix(SUFFIX)

    def find(self, name: str) -> Path:
        """Where a file of the record lies.

        Raises:
            DataError: it is not there (code "missing-file").
        """
        path = self._folder + name
        if path not in self._paths:
            raise missing(self.told(name))
        return open_path(self._source, path)

    def told(self, name: str) -> str:
        """A file's name as messages may have it."""
        return name if self._shown else ""

    def header(self, record: str = "") -> Header:
        """The header of the record, or of a segment of it.

        Raises:
            DataError: it is missing, or none.
        """
        return parse(read_header(self.find((record or self.record) + SUFFIX)))

    def data(self, annotator: str) -> bytes:
        """An annotation file as it is."""
        return self.find(f"{self.record}.{annotator}").read_bytes()


@dataclass(frozen=True)
class Signals:
    """The samples of a record, not read yet.

    Args:
        line: what the headers say.
        beside: the files that hold them.
        verify: hold samples against checksums and first samples.
        most: bytes that they may take in memory.
    """

    line: Timeline
    beside: Beside
    verify: bool
    most: int

    def arrays(self) -> tuple[int, dict[str, Values | Slabs]]:
        """Length of the record in frames, and its arrays, (channel, time) each.

        Raises:
            DataError: a file is missing, short or damaged, or not what the headers say; what comes
                as slabs says so while it is read.
        """
        frames, stretches = self.line.frames, self.line.stretches
        if frames is None and stretches:
            with self._open(stretches[0], stretches[0].places)[0] as segment:
                frames = segment.frames
        if not frames:
            raise DataError("the record has no samples", code="no-signals")
        shapes = {name: self._shape(name, frames) for name in self.line.dtypes}
        dtypes = {name: np.dtype(dtype) for name, dtype in self.line.dtypes.items()}
        size = sum(math.prod(shape) * dtypes[name].itemsize for name, shape in shapes.items())
        if size > self.most:
            reason = "the record is larger than `max_bytes` allows"
            raise DataError(reason, code="too-large", hint="raise it")
        if size > HELD:
            return frames, {
                name: Slabs(shape, dtypes[name], 1, self._slabs(name, frames))
                for name, shape in shapes.items()
            }
        for stretch in stretches:  # files are looked at before anything is allocated
            with self._open(stretch, stretch.places)[0]:
                pass
        held: dict[str, Values] = {n: np.empty(shape, dtypes[n]) for n, shape in shapes.items()}
        for start, count, found in self._blocks(range(len(self.line.channels)), frames):
            for name, whole in held.items():
                width = shapes[name][1] // frames
                self._put(name, whole[:, start * width : (start + count) * width], found)
        return frames, dict(held)

    def _slabs(self, name: str, frames: int) -> Iterator[Values]:
        channels = self.line.channels
        wanted = [number for number, one in enumerate(channels) if one.array == name]
        for _, count, found in self._blocks(wanted, frames):
            slab = np.empty(self._shape(name, count), self.line.dtypes[name])
            self._put(name, slab, found)
            yield slab

    def _shape(self, name: str, frames: int) -> tuple[int, int]:
        numbers = zip(self.line.channels, self.line.per_frame, strict=True)
        widths = [width for one, width in numbers if one.array == name]
        return len(widths), frames * widths[0]

    def _put(self, name: str, into: Values, found: Found) -> None:
        """Fill a part of an array with a block, and with what stands for no sample."""
        for number, channel in enumerate(self.line.channels):
            if channel.array != name:
                continue
            row = into[channel.index]
            if number not in found:
                row[:] = NO_SAMPLE if channel.missing is None else channel.missing
                continue
            values, missing = found[number]
            row[:] = values
            if missing not in (None, channel.missing):
                row[values == missing] = channel.missing

    def _blocks(self, wanted: Sequence[int], frames: int) -> Iterator[tuple[int, int, Found]]:
        """(first frame, frames, what there is of the wanted channels) of the record, in order."""
        at = 0
        for stretch in self.line.stretches:
            yield from _gap(at, stretch.start)
            segment, places = self._open(stretch, wanted)
            missing = [missing_of(one.coding) for one in segment.signals]
            for start, count, values in segment.blocks():
                found = zip(places, zip(values, missing, strict=True), strict=True)
                yield stretch.start + start, count, dict(found)
            at = stretch.start + segment.frames
        yield from _gap(at, frames)

    def _open(self, stretch: Stretch, wanted: Sequence[int]) -> tuple[Segment, list[int]]:
        """The files of a stretch that hold wanted channels, and of each signal the channel."""
        chosen = [
            number
            for group in groups_of(stretch.signals)
            if any(stretch.places[number] in wanted for number in group)
            for number in group
        ]
        signals = [stretch.signals[number] for number in chosen]
        if not self.verify:
            signals = [replace(one, checksum=None, initial=_begun(one)) for one in signals]
        places = [stretch.places[number] for number in chosen]
        return Segment(signals, self.beside, stretch.frames), places


def _begun(signal: Signal) -> int | None:
    """The first sample that is needed where none is verified: differences begin with it."""
    return signal.initial if signal.coding == DIFFERENCES else None


def _gap(start: int, stop: int) -> Iterator[tuple[int, int, Found]]:
    for at in range(start, stop, GAP_FRAMES):
        yield at, min(GAP_FRAMES, stop - at), {}


def read_header(path: Path) -> bytes:
    """The bytes of a header file, as far as there may be any."""
    with path.open("rb") as file:
        return file.read(MAX_HEADER + 1)


def missing(name: str = "") -> DataError:
    """The error for a file that a header names and nobody finds."""
    reason = f"{name or 'a file'} that the header names is not beside it"
    return DataError(reason, code="missing-file", about=name)
