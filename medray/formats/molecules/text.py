"""Tables of SMILES as text: CSV, TSV, and .smi, which has a SMILES and a name in each line."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from medray.errors import DataError
from medray.formats.molecules.block import ROWS, Block, Slice
from medray.formats.tabular.text import Range, decoded, lines, ranges

_PACKED = ("", ".gz", ".bgz")
SMI = tuple(f".{one}{end}" for one in ("smi", "smiles", "ism") for end in _PACKED)
TABLES = tuple(f".{one}{end}" for one in ("csv", "tsv", "txt", "tab") for end in _PACKED)
SUFFIXES = (*SMI, *TABLES)
SLICE_BYTES = 4 * 2**20  # about 90,000 rows: a minute of one core
MAX_COLUMNS = 10_000


@dataclass(frozen=True)
class Layout:
    """How the rows of one file are read.

    Args:
        names: of the columns.
        delimiter: between cells; a blank: any number of blanks, and all behind the first is one.
        headed: whether the first line names the columns.
    """

    names: Sequence[str]
    delimiter: str
    headed: bool


def survey(path: Path, smiles: str) -> tuple[Sequence[str], list[Slice]]:
    """Columns and slices of a file.

    Args:
        path: of the file.
        smiles: what the column of SMILES is called where the file has no header.

    Raises:
        DataError: "empty-file", "bad-header", and as `medray.formats.tabular.text`.
    """
    layout = _layout(path, smiles)
    slices = [
        Slice(one.first + 1, one.size, {"range": list(astuple(one)), "layout": asdict(layout)})
        for one in ranges(path, size=SLICE_BYTES)
    ]
    return layout.names, slices


def blocks(path: Path, extra: Mapping[str, Any], wanted: Sequence[str] | None) -> Iterator[Block]:
    """The rows of a slice, some at a time; blank lines are none.

    Raises:
        DataError: as `medray.formats.tabular.text`.
    """
    piece, layout = Range(*extra["range"]), Layout(**extra["layout"])
    numbers, rows, bad = list[int](), list[list[str]](), dict[int, DataError]()
    for number, line in enumerate(lines(path, piece), start=piece.first + 1):
        if not line.strip() or (layout.headed and number == 1):
            continue
        try:
            rows.append(_row(decoded(line), layout))
        except DataError as error:
            bad[number] = error
        else:
            numbers.append(number)
        if len(rows) + len(bad) >= ROWS:
            yield _block(numbers, rows, bad, layout, wanted)
            numbers, rows, bad = [], [], {}
    if rows or bad:
        yield _block(numbers, rows, bad, layout, wanted)


def _layout(path: Path, smiles: str) -> Layout:
    first = next(lines(path), b"")
    if not first.strip():
        raise DataError("the first line of the file is empty", code="empty-file")
    text = decoded(first)
    if path.name.lower().endswith(SMI):
        return Layout([smiles, "name"], " ", text.split()[0].lower() == "smiles")
    delimiter = max(",\t;", key=text.count)
    names = _cells(text, delimiter)
    if len(names) > MAX_COLUMNS or len(set(names)) < len(names):
        raise DataError("the header names a column twice, or far too many", code="bad-header")
    return Layout(names, delimiter, headed=True)


def _row(text: str, layout: Layout) -> list[str]:
    cells, width = _cells(text, layout.delimiter), len(layout.names)
    if len(cells) != width:
        raise DataError(
            f"the row has {len(cells)} cells, the table {width} columns", code="uneven-row"
        )
    return cells


def _cells(text: str, delimiter: str) -> list[str]:
    """The cells of a line, stripped of blanks around them."""
    if delimiter == " ":
        return [*(cell.strip() for cell in text.split(maxsplit=1)), ""][:2]
    if '"' not in text:
        return [cell.strip() for cell in text.split(delimiter)]
    try:
        return [cell.strip() for cell in next(csv.reader([text], delimiter=delimiter, strict=True))]
    except (csv.Error, StopIteration) as error:
        raise DataError("the line can't be split into cells", code="bad-line") from error


def _block(
    numbers: list[int],
    rows: list[list[str]],
    bad: dict[int, DataError],
    layout: Layout,
    wanted: Sequence[str] | None,
) -> Block:
    several = zip(*rows, strict=True) if rows else ([] for _ in layout.names)
    columns: dict[str, list[str] | pa.Array] = {
        name: list(cells)
        for name, cells in zip(layout.names, several, strict=True)
        if wanted is None or name in wanted
    }
    return Block("line", numbers, columns, bad)
