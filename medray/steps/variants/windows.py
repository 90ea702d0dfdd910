"""Windows around variants: what a network is to see of the reference, and of each allele.

A window of `length` bases begins length // 2 bases before the first base of REF (POS), whatever
the alleles. So all alleles at a position, of one record or of several, share one reference window,
which is built and computed once. An allele's window is the reference with REF replaced by ALT: up
to POS it is the reference's, and what an insertion pushes out or a deletion pulls in is made up for
at the right end, from the genome. Both forms of a variant that normalisation maps to each other
(Tan et al. 2015) give the same haplotype, seen through windows as far apart as their positions.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.lib.stride_tricks import sliding_window_view

from medray.formats.genomics.alphabet import encode

Status = Literal["ok", "ref_mismatch", "contains_n", "edge", "symbolic", "too_long", "nan"]
STATUSES: tuple[Status, ...] = (
    "ok",
    "ref_mismatch",
    "contains_n",
    "edge",
    "symbolic",
    "too_long",
    "nan",
)
OK, REF_MISMATCH, CONTAINS_N, EDGE, SYMBOLIC, TOO_LONG, NAN = range(len(STATUSES))
UNKNOWN = 4  # the code of N

_LITERAL = np.zeros(256, bool)
_LITERAL[list(b"ACGTUNRYSWKMBDHVacgtunryswkmbdhv")] = True


@dataclass(frozen=True)
class Alleles:
    """Alleles of many variants as codes, one after the other.

    Args:
        codes: uint8, of all of them.
        starts: int64 (n + 1,), where each begins, and where the last one ends.
        literal: bool (n,), whether it is made of letters of bases and nothing else: "<DEL>", "*",
            "." and breakends are not.
    """

    codes: np.ndarray
    starts: np.ndarray
    literal: np.ndarray

    @classmethod
    def of(cls, column: "pa.Array | pa.ChunkedArray") -> "Alleles":
        """From a column of text; what is null or empty is not literal."""
        if isinstance(column, pa.ChunkedArray):
            column = column.combine_chunks()
        column = column.cast(pa.large_string()).fill_null("")
        _, ends, letters = column.buffers()
        starts = np.frombuffer(ends, np.int64)[column.offset : column.offset + len(column) + 1]
        raw = memoryview(letters or b"")[starts[0] : starts[-1]]
        starts = starts - starts[0]
        strange = _sums(~_LITERAL[np.frombuffer(raw, np.uint8)], starts)
        return cls(encode(bytes(raw)), starts, (strange == 0) & (np.diff(starts) > 0))

    def __len__(self) -> int:
        return len(self.literal)

    @property
    def lengths(self) -> np.ndarray:
        """Letters of each, int64 (n,)."""
        return np.diff(self.starts)

    def spread(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The letters of some alleles: position in `rows`, offset in the allele, code."""
        lengths = self.lengths[rows]
        which = np.repeat(np.arange(len(rows)), lengths)
        inside = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        return which, inside, self.codes[self.starts[rows][which] + inside]


@dataclass(frozen=True)
class Stretch:
    """A piece of a contig.

    Args:
        codes: uint8, with N where the piece leaves the contig.
        start: position on the contig of the first of them, 0-based; may be negative.
        contig: bases that the contig has.
        stated: the same as a VCF says them, uint8: a letter for several bases is the first of them
            (VCF 4.3, section 1.6.1), where `codes` have N; None: there are no such letters.
    """

    codes: np.ndarray
    start: int
    contig: int
    stated: np.ndarray | None = None


def reach(positions: np.ndarray, ref: Alleles, length: int) -> tuple[int, int]:
    """The stretch that the windows of these variants need: first base, and one past the last.

    Args:
        positions: int64 (n,), 1-based.
        ref: (n,).
        length: of a window.
    """
    if not len(positions):
        return 0, 0
    first = positions - 1 - length // 2
    last = first + length + np.minimum(ref.lengths, length)
    return int(first.min()), int(last.max())


