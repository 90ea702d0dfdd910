"""Expression as CSV or TSV, cells x genes or genes x cells."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from medray.errors import DataError
from medray.formats import delimited
from medray.formats.expression.matrices import BLOCK_BYTES, Block, Matrix, Survey, cuts

MAX_CUTS = 16


class CellLines(Matrix):
    """A line per cell, whose id comes first; then genes, and columns that are none.

    Args:
        path: of the file.
        other: columns that are no genes.
    """

    def __init__(self, path: Path, other: Sequence[str]) -> None:
        self.path, self.other = path, other

    def survey(self) -> Survey:
        """See Matrix."""
        top = delimited.head(self.path, header=True, loose=True)
        found = delimited.scan(self.path, header=True, loose=True, key=top.names[0])
        twice = [name for name in self.other if top.names.count(name) > 1]
        if twice:
            raise DataError(f"column {twice[0]!r} stands there twice", code="duplicate-column")
        lacking = [name for name in self.other if name not in top.names]
        if lacking:
            raise DataError(f"there is no column {lacking[0]!r}", code="no-such-column")
        ends = [piece.row + piece.rows for piece in found.pieces]
        digests = [piece.digest for piece in found.pieces]
        if top.packed:
            step = -(-len(ends) // MAX_CUTS)
            groups = [slice(at, at + step) for at in range(0, len(ends), step)]
            digests = [delimited.fingerprint(digests[group]) for group in groups]
            ends = [ends[group][-1] for group in groups]
        names = tuple(top.names[at] for at in self._genes(top.names))
        about = delimited.fingerprint(top.names)
        marked = tuple(delimited.fingerprint([about, one]) for one in digests)
        return Survey(names, found.keys, marked, tuple(ends))

    def blocks(self, start: int, stop: int) -> Iterator[Block]:
        """See Matrix."""
        top = delimited.head(self.path, header=True, loose=True)
        places = self._genes(top.names)
        other = {name: top.names.index(name) for name in self.other}
        line, offset = top.first
        rows = delimited.read(
            self.path, range(start, stop), top.delimiter, row=0, line=line, offset=offset
        )
        for row in rows:
            values = _numbers(row, [row.cells[at] for at in places], len(top.names))
            known = {name: row.cells[at].strip() for name, at in other.items()}
            yield Block([row.cells[0].strip()], values[None], [known])

    def _genes(self, names: Sequence[str]) -> list[int]:
        return [at for at, name in enumerate(names) if at and name not in self.other]


class GeneLines(Matrix):
    """A line per gene, whose name comes first; then a column per cell.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def survey(self) -> Survey:
        """See Matrix."""
        top = delimited.head(self.path, header=True, loose=True)
        found = delimited.scan(self.path, header=True, loose=True, key=top.names[0])
        cells = len(top.names) - 1
        # A float32 (genes, cells) is held; and the file is gone through once for each range.
        step = max(1, BLOCK_BYTES // (4 * found.rows), -(-cells // MAX_CUTS))
        cut = cuts(cells, step)
        return Survey(found.keys, top.names[1:], (found.digest,) * len(cut), cut)

    def blocks(self, start: int, stop: int) -> Iterator[Block]:
        """See Matrix."""
        top = delimited.head(self.path, header=True, loose=True)
        line, offset = top.first
        rows = delimited.read(self.path, None, top.delimiter, row=0, line=line, offset=offset)
        genes = [_numbers(row, row.cells[start + 1 : stop + 1], len(top.names)) for row in rows]
        cells = top.names[start + 1 : stop + 1]
        yield Block(cells, np.ascontiguousarray(np.stack(genes).T), [{} for _ in cells])


def _numbers(row: delimited.Row, cells: Sequence[str], columns: int) -> np.ndarray:
    if len(row.cells) != columns:
        raise DataError(
            f"line {row.line} has {len(row.cells)} cells where {columns} belong", code="ragged-row"
        )
    try:
        values = delimited.numbers(cells)
    except ValueError as error:
        raise DataError(
            f"line {row.line} holds a cell that is no finite number",
            code="not-a-number",
            hint="`observations` takes columns that are no genes",
        ) from error
    if np.isnan(values).any():
        raise DataError(f"line {row.line} lacks values", code="missing-values")
    return values
