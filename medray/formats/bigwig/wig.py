"""Wiggle text, fixedStep and variableStep: positions from 1, a value each for `span` bases."""

from array import array
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from medray.errors import DataError
from medray.formats.tabular.text import BOM, MAX_LINE, blocks, require_lines

MAX_BASES = 2**29  # of a contig whose length nobody declares: its bins are held whole
MAX_SPAN = 2**20
BATCH = 2**16


class Wig:
    """A file of wiggle text, which has no index.

    Args:
        path: of it.
        place: where the lines of a contig lie, as `survey` says: start and bytes of the text.
    """

    def __init__(self, path: Path, place: tuple[int, int] | None = None) -> None:
        self._path, self._place = path, place

    def survey(self) -> dict[str, tuple[int, int, int]]:
        """The contigs: end of the last base that has a value; where its lines begin, and end.

        A line that holds no value is left to whoever reads its contig: the others are sound.

        Raises:
            DataError: "bad-wig" of a declaration, and as `medray.formats.tabular.text`.
        """
        found: dict[str, tuple[int, int, int]] = {}
        begin, at = 0, [0]
        for contig, starts, span, _ in self._batches(None, at, lenient=True):
            end, first, _ = found.get(contig, (0, begin, 0))
            found[contig] = max(end, int(starts.max()) + span), first, at[0]
            begin = at[0]
        if not found:
            raise DataError("the file has no values", code="empty-file")
        return found

    def bins(self, contig: str, length: int, width: int, empty: float) -> Iterator[np.ndarray]:
        """Means of the values in each bin, float32 (bins,), all at once.

        Args:
            contig: asked for.
            length: its bases; values beyond them are refused.
            width: bases of a bin.
            empty: of bases without a value: NaN leaves them out of the means, 0 counts them as 0.

        Raises:
            DataError: as `contigs`, "out-of-range", and "overlapping-values".
        """
        count = -(-length // width)
        total, covered = np.zeros(count), np.zeros(count, np.int64)
        extents = array("q")
        for _, starts, span, values in self._batches(contig):
            if int(starts.max()) + span > length:
                raise DataError("a value lies beyond the contig's end", code="out-of-range")
            if (np.diff(np.sort(starts)) < span).any():
                raise _overlap()
            extents.extend((int(starts.min()), int(starts.max()) + span))
            rows = max(1, BATCH // span)
            for at in range(0, len(starts), rows):
                bases = starts[at : at + rows, None] + np.arange(span)
                np.add.at(total, bases // width, values[at : at + rows, None])
                np.add.at(covered, bases // width, 1)
        covering = np.array(extents, np.int64).reshape(-1, 2)
        covering = covering[covering[:, 0].argsort()]
        if (covering[1:, 0] < covering[:-1, 1]).any():
            raise _overlap()
        bases = np.minimum(np.arange(1, count + 1) * width, length) - np.arange(count) * width
        with np.errstate(invalid="ignore"):
            yield (total / (covered if np.isnan(empty) else bases)).astype(np.float32)

    def _batches(
        self, wanted: str | None, at: list[int] | None = None, *, lenient: bool = False
    ) -> Iterator[tuple[str, np.ndarray, int, np.ndarray]]:
        """Contig, first bases (from 0), span and values of lines that have those in common.

        Args:
            wanted: this contig alone; None: all.
            at: bytes of text up to the batch's end are written here.
            lenient: a line that holds no value counts as a 0 at the contig's first base.
        """
        contig, place, step, span = "", 0, 0, 1
        starts: list[int] = []
        values: list[float] = []
        at = [0] if at is None else at
        for before, after, line in self._lines():
            if line[:1] in (b"f", b"v"):
                at[0] = before
                if starts:
                    yield contig, np.array(starts), span, np.array(values)
                    starts, values = [], []
                contig, place, step, span = _declared(line)
            elif line and line[:1] != b"#" and not line.startswith((b"track", b"browser")):
                if not contig:
                    raise DataError("values before their declaration", code="bad-wig")
                if wanted not in (None, contig):
                    continue
                try:
                    position, value = _value(line, place, step)
                except DataError:
                    if not lenient:
                        raise
                    position, value = 0, 0.0
                place += step
                starts.append(position)
                values.append(value)
                if len(starts) == BATCH:
                    at[0] = after
                    yield contig, np.array(starts), span, np.array(values)
                    starts, values = [], []
        at[0] = 2**62
        if starts:
            yield contig, np.array(starts), span, np.array(values)

    def _lines(self) -> Iterator[tuple[int, int, bytes]]:
        """How much text there is before each line and up to its end, and it without blanks."""
        start, stop = self._place or (0, None)
        tail, before = b"", start
        for block in blocks(self._path, start, None if stop is None else stop - start):
            if not before:
                require_lines(block)
            *whole, tail = (tail + block).split(b"\n")
            for line in whole:
                after = before + len(line) + 1
                yield before, after, line.removeprefix(BOM).strip()
                before = after
            if len(tail) > MAX_LINE:
                raise DataError("a line has more than a MiB", code="long-line")
        if tail:
            yield before, before + len(tail), tail.removeprefix(BOM).strip()


def _overlap() -> DataError:
    # wigToBigWig refuses them too: means over bins would count a base twice.
    return DataError(
        "a base has two values, or parts of the file lie in one another",
        code="overlapping-values",
        hint="sort the file, and leave one value for each base",
    )


def _declared(line: bytes) -> tuple[str, int, int, int]:
    """Contig, first base (from 0), step (0: every line has its own position) and span."""
    kind, *words = line.split()
    fields = dict(word.split(b"=", 1) for word in words if b"=" in word)
    fixed = kind == b"fixedStep"
    try:
        contig = fields[b"chrom"].decode("utf-8")
        at = int(fields[b"start"]) - 1 if fixed else 0
        step = int(fields.get(b"step", 1)) if fixed else 0
        span = int(fields.get(b"span", 1))
    except (KeyError, ValueError) as error:
        raise DataError("a declaration can't be read", code="bad-wig") from error
    sound = contig and at >= 0 and step >= int(fixed) and 1 <= span <= MAX_SPAN
    if not sound or kind not in (b"fixedStep", b"variableStep"):
        raise DataError("a declaration can't be read", code="bad-wig")
    return contig, at, step, span


def _value(line: bytes, at: int, step: int) -> tuple[int, float]:
    words = line.split()
    try:
        position, value = (at, words[0]) if step else (int(words[0]) - 1, words[1])
        number = float(value)
    except (ValueError, IndexError) as error:
        raise DataError("a line holds no value", code="bad-wig") from error
    if not 0 <= position < 2**32 or not abs(number) < np.inf:
        raise DataError("a position or value is out of range", code="bad-wig")
    return position, number
