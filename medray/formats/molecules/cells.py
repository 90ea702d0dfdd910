"""What stands beside compounds: cells of text to columns of text and numbers."""

import math
from collections.abc import Mapping, Sequence

import pyarrow as pa

from medray.errors import DataError
from medray.formats.molecules.options import Kind
from medray.formats.tabular.delimited import MISSING

_TYPES = {"text": pa.string(), "integer": pa.int64(), "number": pa.float64()}


def columns_of(
    cells: Mapping[str, Sequence[str]], kinds: Mapping[str, Kind]
) -> tuple[dict[str, pa.Array], dict[int, DataError]]:
    """Columns, and the rows in which a cell is not what its column holds.

    Args:
        cells: by column, without blanks around them; "" where there is nothing.
        kinds: what columns hold; of no others one is made.

    Returns:
        The columns, null where a cell says that there is nothing; and bad rows by number.
    """
    bad: dict[int, DataError] = {}
    columns = {}
    for name, kind in kinds.items():
        values: list[str | float | int | None]
        if kind == "text":
            values = [cell or None for cell in cells[name]]
        else:
            values = []
            for row, cell in enumerate(cells[name]):
                try:
                    values.append(None if cell in MISSING else _number(cell, kind))
                except ValueError:
                    values.append(None)
                    what = "no whole number" if kind == "integer" else "no finite number"
                    error = DataError(f"column {name!r} holds {what}", code="bad-value")
                    bad.setdefault(row, error)
        columns[name] = pa.array(values, _TYPES[kind])
    return columns, bad


def _number(cell: str, kind: Kind) -> float | int:
    if "_" in cell:  # 1_000 is no number but to Python
        raise ValueError
    if kind == "integer":
        whole = int(cell)
        if abs(whole) >= 2**63:
            raise ValueError
        return whole
    value = float(cell)
    if not math.isfinite(value):
        raise ValueError
    return value
