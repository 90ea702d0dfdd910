"""Tables as their rows are read: a stretch at a time, every cell a text, nothing guessed."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from blake3 import blake3

from medray.errors import DataError
from medray.formats.tabular import delimited

SUFFIXES = (*delimited.SUFFIXES, ".parquet")
STRETCH = 2**16  # rows that are read together
MOST_JOINED = 5_000_000  # rows of a table that others are joined by; it is held whole
_PIECES = STRETCH // delimited.PIECE_ROWS
_PACKED_STRETCHES = 16  # of a packed file, each of which unpacks all before it
_DAMAGE = (pa.ArrowException, OSError, ValueError)
T = TypeVar("T")


@dataclass(frozen=True)
class Stretch:
    """Rows of a table on end.

    Args:
        row: number of the first, from 0.
        rows: how many.
        line: of the file that the first stands on; 0 where there are no lines.
        offset: of that line, in unpacked bytes.
        digest: of the rows, or of all of the file.
    """

    row: int
    rows: int
    line: int
    offset: int
    digest: str


@dataclass(frozen=True)
class Bad:
    """A row that can't be read.

    Args:
        row: its number, from 0.
        error: what is wrong.
    """

    row: int
    error: DataError


@dataclass(frozen=True)
class Cells:
    """Rows that were read.

    Args:
        columns: texts by lower-case name, None where the cell holds nothing.
        rows: number of each row, int64 (rows,).
        bad: rows that were not.
    """

    columns: Mapping[str, pa.StringArray]
    rows: np.ndarray
    bad: Sequence[Bad]


class Sheet(ABC):
    """One file of a table.

    Args:
        path: of it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """Of the columns, as the file has them.

        Raises:
            DataError: it is no table.
        """

    def bare(self) -> bool:
        """Whether it has a header, and no row."""
        return False

    @abstractmethod
    def stretches(self) -> list[Stretch]:
        """All rows, in order.

        Raises:
            DataError: as `names`.
        """

    @abstractmethod
    def read(self, stretch: Stretch, wanted: Sequence[str], missing: frozenset[str]) -> Cells:
        """Some columns of a stretch.

        Args:
            stretch: of `stretches`.
            wanted: lower-case names of columns.
            missing: cells that hold nothing.

        Raises:
            DataError: the file is damaged, or not as it was planned ("changed").
        """

    def floats(self, name: str) -> bool:
        """Whether a column holds floats, which no id is: from 2**53 on two would be one."""
        return False

    def places(self, wanted: Sequence[str]) -> dict[str, int]:
        """Where each column stands, by its lower-case name.

        Raises:
            DataError: one is not there ("no-such-column"), or two differ in case alone
                ("duplicate-column").
        """
        names = [name.strip().lower() for name in self.names()]
        found = {}
        for name in wanted:
            if name not in names:
                raise DataError(
                    f"there is no column {name!r}",
                    code="no-such-column",
                    hint=f"columns: {', '.join(names)}",
                )
            if names.count(name) > 1:
                raise DataError(f"two columns are called {name!r}", code="duplicate-column")
            found[name] = names.index(name)
        return found


