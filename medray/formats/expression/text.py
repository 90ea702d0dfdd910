"""Expression as CSV or TSV, cells x genes or genes x cells."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from medray.errors import DataError
from medray.formats.expression.matrices import BLOCK_BYTES, Block, Faults, Matrix, Survey, cuts
from medray.formats.tabular import delimited
from medray.formats.tabular.numbers import numbers

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
            named = [row.cells[0].strip()]
            try:
                _check_even(row, len(top.names))
                found = Faults()
                values = _numbers(row, [row.cells[at] for at in places], found)
                if found:
                    raise found[min(found)]
            except DataError as error:
                nothing = np.zeros((1, len(places)), np.float32)
                yield Block(named, nothing, [{}], {0: error})
            else:
                known = {name: row.cells[at].strip() for name, at in other.items()}
                yield Block(named, values[None], [known])

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
        genes, faults = list[np.ndarray](), Faults()
        for row in rows:
            _check_even(row, len(top.names))  # of a line that is uneven nobody knows whose it is
            genes.append(_numbers(row, row.cells[start + 1 : stop + 1], faults))
        cells = top.names[start + 1 : stop + 1]
        values = np.ascontiguousarray(np.stack(genes).T)
        yield Block(cells, values, [{} for _ in cells], faults)


def _check_even(row: delimited.Row, columns: int) -> None:
    if len(row.cells) != columns:
        raise DataError(
            f"line {row.line} has {len(row.cells)} cells where {columns} belong", code="ragged-row"
        )


def _numbers(row: delimited.Row, cells: Sequence[str], faults: Faults) -> np.ndarray:
    """Values of a line; what is none is a fault under its place."""
    cells = list(cells)
    while True:
        try:
            values = numbers(cells)
        except ValueError as error:
            at = int(error.args[0])
            reason = f"line {row.line} holds a cell that is no finite number"
            hint = "`observations` takes columns that are no genes"
            faults.setdefault(at, DataError(reason, code="not-a-number", hint=hint))
            cells[at] = "0"
        else:
            break
    for at in np.flatnonzero(np.isnan(values)).tolist():
        reason = f"line {row.line} lacks values"
        faults.setdefault(at, DataError(reason, code="missing-values"))
    return values