class VariantWindows:
    """The windows of variants on one contig.

    Attributes:
        status: uint8 (n,), an index into STATUSES: what can be said before a network has answered.
            The first that holds of symbolic (an ALT or REF that is no sequence), too_long (an
            allele that its half of the window doesn't hold), ref_mismatch (REF is not what the
            genome has there; not scored, as these three), edge (a window leaves the contig: N
            beyond), contains_n (an unknown base in a window), ok.
        ref_match: bool (n,), whether REF is what the genome has there.
        contains_n: bool (n,).
        edge: bool (n,).
        scored: int64 (m,), the variants that have windows.
        references: int64 (u,), where on the contig the different reference windows begin.
        reference_of: int64 (m,), which of them belongs to each scored variant.

    Args:
        stretch: of the contig; covers `reach` of the variants.
        positions: POS, int64 (n,), 1-based.
        ref: REF, (n,).
        alt: one ALT each, (n,).
        length: of a window, in bases.
    """

    def __init__(
        self,
        stretch: Stretch,
        positions: np.ndarray,
        ref: Alleles,
        alt: Alleles,
        length: int,
    ) -> None:
        self.length = length
        self._stretch, self._alt = stretch, alt
        self._left = length // 2
        begins = positions.astype(np.int64) - 1
        first = begins - self._left
        right = length - self._left
        symbolic = ~(ref.literal & alt.literal)
        too_long = np.maximum(ref.lengths, alt.lengths) > right
        self.ref_match = self._matches(begins, ref)
        self._shift = ref.lengths - alt.lengths
        last = first + length + np.maximum(self._shift, 0)
        self.edge = (first < 0) | (last > stretch.contig)
        self.contains_n = self._unknown(first, last) | (_sums(alt.codes == UNKNOWN, alt.starts) > 0)
        self.status = np.select(
            [symbolic, too_long, ~self.ref_match, self.edge, self.contains_n],
            [SYMBOLIC, TOO_LONG, REF_MISMATCH, EDGE, CONTAINS_N],
            OK,
        ).astype(np.uint8)
        self.scored = np.flatnonzero(np.isin(self.status, (OK, CONTAINS_N, EDGE)))
        self.references, self.reference_of = np.unique(first[self.scored], return_inverse=True)

    def reference(self, which: slice | np.ndarray) -> np.ndarray:
        """Some of the different reference windows, uint8 (k, length)."""
        at = self.references[which] - self._stretch.start
        return _cut(self._stretch.codes, at, self.length)

    def alternative(self, which: slice | np.ndarray) -> np.ndarray:
        """The windows with ALT of some scored variants, uint8 (k, length)."""
        rows, left = self.scored[which], self._left
        at = self.references[self.reference_of[which]] - self._stretch.start
        codes = self._stretch.codes
        windows = np.empty((len(rows), self.length), np.uint8)
        windows[:, :left] = _cut(codes, at, left)
        # Behind the allele, column j shows what the reference window shows at j + the shift.
        behind = at + left + self._shift[rows]
        windows[:, left:] = _cut(codes, behind, self.length - left)
        which_row, inside, letters = self._alt.spread(rows)
        windows[which_row, left + inside] = letters
        return windows

    def _matches(self, begins: np.ndarray, ref: Alleles) -> np.ndarray:
        """Whether each REF lies on the contig and says what stands there."""
        stretch = self._stretch
        matches = (begins >= 0) & (begins + ref.lengths <= stretch.contig) & ref.literal
        lengths = ref.lengths
        at = np.repeat(begins - stretch.start - ref.starts[:-1], lengths)
        at += np.arange(len(ref.codes))
        there = np.clip(at, 0, max(0, len(stretch.codes) - 1))
        differs = (stretch.codes[there] if len(stretch.codes) else 0) != ref.codes
        if stretch.stated is not None and len(stretch.codes):
            differs &= stretch.stated[there] != ref.codes  # N is right too: some tools write it
        # A REF that reaches past the stretch is longer than a window: it is not scored anyway.
        matches &= _sums(differs & (at == there), ref.starts) == 0
        return np.asarray(matches)

    def _unknown(self, first: np.ndarray, last: np.ndarray) -> np.ndarray:
        """Whether an unknown base of the contig itself lies in [first, last) of each."""
        stretch = self._stretch
        unknown = np.flatnonzero(stretch.codes == UNKNOWN) + stretch.start
        bounds = (max(0, stretch.start), stretch.contig)
        inside = [np.searchsorted(unknown, np.clip(at, *bounds)) for at in (first, last)]
        return np.asarray(inside[1] > inside[0])


def _cut(codes: np.ndarray, at: np.ndarray, width: int) -> np.ndarray:
    """Pieces that begin at `at`, uint8 (k, width)."""
    if not len(at) or not width:
        return np.empty((len(at), width), np.uint8)
    pieces: np.ndarray = sliding_window_view(codes, width)[at]
    return pieces


def _sums(flags: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """How many flags are set in each run, int64 (n,); runs may be empty."""
    before = np.concatenate([[0], np.cumsum(flags)])
    return np.asarray(before[starts[1:]] - before[starts[:-1]])