class Delimited(Sheet):
    """CSV and its kin. A line that is no row is a bad row by itself; blank lines are none."""

    def names(self) -> tuple[str, ...]:
        """See Sheet."""
        return delimited.head(self.path, header=True).names

    def bare(self) -> bool:
        """See Sheet."""
        found = delimited.scan(self.path, header=False)
        return found.rows == 1

    def stretches(self) -> list[Stretch]:
        """See Sheet."""
        found = delimited.scan(self.path, header=True)
        many = _PIECES
        if found.head.packed:
            many = max(many, -(-len(found.pieces) // _PACKED_STRETCHES))
        about = delimited.fingerprint(found.head.names)
        made = []
        for first in range(0, len(found.pieces), many):
            part = found.pieces[first : first + many]
            digest = delimited.fingerprint([about, *(one.digest for one in part)])
            rows = sum(one.rows for one in part)
            made.append(Stretch(part[0].row, rows, part[0].line, part[0].offset, digest))
        return made

    def read(self, stretch: Stretch, wanted: Sequence[str], missing: frozenset[str]) -> Cells:
        """See Sheet."""
        top = delimited.head(self.path, header=True)
        places = self.places(wanted)
        good: list[list[str]] = []
        rows: list[int] = []
        bad: list[Bad] = []
        for number, line, text in self._lines(stretch):
            try:
                cells = delimited.parse(text, top.delimiter, line)
                if len(cells) != len(top.names):
                    what = f"{len(cells)} cells where {len(top.names)} belong"
                    raise DataError(f"line {line} has {what}", code="ragged-row")
            except DataError as error:
                bad.append(Bad(number, error))
            else:
                good.append(cells)
                rows.append(number)
        columns = list(zip(*good, strict=True)) or [()] * len(top.names)
        made = {name: _texts(columns[at], missing) for name, at in places.items()}
        return Cells(made, np.array(rows, np.int64), bad)

    def _lines(self, stretch: Stretch) -> Iterator[tuple[int, int, bytes]]:
        row, end = stretch.row, stretch.row + stretch.rows
        with delimited.opened(self.path) as (file, _):
            if file.seek(stretch.offset) != stretch.offset:
                raise _changed()
            line = stretch.line
            while row < end:
                text = file.readline(delimited.MAX_LINE)
                if not text:
                    raise _changed()
                if len(text) == delimited.MAX_LINE:
                    raise DataError("a line is longer than 64 MiB", code="long-line")
                if text.strip():
                    yield row, line, text
                    row += 1
                line += 1


class Parquet(Sheet):
    """Apache Parquet: whole numbers as ids are exact, floats are refused as such."""

    def names(self) -> tuple[str, ...]:
        """See Sheet."""
        return tuple(self._with(lambda file: file.schema_arrow.names))

    def stretches(self) -> list[Stretch]:
        """See Sheet."""
        rows = self._with(lambda file: file.metadata.num_rows)
        if not rows:
            raise DataError("the table holds no row", code="empty-table")
        digest = blake3(max_threads=1).update_mmap(self.path).hexdigest()
        starts = range(0, rows, STRETCH)
        return [Stretch(at, min(STRETCH, rows - at), 0, 0, digest) for at in starts]

    def read(self, stretch: Stretch, wanted: Sequence[str], missing: frozenset[str]) -> Cells:
        """See Sheet."""
        names = self.names()
        places = self.places(wanted)

        def load(file: pq.ParquetFile) -> pa.Table:
            number, tables = 0, []
            for group in range(file.metadata.num_row_groups):
                size = file.metadata.row_group(group).num_rows
                low = max(stretch.row - number, 0)
                high = min(stretch.row + stretch.rows - number, size)
                if low < high:
                    chosen = [names[at] for at in dict.fromkeys(places.values())]
                    table = file.read_row_group(group, chosen, use_threads=False)
                    tables.append(table.slice(low, high - low))
                number += size
            if number < stretch.row + stretch.rows:
                raise _changed()
            return pa.concat_tables(tables)

        table = self._with(load)
        made = {}
        for name, at in places.items():
            column = table[names[at]].combine_chunks()
            try:
                texts = column.cast(pa.string())
            except _DAMAGE as error:
                raise DataError(
                    f"column {name!r} is {column.type}, which is no text", code="not-text"
                ) from error
            values = pa.array(sorted(missing), pa.string())
            made[name] = pc.if_else(pc.is_in(texts, values), pa.scalar(None, pa.string()), texts)
        return Cells(made, np.arange(stretch.row, stretch.row + stretch.rows), [])

    def floats(self, name: str) -> bool:
        """See Sheet."""
        at = self.places([name])[name]
        kind = self._with(lambda file: file.schema_arrow.types[at])
        return bool(pa.types.is_floating(kind) or pa.types.is_decimal(kind))

    def _with(self, look: Callable[[pq.ParquetFile], T]) -> T:
        try:
            with pq.ParquetFile(self.path) as file:
                return look(file)
        except _DAMAGE as error:
            raise DataError("the Parquet file cannot be read", code="damaged-table") from error


def rounded(ids: pa.StringArray) -> np.ndarray:
    """Which ids a spreadsheet has made a number of, and cut: 1.23457E+15, bool (rows,)."""
    found = pc.fill_null(pc.match_substring_regex(ids, r"^\d([.,]\d+)?E\+\d+$"), False)
    made: np.ndarray = found.to_numpy(zero_copy_only=False)
    return made


def sheet(path: Path) -> Sheet:
    """The reader of a file, by its name."""
    return (Parquet if path.name.lower().endswith(".parquet") else Delimited)(path)


def _texts(cells: Sequence[str], missing: frozenset[str]) -> pa.StringArray:
    stripped = map(str.strip, cells)
    return pa.array([None if cell in missing else cell for cell in stripped], pa.string())


def _changed() -> DataError:
    return DataError("the table is shorter than when it was planned", code="changed")
