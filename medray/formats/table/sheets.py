"""One table, however it is written: surveyed once while planning, read row by row on workers."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medray.errors import DataError
from medray.formats.table.features import Features, Known
from medray.formats.tabular import delimited
from medray.formats.tabular.delimited import PIECE_ROWS

Start = tuple[int, int, int]


@dataclass(frozen=True)
class Survey:
    """What a table is, without its values.

    Args:
        columns: names; of a transposed table, of its features.
        features: names of the numbers that records have, in order.
        rows: samples in it.
        keys: the samples' ids, where they were asked for.
        blank: rows without an id that have nothing else either.
        digests: of each `PIECE_ROWS` rows.
        starts: (row, line, offset) of each of these, where reading may begin there.
        sequential: whether a row is reached by reading all before it.
    """

    columns: tuple[str, ...]
    features: tuple[str, ...]
    rows: int
    keys: tuple[str, ...]
    digests: tuple[str, ...]
    starts: tuple[Start, ...]
    sequential: bool
    blank: frozenset[int] = frozenset()


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
        known: what the options say of its columns.
    """

    def __init__(self, path: Path, known: Known, *, header: bool) -> None:
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


class Text(Sheet):
    """CSV and its kin: a line per sample."""

    def survey(self, key: str | None) -> Survey:
        """See Sheet."""
        names = delimited.head(self.path, header=self.header).names
        found = delimited.scan(self.path, header=self.header, key=key if key in names else None)
        about = delimited.fingerprint(names)
        return Survey(
            columns=names,
            features=Features(names, self.known).names,
            rows=found.rows,
            keys=found.keys,
            digests=tuple(delimited.fingerprint([about, one.digest]) for one in found.pieces),
            starts=tuple((one.row, one.line, one.offset) for one in found.pieces),
            sequential=found.head.packed,
            blank=found.blank,
        )

    def records(self, rows: Sequence[int], start: Start) -> Iterator[Found]:
        """See Sheet."""
        top = delimited.head(self.path, header=self.header)
        features = Features(top.names, self.known)
        known = {name: at for at, name in enumerate(top.names) if name in self.known.columns}
        lines = delimited.read(
            self.path, rows, top.delimiter, row=start[0], line=start[1], offset=start[2]
        )
        for line in lines:
            place = f"line {line.line}"
            if len(line.cells) != len(top.names):
                yield line.number, ragged(place, len(line.cells), len(top.names))
                continue
            try:
                values = features.of(line.cells)
            except ValueError as error:
                yield line.number, bad_value(place, top.names[error.args[0]])
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
            features=found.keys,
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
                raise ragged(f"line {line.line}", len(line.cells), len(top.names))
            cells = [line.cells[row + 1] for row in rows]
            while True:
                try:
                    lines.append(self.known.written.numbers(cells))
                except ValueError as error:
                    at = error.args[0]
                    cells[at] = ""
                    bad.setdefault(rows[at], bad_value(f"line {line.line}", rows[at] + 2))
                else:
                    break
        matrix = np.ascontiguousarray(np.stack(lines).T)
        for at, row in enumerate(rows):
            yield row, bad.get(row) or Record(row, f"column {row + 2}", {}, matrix[at])


def ragged(place: str, cells: int, columns: int) -> DataError:
    """What is wrong with a row of another width than the header's."""
    return DataError(f"{place} has {cells} cells where {columns} belong", code="ragged-row")


def bad_value(place: str, column: str | int) -> DataError:
    """What is wrong with a row one of whose features is none; a name, or a number from 1."""
    return DataError(
        f"{place}: column {column!r} holds no finite number",
        code="not-a-number",
        hint="`drop` or `columns` takes columns that are no features, `categories` those of words, "
        "`values` texts that stand for numbers, `decimal` a comma",
    )
