"""Delimited text, plain or gzipped: counted and fingerprinted in one pass, read from any row on.

A cell never spans lines. That lets rows be found by their line ends alone, at the disk's speed, and
every complaint name the line it is about.
"""

import csv
import gzip
import io
import itertools
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from blake3 import blake3

from medray.errors import DataError
from medray.formats.tabular.text import require_lines

SUFFIXES = (".csv", ".tsv", ".txt", ".tab", ".csv.gz", ".tsv.gz", ".txt.gz", ".tab.gz")
PIECE_ROWS = 512
MAX_LINE = 64 * 2**20  # bytes: a million features of 60 digits; deflate bombs have no line ends
_TOLD = re.compile(rb'(?:\xef\xbb\xbf)?"?sep=([,;\t])"?\s*')  # what a spreadsheet says of cells
_DAMAGE = (OSError, EOFError, zlib.error)  # gzip.BadGzipFile is an OSError


@dataclass(frozen=True)
class Piece:
    """`PIECE_ROWS` rows on end, the last of a table fewer.

    Args:
        row: number of the first, from 0; the header is no row.
        rows: how many.
        line: of the file that the first stands on, from 1.
        offset: of that line, in unpacked bytes.
        size: unpacked bytes.
        digest: BLAKE3 of them.
    """

    row: int
    rows: int
    line: int
    offset: int
    size: int
    digest: str


@dataclass(frozen=True)
class Head:
    """What the first lines tell.

    Args:
        names: of the columns; their numbers from "0" where there is no header.
        delimiter: ",", a tabulator, ";" or a blank.
        packed: whether the file is gzipped.
        first: line of the first row, from 1, and its offset in unpacked bytes.
    """

    names: tuple[str, ...]
    delimiter: str
    packed: bool
    first: tuple[int, int]


@dataclass(frozen=True)
class Scan:
    """What one pass over a file tells.

    Args:
        head: see there.
        pieces: all rows, in order.
        keys: of each row, the cell of the column that was asked for.
        blank: rows without a key all of whose other cells are blank, too.
    """

    head: Head
    pieces: tuple[Piece, ...]
    keys: tuple[str, ...] = ()
    blank: frozenset[int] = frozenset()

    @property
    def rows(self) -> int:
        """How many."""
        return sum(piece.rows for piece in self.pieces)

    @property
    def digest(self) -> str:
        """Of the header and every row."""
        return fingerprint([*self.head.names, *(piece.digest for piece in self.pieces)])


@dataclass(frozen=True)
class Row:
    """One row of text.

    Args:
        number: from 0.
        line: of the file, from 1.
        cells: of it.
    """

    number: int
    line: int
    cells: list[str]


def head(path: Path, *, header: bool, loose: bool = False) -> Head:
    """The columns of a file.

    A first line with one name less than the rows have cells names no column of row names, as R
    writes tables; that column is then called "".

    Args:
        path: of the file.
        header: whether its first line names the columns.
        loose: names may come twice, and cells be apart by blanks where there are no tabs or commas,
            as R writes them.

    Raises:
        DataError: it holds no row ("empty-table"), is no text ("not-text", "damaged-gzip"), has no
            lines as of `lines`, or names a column twice ("duplicate-column").
    """
    found: list[tuple[int, int, list[str]]] = []
    delimiter, offset = "", 0
    with opened(path) as (file, packed):
        for number, line in enumerate(lines(file), start=1):
            if number == 1 and (told := _TOLD.fullmatch(line)):
                delimiter = told[1].decode()
            elif line.strip():
                delimiter = delimiter or _delimiter(line, path, headed=header, loose=loose)
                found.append((number, offset, parse(line, delimiter, number)))
                if len(found) == 1 + header:
                    break
            offset += len(line)
    if len(found) <= header:
        raise DataError("the table holds no row", code="empty-table")
    line_number, at, cells = found[-1]
    names = tuple(str(column) for column in range(len(cells)))
    if header:
        named = [cell.strip() for cell in found[0][2]]
        names = tuple(["", *named] if len(named) + 1 == len(cells) else named)
    if len(set(names)) < len(names) and not loose:
        first: dict[str, int] = {}
        twice = next(at for at, name in enumerate(names) if first.setdefault(name, at) != at)
        raise DataError(
            f"columns {first[names[twice]] + 1} and {twice + 1} have the same name",
            code="duplicate-column",
        )
    return Head(names, delimiter, packed, (line_number, at))


