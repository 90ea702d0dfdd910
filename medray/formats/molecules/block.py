"""Some rows of a table of compounds, by columns, however the table is written."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import pyarrow as pa

from medray.errors import DataError

ROWS = 256  # behind a row that hangs half of them are done again, on average


class Slice(NamedTuple):
    """A stretch of a file that is a unit.

    Args:
        first: number of its first row or line, from 1.
        size: bytes.
        extra: what `blocks` takes, JSON-able.
    """

    first: int
    size: int
    extra: dict[str, Any]


@dataclass(frozen=True)
class Block:
    """Some rows of a table.

    Args:
        place: what `numbers` count: line, row, record.
        numbers: of the rows, from 1.
        columns: cells by column: texts, stripped of blanks around them, "" where there is nothing;
            or as Parquet has them.
        bad: what can't be taken apart, by number, and why.
    """

    place: str
    numbers: list[int]
    columns: dict[str, list[str] | pa.Array]
    bad: dict[int, DataError]

    def texts(self, name: str) -> list[str]:
        """The cells of a column as texts; where there is no such column, nothing."""
        cells = self.columns.get(name, [""] * len(self.numbers))
        if isinstance(cells, pa.Array):
            return [(cell or "").strip() for cell in cells.cast(pa.string()).to_pylist()]
        return cells
