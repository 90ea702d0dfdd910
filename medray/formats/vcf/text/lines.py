"""Lines of text as columns: where each field lies, found for a whole block at once.

No Python runs per record or per genotype. A block is an array of bytes; a column is two arrays of
positions in it; values come out of them by numpy and Arrow.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

TAB, NEWLINE = 9, 10
MAX_DIGITS = 10


@dataclass(frozen=True)
class Spans:
    """Pieces of a block of text.

    Args:
        buffer: the block, uint8 (bytes,).
        starts: first byte of each piece, int64 (n,).
        stops: byte after its last, int64 (n,).
    """

    buffer: np.ndarray
    starts: np.ndarray
    stops: np.ndarray

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, rows: np.ndarray) -> "Spans":
        return Spans(self.buffer, self.starts[rows], self.stops[rows])

    @property
    def lengths(self) -> np.ndarray:
        """Bytes of each piece, int64 (n,)."""
        lengths: np.ndarray = self.stops - self.starts
        return lengths

    def equal(self, text: bytes) -> np.ndarray:
        """Which pieces are this text, bool (n,)."""
        same: np.ndarray = self.lengths == len(text)
        places = self.starts[same]
        kept = np.ones(len(places), bool)
        for at, byte in enumerate(text):
            kept &= self.buffer[places + at] == byte
        same[same] = kept
        return same

    @cached_property
    def joined(self) -> tuple[np.ndarray, np.ndarray]:
        """The pieces' bytes one after another, and the offset of each: uint8, int64 (n + 1,).

        Kept, since a column is looked at from several sides; not to be changed.
        """
        lengths = self.lengths
        offsets = np.zeros(len(lengths) + 1, np.int64)
        np.cumsum(lengths, out=offsets[1:])
        places = np.repeat(self.starts - offsets[:-1], lengths)
        places += np.arange(offsets[-1])
        return self.buffer[places], offsets

    def strings(self, missing: np.ndarray | None = None) -> pa.Array:
        """The pieces as an Arrow array of strings (n,). The block must be UTF-8.

        Args:
            missing: which of them are none, bool (n,).
        """
        data, offsets = self.joined
        valid = None
        if missing is not None and missing.any():
            valid = pa.py_buffer(np.packbits(~missing, bitorder="little"))
        return pa.StringArray.from_buffers(
            len(self), pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(data), valid
        )

    def within(self, letters: np.ndarray) -> np.ndarray:
        """Which pieces have bytes, and none but these, bool (n,).

        Args:
            letters: of every byte, whether it is one of them, bool (256,).
        """
        good: np.ndarray = self.lengths > 0
        data, offsets = self.joined
        odd = np.flatnonzero(~letters[data])
        if len(odd):
            good[np.searchsorted(offsets, odd, side="right") - 1] = False
        return good

    def split(self, byte: int) -> tuple["Spans", np.ndarray]:
        """The pieces cut at a byte: the parts, and how many each has, int64 (n,), at least 1."""
        data, offsets = self.joined
        marks = np.flatnonzero(data == byte)
        owner = np.searchsorted(offsets, marks, side="right") - 1
        counts = np.bincount(owner, minlength=len(self)) + 1
        first = np.zeros(len(self) + 1, np.int64)
        np.cumsum(counts, out=first[1:])
        starts = np.empty(first[-1], np.int64)
        stops = np.empty(first[-1], np.int64)
        ranks = np.arange(len(marks)) + owner  # a piece has one part more than marks
        starts[first[:-1]] = offsets[:-1]
        stops[first[1:] - 1] = offsets[1:]
        stops[ranks] = marks
        starts[ranks + 1] = marks + 1
        return Spans(data, starts, stops), counts

    def integers(self) -> tuple[np.ndarray, np.ndarray]:
        """Values of decimal integers, int64 (n,), and which pieces are one, bool (n,)."""
        lengths = self.lengths
        values = np.zeros(len(self), np.int64)
        if not len(self) or not len(self.buffer):
            return values, np.zeros(len(self), bool)
        top = len(self.buffer) - 1
        sign = self.buffer[np.minimum(self.starts, top)]
        signed = (lengths > 0) & ((sign == ord("-")) | (sign == ord("+")))
        first = self.starts + signed
        digits = lengths - signed
        good = (digits > 0) & (digits <= MAX_DIGITS)
        for at in range(int(min(digits.max(), MAX_DIGITS))):
            within = at < digits
            byte = self.buffer[np.minimum(first + at, top)].astype(np.int64) - ord("0")
            good &= ~within | ((byte >= 0) & (byte <= 9))
            values = np.where(within, values * 10 + byte, values)
        values = np.where(signed & (sign == ord("-")), -values, values)
        return np.where(good, values, 0), good

    def floats(self) -> tuple[np.ndarray, np.ndarray]:
        """Values, float64 (n,), and which pieces are a number, bool (n,)."""
        data, _ = self.joined
        if _PLAIN[data].all():
            missing = self.equal(b".")
            try:
                return _numbers(self.strings(missing).cast(pa.float64())), ~missing
            except pa.ArrowInvalid:
                pass  # such as "-" and "1e": looked at one by one below
        text = self.strings()
        good = pc.match_substring_regex(text, FLOAT)
        # Arrow reads neither +1 nor INF.
        clean = pc.utf8_lower(pc.utf8_ltrim(pc.if_else(good, text, "nan"), "+"))
        try:
            values = _numbers(pc.cast(clean, pa.float64()))
        except pa.ArrowInvalid:  # 1e400 is a number, but none of a float64's
            values = np.array([float(one) for one in clean.to_pylist()])
        return values, _numbers(good)


def _numbers(column: pa.Array) -> np.ndarray:
    values: np.ndarray = column.to_numpy(zero_copy_only=False)
    return values


def bytes_of(letters: bytes) -> np.ndarray:
    """Of every byte, whether it is one of these, bool (256,)."""
    known = np.zeros(256, bool)
    known[np.frombuffer(letters, np.uint8)] = True
    return known


_PLAIN = bytes_of(b"0123456789.eE-")
# What VCF 4.3 calls a Float; Arrow and C read every one of them.
NUMBER = r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?"
NO_NUMBER = r"(?i:inf|infinity|nan)"
FLOAT = rf"^[-+]?(?:{NUMBER}|{NO_NUMBER})$"


@dataclass(frozen=True)
class Table:
    """Records of one block.

    Args:
        columns: as many spans as the header has fixed columns, 8 or 9; each (records,).
        calls: where the samples' part of each record lies; empty spans where there are none.
        tabs: positions of the tabs between samples, int64 (records, samples - 1).
        numbers: each record's line, int64 (records,).
    """

    columns: list[Spans]
    calls: Spans
    tabs: np.ndarray
    numbers: np.ndarray

    def __len__(self) -> int:
        return len(self.numbers)

    @cached_property
    def positions(self) -> tuple[np.ndarray, np.ndarray]:
        """POS, int64 (records,), and where it is a number, bool (records,)."""
        return self.columns[1].integers()

    def __getitem__(self, rows: np.ndarray) -> "Table":
        columns = [column[rows] for column in self.columns]
        return Table(columns, self.calls[rows], self.tabs[rows], self.numbers[rows])


def table_of(
    block: bytes, columns: int, first: int, head: int = 0
) -> tuple[Table, np.ndarray, int]:
    """A block of whole lines as columns.

    Args:
        block: text; its last line may lack the newline.
        columns: that every record must have: 8, 9 with FORMAT alone, or 10 and more.
        first: number of the block's first line.
        head: number of the header's last line.

    Returns:
        The records that have as many columns; the numbers of the lines that have not, or that begin
        like the header's, int64; and the number of lines.
    """
    if not block.endswith(b"\n"):
        block += b"\n"
    if b"\r\n" in block:
        block = block.replace(b"\r\n", b"\n")
    buffer = np.frombuffer(block, np.uint8)
    stops = np.flatnonzero(buffer == NEWLINE)
    starts = np.concatenate(([0], stops[:-1] + 1))
    tabs = np.flatnonzero(buffer == TAB)
    at = np.searchsorted(tabs, starts)
    many = np.searchsorted(tabs, stops) - at
    numbers = first + np.arange(len(starts))
    data = numbers > head
    whole = data & (many == columns - 1) & (buffer[starts] != ord("#"))
    bad = numbers[data & ~whole]
    starts, stops, at = starts[whole], stops[whole], at[whole]
    between = (
        tabs[at[:, None] + np.arange(columns - 1)]
        if len(at)
        else np.zeros((0, columns - 1), np.int64)
    )
    fixed = 8 if columns == 8 else 9
    spans = []
    for number in range(fixed):
        low = starts if number == 0 else between[:, number - 1] + 1
        high = stops if number == columns - 1 else between[:, number]
        spans.append(Spans(buffer, low, high))
    begin = between[:, 8] + 1 if columns > 9 else stops
    table = Table(spans, Spans(buffer, begin, stops), between[:, 9:], numbers[whole])
    return table, bad, len(data)
