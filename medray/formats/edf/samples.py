"""Samples of EDF and BDF files, decoded block by block: memory does not grow with a recording.

A data record holds the samples of one signal after the other. Blocks of about a mebibyte stay in a
core's cache while they are turned to (channel, time); a record that is larger is read in pieces,
channel by channel.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medray.errors import DataError
from medray.formats.edf.header import Header, Signal

BLOCK_BYTES = 2**20
HELD_BYTES = 2**26  # recordings that are decoded to less are held, and read once
MAX_TOLD_BYTES = 2**26  # annotations of one data record

Array = np.ndarray[Any, Any]


class Samples:
    """The data records of one file.

    Args:
        path: of the file.
        header: of it.
        count: data records.
    """

    def __init__(self, path: Path, header: Header, count: int) -> None:
        self._path, self._header, self.count = path, header, count
        self.groups: dict[int, list[Signal]] = {}
        """Signals with samples by how many a data record holds: those of a rate."""
        self._told = [signal for signal in header.signals if signal.told]
        for signal in header.signals:
            if not signal.told:
                self.groups.setdefault(signal.samples, []).append(signal)
        self.dtype = np.dtype(np.int16 if header.width == 2 else np.int32)

    @property
    def size(self) -> int:
        """Bytes of all samples, decoded."""
        values = sum(samples * len(group) for samples, group in self.groups.items())
        return values * self.count * self.dtype.itemsize

    def told(self) -> Iterator[list[Array]]:
        """What the signals of annotations hold, each uint8 (records, bytes), of some records."""
        if sum(signal.samples for signal in self._told) * self._header.width > MAX_TOLD_BYTES:
            raise DataError("a data record has annotations of 64 MiB", code="bad-annotation")
        if not self._told:
            return
        if self._large:
            with self._path.open("rb", buffering=0) as file:
                for record in range(self.count):
                    raw = [self._bytes(file.fileno(), record, signal) for signal in self._told]
                    yield [np.frombuffer(one, np.uint8)[None] for one in raw]
            return
        width = self._header.width
        spans = [slice(one.at * width, (one.at + one.samples) * width) for one in self._told]
        for _, block in self._blocks():
            yield [block[:, span] for span in spans]

    def whole(self) -> dict[int, Array]:
        """The samples of all groups, (channel, time) each."""
        width, count = self._header.width, self.count
        made = {
            samples: np.empty((len(group), count * samples), self.dtype)
            for samples, group in self.groups.items()
        }
        for first, block in self._blocks():
            for samples, group in self.groups.items():
                place = slice(first * samples, (first + len(block)) * samples)
                _decode(block, group, width, made[samples][:, place])
        return made

    def last(self) -> dict[int, Array]:
        """The samples of the last data record by group, (channel, time) each."""
        width, made = self._header.width, {}
        with self._path.open("rb", buffering=0) as file:
            for samples, group in self.groups.items():
                made[samples] = np.empty((len(group), samples), self.dtype)
                for out, signal in zip(made[samples], group, strict=True):
                    raw = self._bytes(file.fileno(), self.count - 1, signal)
                    _turn(np.frombuffer(raw, np.uint8)[None], 0, samples, width, out)
        return made

    def parts(self, samples: int, stop: int) -> Iterator[Array]:
        """The samples of one group, (channel, time), in slabs along time.

        Args:
            samples: of each of its signals in a data record.
            stop: how many of a channel's are wanted.
        """
        group, left = self.groups[samples], stop
        blocks = self._pieces(group) if self._large else self._decoded(group, samples)
        for part in blocks:
            yield part[:, :left]
            left -= part.shape[1]
            if left <= 0:
                return

    @property
    def _large(self) -> bool:
        return self._header.record_bytes > 8 * BLOCK_BYTES

    def _decoded(self, group: Sequence[Signal], samples: int) -> Iterator[Array]:
        for _, block in self._blocks():
            out = np.empty((len(group), len(block) * samples), self.dtype)
            _decode(block, group, self._header.width, out)
            yield out

    def _blocks(self) -> Iterator[tuple[int, Array]]:
        """Data records, uint8 (records, bytes), and the number of the first."""
        size = self._header.record_bytes
        many = max(1, BLOCK_BYTES // size)
        buffer = np.empty((many, size), np.uint8)
        with self._path.open("rb", buffering=0) as file:
            for first in range(0, self.count, many):
                block = buffer[: min(many, self.count - first)]
                _fill(file.fileno(), self._header.size + first * size, block)
                yield first, block

    def _pieces(self, group: Sequence[Signal]) -> Iterator[Array]:
        """As `_decoded`, of records that are too large to be read whole."""
        width, samples = self._header.width, group[0].samples
        step = max(1, BLOCK_BYTES // (width * len(group)))
        with self._path.open("rb", buffering=0) as file:
            for record in range(self.count):
                for first in range(0, samples, step):
                    size = min(step, samples - first)
                    out = np.empty((len(group), size), self.dtype)
                    raw = np.empty((1, size * width), np.uint8)
                    for channel, signal in enumerate(group):
                        _fill(file.fileno(), self._place(record, signal) + first * width, raw)
                        _turn(raw, 0, size, width, out[channel])
                    yield out

    def _place(self, record: int, signal: Signal) -> int:
        header = self._header
        return header.size + record * header.record_bytes + signal.at * header.width

    def _bytes(self, descriptor: int, record: int, signal: Signal) -> bytes:
        size = signal.samples * self._header.width
        data = os.pread(descriptor, size, self._place(record, signal))
        if len(data) < size:
            raise _short()
        return data


def _decode(block: Array, group: Sequence[Signal], width: int, out: Array) -> None:
    """Turn records to (channel, time)."""
    for channel, signal in enumerate(group):
        _turn(block, signal.at * width, signal.samples, width, out[channel])


def _turn(block: Array, at: int, samples: int, width: int, out: Array) -> None:
    """One signal of records uint8 (records, bytes), as digital values (records * samples,)."""
    cells = block[:, at : at + samples * width]
    target = out.reshape(len(block), samples)
    if width == 2:
        target[...] = cells.view("<i2")
        return
    triples = cells.reshape(len(block), samples, 3)
    # The upper byte with its sign, then the lower two: a sixth of the time of bytes one by one.
    target[...] = triples[..., 2].view(np.int8)
    target <<= 16
    target |= triples[..., :2].view("<u2")[..., 0]


def _fill(descriptor: int, offset: int, block: Array) -> None:
    """Read bytes from a place on; a read may bring fewer than it was asked for."""
    view, filled = block.data.cast("B"), 0
    while filled < len(view):
        got = os.preadv(descriptor, [view[filled:]], offset + filled)
        if not got:
            raise _short()
        filled += got


def _short() -> DataError:
    return DataError("the file ends before its last data record", code="truncated-edf")
