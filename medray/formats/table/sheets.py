"""One table, however it is written: surveyed once while planning, read row by row on workers."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from blake3 import blake3

from medray.errors import DataError
from medray.formats.tabular import delimited
from medray.formats.tabular.delimited import PIECE_ROWS

SUFFIXES = (*delimited.SUFFIXES, ".parquet")
Start = tuple[int, int, int]


@dataclass(frozen=True)
class Survey:
    """What a table is, without its values.

    Args:
        columns: names; of a transposed table, of its features.
        rows: samples in it.
        keys: the samples' ids, where they were asked for.
        digests: of each `PIECE_ROWS` rows.
        starts: (row, line, offset) of each of these, where reading may begin there.
        sequential: whether a row is reached by reading all before it.
    """

    columns: tuple[str, ...]
    rows: int
    keys: tuple[str, ...]
    digests: tuple[str, ...]
    starts: tuple[Start, ...]
    sequential: bool


@dataclass(frozen=True)
class Record:
    """One sample of a table.

    Args:
        number: of the row, from 0.
        place: where it stands, for complaints.
        known: values of columns that are no features, by name.
        features: float32 (F,), NaN where a value is missing.
    """

    number: int
    place: str
    known: dict[str, Any]
    features: np.ndarray


Found = tuple[int, Record | DataError]


class Sheet(ABC):
    """One file.

    Args:
        path: of it.
        header: whether its first line names the columns.
        known: columns that are no features.
    """

    def __init__(self, path: Path, known: Collection[str], *, header: bool) -> None:
        self.path, self.known, self.header = path, known, header

    @abstractmethod
    def survey(self, key: str | None) -> Survey:
        """Columns, rows and fingerprints; with the ids, if there is a column `key`.

        Raises:
            DataError: it is no table.
        """

    @abstractmethod
    def records(self, rows: Sequence[int], start: Start) -> Iterator[Found]:
        """The rows of these ascending numbers, or what is wrong with one of them.

        Raises:
            DataError: all of it is damaged.
        """

    def features(self, columns: Sequence[str]) -> list[int]:
        """Positions of the columns that are features."""
        return [at for at, name in enumerate(columns) if name not in self.known]


class Text(Sheet):
    """CSV and its kin: a line per sample."""

    def survey(self, key: str | None) -> Survey:
        """See Sheet."""
        names = delimited.head(self.path, header=self.header).names
        found = delimited.scan(self.path, header=self.header, key=key if key in names else None)
        about = delimited.fingerprint(names)
        return Survey(
            columns=names,
            rows=found.rows,
            keys=found.keys,
            digests=tuple(delimited.fingerprint([about, one.digest]) for one in found.pieces),
            starts=tuple((one.row, one.line, one.offset) for one in found.pieces),
            sequential=found.head.packed,
        )

    def records(self, rows: Sequence[int], start: Start) -> Iterator[Found]:
        """See Sheet."""
        top = delimited.head(self.path, header=self.header)
        places = self.features(top.names)
        known = {name: at for at, name in enumerate(top.names) if name in self.known}
        lines = delimited.read(
            self.path, rows, top.delimiter, row=start[0], line=start[1], offset=start[2]
        )
        for line in lines:
            place = f"line {line.line}"
            if len(line.cells) != len(top.names):
                yield line.number, _ragged(place, len(line.cells), len(top.names))
                continue
            try:
                values = delimited.numbers([line.cells[at] for at in places])
            except ValueError as error:
                yield line.number, _no_number(place, places[error.args[0]] + 1)
                continue
            told = {name: line.cells[at].strip() for name, at in known.items()}
            yield line.number, Record(line.number, place, told, values)


class Transposed(Sheet):
    """A line per feature, whose name comes first; a column per sample."""

    def survey(self, key: str | None) -> Survey:
        """See Sheet; the ids are the columns' names, whatever `key` is."""
        top = delimited.head(self.path, header=self.header)
        found = delimited.scan(self.path, header=self.header, key=top.names[0])
        if len(set(found.keys)) < len(found.keys):
            twice = next(n for n, name in enumerate(found.keys) if name in found.keys[:n])
            raise DataError(
                f"feature {twice + 1} has the name of an earlier one",
                code="duplicate-column",
                hint="format `expression` takes genes that occur twice",
            )
        rows = len(top.names) - 1
        pieces = -(-rows // PIECE_ROWS)
        line, offset = top.first
        return Survey(
            columns=found.keys,
            rows=rows,
            keys=top.names[1:],
            digests=(found.digest,) * pieces,
            starts=((0, line, offset),) * pieces,
            sequential=True,
        )

    def records(self, rows: Sequence[int], start: Start) -> Iterator[Found]:
        """See Sheet. Holds (features, rows) as float32."""
        top = delimited.head(self.path, header=self.header)
        lines: list[np.ndarray] = []
        bad: dict[int, DataError] = {}
        every = delimited.read(
            self.path, None, top.delimiter, row=0, line=start[1], offset=start[2]
        )
        for line in every:
            if len(line.cells) != len(top.names):
                raise _ragged(f"line {line.line}", len(line.cells), len(top.names))
            cells = [line.cells[row + 1] for row in rows]
            while True:
                try:
                    lines.append(delimited.numbers(cells))
                except ValueError as error:
                    at = error.args[0]
                    cells[at] = ""
                    bad.setdefault(rows[at], _no_number(f"line {line.line}", rows[at] + 2))
                else:
                    break
        matrix = np.ascontiguousarray(np.stack(lines).T)
        for at, row in enumerate(rows):
            yield row, bad.get(row) or Record(row, f"column {row + 2}", {}, matrix[at])


class Parquet(Sheet):
    """Apache Parquet."""

    damage: ClassVar[tuple[type[Exception], ...]] = (pa.ArrowException, OSError, ValueError)

    def survey(self, key: str | None) -> Survey:
        """See Sheet."""
        try:
            with pq.ParquetFile(self.path) as file:
                names, rows = tuple(file.schema_arrow.names), file.metadata.num_rows
                keys: list[str] = []
                if key is not None and key in names:
                    column = file.read([key], use_threads=False)[key].to_pylist()
                    keys = ["" if value is None else str(value) for value in column]
        except self.damage as error:
            raise _damaged() from error
        if not rows:
            raise DataError("the table holds no row", code="empty-table")
        if len(set(names)) < len(names):
            raise DataError("two columns have the same name", code="duplicate-column")
        digest = blake3(max_threads=1).update_mmap(self.path).hexdigest()
        pieces = -(-rows // PIECE_ROWS)
        starts = tuple((number * PIECE_ROWS, 0, 0) for number in range(pieces))
        return Survey(names, rows, tuple(keys), (digest,) * pieces, starts, sequential=False)

    def records(self, rows: Sequence[int], start: Start) -> Iterator[Found]:
        """See Sheet."""
        wanted, number = set(rows), 0
        try:
            with pq.ParquetFile(self.path) as file:
                names = file.schema_arrow.names
                places = self.features(names)
                for group in range(file.metadata.num_row_groups):
                    size = file.metadata.row_group(group).num_rows
                    if number + size <= rows[0] or number > rows[-1]:
                        number += size
                        continue
                    for batch in file.iter_batches(PIECE_ROWS, [group], use_threads=False):
                        if not wanted.isdisjoint(range(number, number + len(batch))):
                            yield from self._of(batch, number, wanted, names, places)
                        number += len(batch)
        except self.damage as error:
            raise _damaged() from error
        if number <= rows[-1]:
            raise DataError("the table is shorter than when it was planned", code="changed")

    def _of(
        self,
        batch: pa.RecordBatch,
        number: int,
        wanted: set[int],
        names: Sequence[str],
        places: Sequence[int],
    ) -> Iterator[Found]:
        matrix = np.empty((len(batch), len(places)), np.float32)
        for at, place in enumerate(places):
            kind = batch.schema.types[place]
            if not (pa.types.is_boolean(kind) or pa.types.is_primitive(kind)) or (
                pa.types.is_temporal(kind)
            ):
                raise DataError(
                    f"column {place + 1} holds no numbers", code="not-a-number", hint="drop it"
                )
            column = batch.column(place)
            if pa.types.is_boolean(kind):
                column = column.cast(pa.uint8())
            values = pc.fill_null(column.cast(pa.float64(), safe=False), float("nan"))
            with np.errstate(over="ignore"):
                matrix[:, at] = values.to_numpy(zero_copy_only=False)
        known = {name: batch.column(name).to_pylist() for name in names if name in self.known}
        for at in range(len(batch)):
            row = number + at
            if row not in wanted:
                continue
            where = f"row {row + 1}"
            beyond = np.flatnonzero(np.isinf(matrix[at]))
            if beyond.size:
                yield row, _no_number(where, places[int(beyond[0])] + 1)
                continue
            told = {name: values[at] for name, values in known.items()}
            yield row, Record(row, where, told, matrix[at])


def sheet(path: Path, known: Collection[str], *, header: bool, transposed: bool) -> Sheet:
    """The reader of a file, by its name."""
    if path.name.lower().endswith(".parquet"):
        return Parquet(path, known, header=True)
    return (Transposed if transposed else Text)(path, known, header=header)


def _ragged(place: str, cells: int, columns: int) -> DataError:
    return DataError(f"{place} has {cells} cells where {columns} belong", code="ragged-row")


def _no_number(place: str, column: int) -> DataError:
    return DataError(
        f"{place}, column {column} holds no finite number",
        code="not-a-number",
        hint="`drop` or `columns` takes columns that are no features",
    )


def _damaged() -> DataError:
    return DataError("the Parquet file cannot be read", code="damaged-table")
