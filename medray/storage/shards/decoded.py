"""Rows of a table as plain values, some beside each other at once."""

from typing import Any

import pyarrow as pa

ROWS, ROWS_BYTES = 256, 2**20  # that are decoded at once, at most


class Decoded:
    """Rows of a table, of which the last that were decoded are kept: each by itself takes several
    times as long."""

    def __init__(self) -> None:
        self._held: tuple[int, list[dict[str, Any]]] = 0, []

    def row(self, table: pa.Table, number: int) -> dict[str, Any]:
        """The values of a row, the caller's own.

        Args:
            table: always the same.
            number: of the row.
        """
        first, rows = self._held
        if not first <= number < first + len(rows):
            each = max(1, table.nbytes // table.num_rows)
            step = max(1, min(ROWS, ROWS_BYTES // each))
            first = number - number % step
            rows = table.slice(first, step).to_pylist()
            self._held = first, rows
        return dict(rows[number - first])
