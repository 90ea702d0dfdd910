"""Tables of SMILES as text: which columns they have, and their rows in blocks of columns."""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from medray.errors import DataError
from medray.formats.tabular.text import Range, decoded, lines

BLOCK_ROWS = 512
MAX_COLUMNS = 10_000


@dataclass(frozen=True)
class Layout:
    """How the rows of one file are read.

    Args:
        names: of the columns.
        delimiter: between cells; a blank: any number of blanks, and all behind the first is one.
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
        lacking = [column for column in columns if column not in self.names]
        if lacking:
            raise DataError(
                f"there is no column {lacking[0]!r}",
                code="no-such-column",
                hint=f"columns: {', '.join(self.names)}",
            )


@dataclass(frozen=True)
class Block:
    """Some rows of a table.

    Args:
        numbers: of their lines, from 1.
        columns: cells by column, stripped of blanks around them; "" where there is nothing.
        bad: lines that can't be taken apart, and why.
    """

    numbers: list[int]
    columns: dict[str, list[str]]
    bad: dict[int, DataError]


def layout_of(path: Path, *, smi: bool, smiles: str) -> Layout:
    """How to read the table at `path`.

    Args:
        path: of the file.
        smi: it is no CSV: a SMILES a line, and behind blanks a name.
        smiles: name of the column of SMILES.

    Raises:
        DataError: "empty-file", "bad-header", and as `medray.formats.tabular.text`.
    """
    first = next(lines(path), b"")
    if not first.strip():
        raise DataError("the first line of the file is empty", code="empty-file")
    if smi:
        head = decoded(first).split(maxsplit=1)
        headed = head[0].lower() == "smiles"
        return Layout((smiles, "name"), " ", headed)
    text = decoded(first)
    delimiter = max(",\t;", key=text.count)
    names = tuple(cells_of(text, delimiter))
    if len(names) > MAX_COLUMNS or len(set(names)) < len(names):
        raise DataError("the header names a column twice, or far too many", code="bad-header")
    return Layout(names, delimiter, headed=True)


def blocks(path: Path, piece: Range, layout: Layout) -> Iterator[Block]:
    """The rows of a piece of a file, some at a time; blank lines are none.

    Raises:
        DataError: as `medray.formats.tabular.text`.
    """
    numbers, rows, bad = list[int](), list[list[str]](), dict[int, DataError]()
    width = len(layout.names)
    for number, line in enumerate(lines(path, piece), start=piece.first + 1):
        if not line.strip() or (layout.headed and number == 1):
            continue
        try:
            cells = cells_of(decoded(line), layout.delimiter)
            if len(cells) != width:
                raise DataError(
                    f"the row has {len(cells)} cells, the table {width} columns", code="uneven-row"
                )
        except DataError as error:
            bad[number] = error
        else:
            numbers.append(number)
            rows.append(cells)
        if len(rows) + len(bad) >= BLOCK_ROWS:
            yield _block(numbers, rows, bad, layout)
            numbers, rows, bad = [], [], {}
    if rows or bad:
        yield _block(numbers, rows, bad, layout)


def cells_of(text: str, delimiter: str) -> list[str]:
    """The cells of a line, stripped of blanks around them.

    Raises:
        DataError: it can't be split (code "bad-line").
    """
    if delimiter == " ":
        return [*text.split(maxsplit=1), ""][:2]
    if '"' not in text:
        return [cell.strip() for cell in text.split(delimiter)]
    try:
        return [cell.strip() for cell in next(csv.reader([text], delimiter=delimiter, strict=True))]
    except (csv.Error, StopIteration) as error:
        raise DataError("the line can't be split into cells", code="bad-line") from error


def _block(
    numbers: list[int], rows: list[list[str]], bad: dict[int, DataError], layout: Layout
) -> Block:
    columns = zip(*rows, strict=True) if rows else ([] for _ in layout.names)
    return Block(numbers, {n: [*c] for n, c in zip(layout.names, columns, strict=True)}, bad)
