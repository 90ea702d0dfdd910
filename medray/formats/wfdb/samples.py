"""Samples of one segment: its files read side by side, sums and first samples verified."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from medray.errors import DataError
from medray.formats.wfdb.flac import Compressed
from medray.formats.wfdb.header import Signal
from medray.formats.wfdb.packing import DIFFERENCES, FLAC, Coding, coding_of

Values = npt.NDArray[Any]
BLOCK = 2**17  # samples of a file that are decoded together: 256 KiB, of which a core's cache has
# room for a few copies
STEP = 6  # frames in a block are a multiple of it, so that blocks begin with a unit of any coding


class Beside(Protocol):
    """The files beside a header."""

    def find(self, name: str) -> Path:
        """Where one lies.

        Raises:
            DataError: it is not there.
        """

    def told(self, name: str) -> str:
        """Its name as messages may have it, "" where names may tell of people."""


class File(Protocol):
    """One file of a segment, open."""

    def length(self) -> int:
        """Frames in it."""

    def read(self, frames: int) -> list[Values]:
        """The next frames: of each signal its samples, int16 or int32 (frames * per_frame,).

        Raises:
            DataError: they are not there.
        """

    def close(self) -> None: ...


class Stored:
    """A file of plain samples.

    Args:
        path: of the file.
        signals: in it, in order; frame by frame each has its samples of the frame.
    """

    def __init__(self, path: Path, signals: Sequence[Signal]) -> None:
        self._signals = signals
        self._coding: Coding = coding_of(signals[0].coding)
        self._differences = signals[0].coding == DIFFERENCES
        self._last = [signal.initial or 0 for signal in signals]
        self._width = sum(signal.per_frame for signal in signals)
        self._even = all(signal.per_frame == 1 for signal in signals)
        self._size = path.stat().st_size - signals[0].offset
        self._file = path.open("rb", buffering=0)
        self._file.seek(signals[0].offset)

    def length(self) -> int:
        """See File."""
        return self._coding.samples(max(0, self._size)) // self._width

    def read(self, frames: int) -> list[Values]:
        """See File."""
        coding, count = self._coding, frames * self._width
        data = np.empty(-(-count // coding.per_unit) * coding.unit, np.uint8)
        size, got = coding.size(count), 0
        while got < size and (more := self._file.readinto(data[got:].data)):
            got += more
        if got < size:
            raise short()
        data[size:] = 0
        units = coding.decode(data)
        if self._even and self._width == coding.per_unit > 1:  # a frame a unit
            return list(units)
        flat = _in_turn(units)[:count].reshape(frames, self._width)
        if self._even and not self._differences:
            return list(np.ascontiguousarray(flat.T))
        found, at = [], 0
        for number, signal in enumerate(self._signals):
            values = flat[:, at : at + signal.per_frame].reshape(-1)
            found.append(self._summed(number, values) if self._differences else values)
            at += signal.per_frame
        return [np.ascontiguousarray(values) for values in found]

    def close(self) -> None:
        """See File."""
        self._file.close()

    def _summed(self, number: int, steps: Values) -> Values:
        """From differences to samples, which go on where the last block ended."""
        whole = np.cumsum(steps, dtype=np.int64) + self._last[number]
        if whole.size:
            if max(abs(int(whole.min())), abs(int(whole.max()))) >= 2**15:
                raise DataError("samples of a signal leave 16 bits", code="out-of-range")
            self._last[number] = int(whole[-1])
        return whole.astype(np.int16)


def _in_turn(units: Values) -> Values:
    """Samples (per_unit, n), in the order of the file."""
    made: Values = units[0]
    if len(units) == 1:
        return made
    made = np.empty(units.shape[::-1], units.dtype)
    for at, own in enumerate(units):  # a sixth of the time of a copy of the transposed
        made[:, at] = own
    return made.reshape(-1)


class Segment:
    """The samples of one header.

    Args:
        signals: that have files.
        beside: files of these names.
        frames: how many; None: as many as the files hold.

    Raises:
        DataError: a file is missing, or shorter than so many frames ("short-file"); files differ in
            length where the header says none ("length-mismatch"); signals of one file differ in
            their format ("bad-header").
    """

    def __init__(self, signals: Sequence[Signal], beside: Beside, frames: int | None) -> None:
        self.signals = signals
        self._groups: list[tuple[File, range]] = []
        self._sums = [0] * len(signals)
        self._begun = False
        with ExitStack() as stack:
            for numbers in groups_of(signals):
                own = [signals[number] for number in numbers]
                path = beside.find(own[0].file)
                kind = Compressed if own[0].coding in FLAC else Stored
                file: File = kind(path, own)
                stack.callback(file.close)
                self._groups.append((file, numbers))
                if frames is not None and file.length() < frames:
                    raise short(beside.told(own[0].file))
            lengths = {file.length() for file, _ in self._groups}
            if frames is None and len(lengths) != 1:
                reason = "its files differ in length, and the header says none"
                raise DataError(reason, code="length-mismatch")
            self.frames = lengths.pop() if frames is None else frames
            self._open = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def blocks(self) -> Iterator[tuple[int, int, list[Values]]]:
        """(first frame, frames, samples of each signal) of all blocks in order.

        Raises:
            DataError: a signal does not begin as its header says ("first-sample-mismatch"), or its
                sum is another ("checksum-mismatch").
        """
        width = max((s.per_frame for s in self.signals), default=1) * max(1, len(self.signals))
        step = max(1, BLOCK // width // STEP) * STEP
        with self:
            for start in range(0, self.frames, step):
                count = min(step, self.frames - start)
                made: list[Values] = []
                for file, _ in self._groups:
                    made.extend(file.read(count))
                self._look(made)
                yield start, count, made
            self._verify()

    def _look(self, made: list[Values]) -> None:
        """Add to the sums; of the first block look at how signals begin."""
        for number, (signal, values) in enumerate(zip(self.signals, made, strict=True)):
            whole = values.view(f"u{values.itemsize}")
            self._sums[number] += int(np.add.reduce(whole, dtype=whole.dtype))
            if not self._begun and _unlike(signal, int(values[0])):
                raise DataError(
                    "a signal does not begin with the sample that its header says",
                    code="first-sample-mismatch",
                    hint=_HINT,
                )
        self._begun = True

    def _verify(self) -> None:
        for signal, total in zip(self.signals, self._sums, strict=True):
            if signal.checksum is not None and (total - signal.checksum) % 2**16:
                raise DataError(
                    "the samples of a signal do not add up to the checksum of its header",
                    code="checksum-mismatch",
                    hint=_HINT,
                )


_HINT = "get the record anew; `checksums: ignore` takes samples that are not verified"


def _unlike(signal: Signal, first: int) -> bool:
    """Whether a signal begins with another sample than its header says. Converters that do not know
    the sample write 0; where there is a sum, that says whether the samples are right."""
    if signal.initial is None or (signal.initial == 0 and signal.checksum is not None):
        return False
    return first != signal.initial


def groups_of(signals: Sequence[Signal]) -> list[range]:
    """Numbers of the signals of each file: those that follow each other and name it.

    Raises:
        DataError: signals of one file differ in their format or place ("bad-header").
    """
    groups: list[range] = []
    for number, signal in enumerate(signals):
        before = signals[number - 1] if number else None
        if before is None or before.file != signal.file:
            groups.append(range(number, number + 1))
            continue
        if (before.coding, before.offset) != (signal.coding, signal.offset):
            reason = "the header cannot be read: signals of one file differ in their format"
            raise DataError(reason, code="bad-header")
        groups[-1] = range(groups[-1].start, number + 1)
    return groups


def short(name: str = "") -> DataError:
    """The error for a file that ends before its samples do."""
    reason = f"{name or 'a file'} is shorter than its header says"
    return DataError(reason, code="short-file", about=name, hint="get the file anew")
