"""Tables of sequences: what their header says, what their columns hold, and their rows."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from medray.errors import DataError
from medray.formats.sequences.cells import Kind, Value, kind_of, passes, split, wider
from medray.formats.tabular.text import Range, decoded, lines

MAX_COLUMNS = 10_000
MAX_RECORD = 10**6
Where = Mapping[str, Value | Sequence[Value]]


@dataclass(frozen=True)
class Table:
    """How the rows of one file are read.

    Args:
        names: of the columns.
        delimiter: between cells.
        headed: whether the first line names the columns.
    """

    names: tuple[str, ...]
    delimiter: str
    headed: bool

    def require(self, columns: Iterable[str]) -> None:
        """Check that these columns are there.

        Raises:
            DataError: one is not (code "no-such-column").
        """
        _require(self.names, columns)

    def rows(
        self, path: Path, piece: Range | None = None
    ) -> Iterator[tuple[int, dict[str, str] | DataError]]:
        """The number of each line and its cells by column, or why they can't be told.

        Raises:
            DataError: as `medray.formats.tabular.text`.
        """
        first = piece.first if piece else 0
        for number, line in enumerate(lines(path, piece), start=first + 1):
            if not line.strip() or (self.headed and number == 1):
                continue
            try:
                cells = split(line, self.delimiter)
                if len(cells) != len(self.names):
                    raise DataError(
                        f"the row has {len(cells)} cells, the table {len(self.names)} columns",
                        code="uneven-row",
                    )
            except DataError as error:
                yield number, error
            else:
                yield number, dict(zip(self.names, cells, strict=True))


class Records:
    """A FASTA file as a table: the first word of each header, and the letters."""

    names: ClassVar[tuple[str, ...]] = ("name", "sequence")

    def require(self, columns: Iterable[str]) -> None:
        """As of a table."""
        _require(self.names, columns)

    def rows(
        self, path: Path, piece: Range | None = None
    ) -> Iterator[tuple[int, dict[str, str] | DataError]]:
        """As of a table; records are numbered instead of lines."""
        number = piece.first if piece else 0
        name, letters, held = b"", list[bytes](), -1
        for line in lines(path, piece):
            if not line.startswith(b">"):
                if held < 0 and line.strip():
                    raise DataError("the file does not begin with a header", code="no-header")
                held += len(line)
                if held < MAX_RECORD:
                    letters.append(line)
                continue
            if held >= 0:
                yield number, _record(name, letters, held)
            number, letters, held = number + 1, [], 0
            name = next(iter(line[1:].split()), b"")
        if held >= 0:
            yield number, _record(name, letters, held)


@dataclass
class Survey:
    """What all rows of all tables have in common, and which of them have the id of another.

    Args:
        kinds: column → the narrowest type that holds all its values.
        ids: hashes of ids, so that they take 8 bytes each and stay unreadable.
    """

    kinds: dict[str, Kind | None] = field(default_factory=dict)
    ids: set[bytes] = field(default_factory=set)

    def take(
        self, path: Path, table: Table | Records, where: Where, id_column: str | None
    ) -> list[int]:
        """Look at every row that passes; returns the lines whose id stood before."""
        twice = []
        for number, cells in table.rows(path):
            if isinstance(cells, DataError) or not passes(cells, where):
                continue
            for name, cell in cells.items():
                known = self.kinds.get(name)
                if known != "str":
                    self.kinds[name] = wider(known, kind_of(cell))
            if id_column is not None:
                mark = hashlib.blake2b(cells[id_column].encode(), digest_size=8).digest()
                if mark in self.ids:
                    twice.append(number)
                self.ids.add(mark)
        return twice


def table_at(path: Path, header: tuple[str, ...] | None, delimiter: str) -> Table:
    """How to read the table at `path`.

    Args:
        path: of the file.
        header: names of the columns, where the first line is a row already.
        delimiter: between cells.

    Raises:
        DataError: "empty-file", "bad-header", and as `medray.formats.tabular.text`.
    """
    first = next(lines(path), b"")
    if not first.strip():
        raise DataError("the first line of the file is empty", code="empty-file")
    cells = split(first, delimiter)
    names = header or tuple(name or f"column{n}" for n, name in enumerate(cells, start=1))
    if len(names) > MAX_COLUMNS or len(set(names)) < len(names):
        raise DataError("the header names a column twice, or far too many", code="bad-header")
    return Table(names, delimiter, header is None)


def _require(names: tuple[str, ...], columns: Iterable[str]) -> None:
    lacking = [column for column in columns if column not in names]
    if lacking:
        raise DataError(
            f"there is no column {lacking[0]!r}",
            code="no-such-column",
            hint="is the delimiter right? `header` names columns where a table does not",
        )


def _record(name: bytes, letters: list[bytes], held: int) -> dict[str, str] | DataError:
    if held >= MAX_RECORD:
        return DataError("the sequence has over a million letters", code="too-long")
    try:
        return {"name": decoded(name), "sequence": b"".join(letters).decode("ascii", "replace")}
    except DataError as error:
        return error
