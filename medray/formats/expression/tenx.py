"""10x Genomics' count matrices: the folder of three files, and the HDF5 file (Cell Ranger 3 on).

https://www.10xgenomics.com/support/software/cell-ranger/latest/analysis/outputs/cr-outputs-mex-matrices
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
from blake3 import blake3

from medray.errors import DataError
from medray.formats.expression.matrices import Block, Faults, Matrix, Survey, cuts, dense, digest_of
from medray.formats.tabular import delimited
from medray.formats.tabular.hdf5 import (
    ends_of_rows,
    examine,
    member,
    numbers_at,
    opened,
    texts_at,
)
from medray.formats.tabular.text import BOM

CELLS = 1024  # read together
MAX_CUTS = 16
TEXT_BYTES = 16 * 2**20
VALUES = (b"integer", b"unsigned-integer", b"real", b"double", b"pattern")
_BLANKS = re.compile(rb"[ \t\r\f\v]+")
_ENDS = re.compile(rb" ?\n(?: |\n|%[^\n]*)*")  # of lines, with empty ones and comments


class Folder(Matrix):
    """matrix.mtx (genes x cells), barcodes.tsv, features.tsv or genes.tsv.

    Args:
        matrix, barcodes, features: the files, gzipped or not.
        symbols: genes are called by their symbols.
        types: kinds of features to take; empty takes all.
    """

    def __init__(
        self, matrix: Path, barcodes: Path, features: Path, *, symbols: bool, types: Sequence[str]
    ) -> None:
        self.matrix, self.barcodes, self.features = matrix, barcodes, features
        self.symbols, self.types = symbols, types

    def survey(self) -> Survey:
        """See Matrix."""
        cells = tuple(row.cells[0].strip() for row in delimited.read_all(self.barcodes))
        names, chosen = self._genes()
        rows, columns, *_ = _head(self.matrix)
        if (rows, columns) != (len(names), len(cells)):
            raise DataError(
                f"the matrix is {rows} x {columns}, for {len(names)} genes and {len(cells)} cells",
                code="uneven-matrix",
            )
        cut = cuts(columns, max(CELLS, -(-columns // MAX_CUTS)))
        digest = blake3(max_threads=1).update_mmap(self.matrix).hexdigest()
        about = digest_of(digest, *names, *cells)
        return Survey(tuple(names[at] for at in chosen), cells, (about,) * len(cut), cut)

    def blocks(self, start: int, stop: int) -> Iterator[Block]:
        """See Matrix. All of the file is gone through."""
        names, chosen = self._genes()
        genes, cells, values = _entries(self.matrix, start + 1, stop + 1)
        order = np.argsort(cells, kind="stable")
        ends = np.searchsorted(cells[order], np.arange(start + 1, stop + 2))
        faults: Faults = {}
        whole = dense(values[order], genes[order] - 1, ends, len(names), faults)
        named = [row.cells[0].strip() for row in delimited.read_all(self.barcodes)][start:stop]
        yield Block(named, np.ascontiguousarray(whole[:, chosen]), [{} for _ in named], faults)

    def _genes(self) -> tuple[list[str], list[int]]:
        rows = [[c.strip() for c in row.cells] for row in delimited.read_all(self.features)]
        kind = [row[2] if len(row) > 2 else "" for row in rows]
        chosen = [
            at for at, one in enumerate(kind) if not (self.types and one) or one in self.types
        ]
        if self.symbols and any(len(row) < 2 for row in rows):
            raise DataError("the features have no symbols", code="no-symbols")
        return [row[1 if self.symbols else 0] for row in rows], chosen


class File(Matrix):
    """The HDF5 file: a group `matrix` with the columns of a genes x cells matrix.

    Args:
        path: of the file.
        symbols: genes are called by their symbols.
        types: kinds of features to take; empty takes all.
    """

    def __init__(self, path: Path, *, symbols: bool, types: Sequence[str]) -> None:
        self.path, self.symbols, self.types = path, symbols, types

    def survey(self) -> Survey:
        """See Matrix."""
        examine(self.path)
        with opened(self.path) as file:
            cells = texts_at(file, "matrix/barcodes")
            names, chosen = self._genes(file)
            shape = numbers_at(file, "matrix/shape")
            if shape.tolist() != [len(names), len(cells)]:
                raise DataError("the matrix has another shape than its names", code="uneven-matrix")
            ends_of_rows(file, "matrix/indptr", len(cells))
            for name in ("data", "indices"):
                member(file, f"matrix/{name}")
        cut = cuts(len(cells), CELLS)
        digest = blake3(max_threads=1).update_mmap(self.path).hexdigest()
        return Survey(tuple(names[at] for at in chosen), tuple(cells), (digest,) * len(cut), cut)

    def blocks(self, start: int, stop: int) -> Iterator[Block]:
        """See Matrix."""
        with opened(self.path) as file:
            names, chosen = self._genes(file)
            ends = ends_of_rows(file, "matrix/indptr", None)[start : stop + 1]
            values = numbers_at(file, "matrix/data", int(ends[0]), int(ends[-1]))
            genes = numbers_at(file, "matrix/indices", int(ends[0]), int(ends[-1]))
            cells = texts_at(file, "matrix/barcodes", start, stop)
        faults: Faults = {}
        whole = dense(values, genes, ends - ends[0], len(names), faults)
        yield Block(cells, np.ascontiguousarray(whole[:, chosen]), [{} for _ in cells], faults)

    def _genes(self, file: Any) -> tuple[list[str], list[int]]:
        names = texts_at(file, f"matrix/features/{'name' if self.symbols else 'id'}")
        kind = texts_at(file, "matrix/features/feature_type")
        if len(kind) != len(names):
            raise DataError("the matrix has another shape than its names", code="uneven-matrix")
        return names, [at for at, one in enumerate(kind) if not self.types or one in self.types]


def _head(path: Path) -> tuple[int, int, int, bool]:
    with delimited.opened(path) as (file, _):
        return _size(file)


def _size(file: IO[bytes]) -> tuple[int, int, int, bool]:
    """Rows, columns, entries of a coordinate matrix, and whether these have values, else 1.

    The stream stands behind them.
    """
    first = file.readline(1024).removeprefix(BOM).lower().split()
    whole = len(first) == 5 and first[:3] == [b"%%matrixmarket", b"matrix", b"coordinate"]
    if not whole or first[3] not in VALUES or first[4] != b"general":
        raise DataError("the file is no general coordinate MatrixMarket of numbers", code="not-mtx")
    line = file.readline(2**16)
    while line and (not line.strip() or line.lstrip().startswith(b"%")):
        line = file.readline(2**16)
    try:
        rows, columns, entries = (int(part) for part in line.split())
    except ValueError as error:
        raise DataError("the matrix does not say its size", code="not-mtx") from error
    return rows, columns, entries, first[3] != b"pattern"


def _entries(path: Path, first: int, last: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, columns and values of the entries in columns from `first` to before `last`."""
    kept = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))]
    counted = 0
    with delimited.opened(path) as (file, _):
        _, columns, entries, valued = _size(file)
        while text := file.read(TEXT_BYTES):
            text += file.readline(2**16)
            genes, cells, values = _parsed(text, valued=valued)
            counted += len(genes)
            if len(cells) and not 1 <= int(cells.min()) <= int(cells.max()) <= columns:
                raise DataError("places of the matrix are out of its range", code="damaged-matrix")
            inside = (cells >= first) & (cells < last)
            kept.append((genes[inside], cells[inside], values[inside]))
    if counted != entries:
        raise DataError(f"the matrix has {counted} of {entries} entries", code="damaged-matrix")
    genes, cells, values = (np.concatenate([one[at] for one in kept]) for at in range(3))
    return genes, cells, values


def _parsed(text: bytes, *, valued: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, columns and values of whole lines, whatever blanks stand between and around them."""
    try:
        return _columns(text, valued=valued)
    except (pa.ArrowException, ValueError):
        plain = _BLANKS.sub(b" ", text)
        plain = _ENDS.sub(b"\n", b"\n" + plain + b"\n").lstrip(b"\n")
    try:
        return _columns(plain, valued=valued)
    except (pa.ArrowException, ValueError) as error:
        raise DataError("an entry is not two numbers and a value", code="damaged-matrix") from error


def _columns(text: bytes, *, valued: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    types = {"g": pa.int64(), "c": pa.int64()}
    if valued:
        types["v"] = pa.float64()
    if not text.strip():
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
    table = pa_csv.read_csv(
        pa.BufferReader(text),
        pa_csv.ReadOptions(use_threads=False, column_names=list(types)),
        pa_csv.ParseOptions(delimiter=" "),
        pa_csv.ConvertOptions(column_types=types, null_values=[]),
    )
    genes, cells = table["g"].to_numpy(), table["c"].to_numpy()
    return genes, cells, table["v"].to_numpy() if valued else np.ones(len(genes))