def scan(path: Path, *, header: bool, key: str | None = None, loose: bool = False) -> Scan:
    """Count and fingerprint the rows of a file; blank lines are none.

    Args:
        path: of the file.
        header: whether its first line names the columns.
        key: column whose cells are wanted.
        loose: as of `head`.

    Raises:
        DataError: as `head`, or there is no column `key` ("no-such-column").
    """
    top = head(path, header=header, loose=loose)
    if key is not None and key not in top.names:
        raise DataError(
            f"the table has no column {key!r}", code="no-such-column", hint="check the options"
        )
    at = None if key is None else top.names.index(key)
    pieces: list[Piece] = []
    keys: list[str] = []
    blank: list[int] = []
    held, start, row, hashed = 0, top.first, 0, blake3()
    offset = top.first[1]
    with opened(path) as (file, _):
        skip_to(file, offset)
        for number, line in enumerate(lines(file), start=top.first[0]):
            begin, offset = offset, offset + len(line)
            if not line.strip():
                continue
            if held == PIECE_ROWS:
                pieces.append(Piece(row - held, held, *start, begin - start[1], hashed.hexdigest()))
                held, hashed = 0, blake3()
            if held == 0:
                start = (number, begin)
            hashed.update(line)
            held, row = held + 1, row + 1
            if at is not None:
                cells = parse(line, top.delimiter, number)
                keys.append(cells[at].strip() if at < len(cells) else "")
                if not any(map(str.strip, cells)):
                    blank.append(row - 1)
    pieces.append(Piece(row - held, held, *start, offset - start[1], hashed.hexdigest()))
    return Scan(top, tuple(pieces), tuple(keys), frozenset(blank))


def read(
    path: Path, rows: Sequence[int] | None, delimiter: str, *, row: int, line: int, offset: int
) -> Iterator[Row]:
    """The rows of these numbers, in ascending order.

    Args:
        path: of the file.
        rows: numbers; None: all from the first on.
        delimiter: of cells.
        row: number of a row at or before the first.
        line: that it stands on.
        offset: of that line; nothing before it is looked at.

    Raises:
        DataError: the file is damaged, or shorter than when it was scanned ("changed").
    """
    wanted = itertools.count(row) if rows is None else iter(rows)
    want = next(wanted, None)
    with opened(path) as (file, _):
        skip_to(file, offset)
        for at, text in enumerate(lines(file), start=line):
            if want is None:
                return
            if not text.strip():
                continue
            if row == want:
                yield Row(row, at, parse(text, delimiter, at))
                want = next(wanted, None)
            row += 1
    if want is not None and rows is not None:
        raise DataError("the table is shorter than when it was planned", code="changed")


def read_all(path: Path) -> Iterator[Row]:
    """Every row of a file without a header.

    Raises:
        DataError: as `head`.
    """
    top = head(path, header=False)
    line, offset = top.first
    return read(path, None, top.delimiter, row=0, line=line, offset=offset)


def parse(line: bytes, delimiter: str, number: int) -> list[str]:
    """The cells of a line, unquoted.

    Raises:
        DataError: it is no UTF-8 ("not-text"), or a quoted cell does not end in it ("open-quote").
    """
    try:
        text = line.removeprefix(b"\xef\xbb\xbf").decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise _no_text(f"line {number} is no UTF-8") from error
    if "\0" in text:
        raise _no_text(f"line {number} holds a NUL")
    blanks = delimiter == " "  # any number of them
    if '"' not in text:
        return text.split() if blanks else text.split(delimiter)
    try:
        whole = text.strip() if blanks else text
        return next(csv.reader([whole], delimiter=delimiter, skipinitialspace=blanks, strict=True))
    except (csv.Error, StopIteration) as error:
        raise DataError(
            f"line {number} has quotes that do not end",
            code="open-quote",
            hint="cells with line ends inside are not supported",
        ) from error


def _no_text(what: str) -> DataError:
    return DataError(what, code="not-text", hint="save the table again, as CSV in UTF-8")


def fingerprint(parts: Sequence[str]) -> str:
    """One hash of several texts."""
    return blake3("\0".join(parts).encode()).hexdigest()


@contextmanager
def opened(path: Path) -> Iterator[tuple[IO[bytes], bool]]:
    """The file, unpacked as it is read, and whether it is packed.

    Raises:
        DataError: it cannot be read or unpacked, now or later (code "damaged-gzip").
    """
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            if packed:
                with io.BufferedReader(gzip.GzipFile(fileobj=raw), 2**20) as file:
                    yield file, True
            else:
                yield raw, False
    except _DAMAGE as error:
        raise DataError("the file cannot be unpacked or read", code="damaged-gzip") from error


def _delimiter(line: bytes, path: Path, *, headed: bool, loose: bool) -> str:
    """What the name says, where the line has it; else what the line has most of."""
    name = path.name.lower()
    tabs, commas = line.count(b"\t"), line.count(b",")
    if headed and b";" in line and not tabs and not commas:
        return (
            ";"  # as spreadsheets write where a comma is a decimal point; names alone may have it
        )
    if ".csv" in name and (commas or not tabs):
        return ","
    if (".tsv" in name or ".tab" in name) and (tabs or not commas):
        return "\t"
    if loose and not tabs and not commas and len(line.split()) > 1:
        return " "
    return "\t" if tabs > commas else ","


def lines(file: IO[bytes]) -> Iterator[bytes]:
    """Lines with their ends, as `require_lines`; none beyond 64 MiB ("long-line")."""
    while line := file.readline(MAX_LINE):
        if len(line) == MAX_LINE:
            raise DataError("a line is longer than 64 MiB", code="long-line")
        require_lines(line)
        yield line


def skip_to(file: IO[bytes], offset: int) -> None:
    """Go to an offset of the unpacked file, which must be that long ("changed")."""
    if file.seek(offset) != offset:
        raise DataError("the table is shorter than when it was planned", code="changed")
