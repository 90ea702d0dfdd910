"""What stands beside compounds: cells of text to columns of text and numbers."""

import math
from collections.abc import Mapping, Sequence

import pyarrow as pa

from medray.errors import DataError
from medray.formats.molecules.options import Kind
from medray.formats.tabular.numbers import MISSING

_TYPES = {"integer": pa.int64(), "number": pa.float64()}


def columns_of(
    cells: Mapping[str, Sequence[str] | pa.Array], kinds: Mapping[str, Kind], rows: int
) -> tuple[dict[str, pa.Array], dict[int, DataError]]:
    """Columns, and the rows in which a cell is not what its column holds.

    Args:
        cells: by column: texts without blanks around them, "" where there is nothing; or values.
        kinds: what columns hold; of no others one is made.
        rows: how many there are; where a column is not, it is null.

    Returns:
        The columns, null where a cell says that there is nothing; and bad rows by number.
    """
    bad: dict[int, DataError] = {}
    columns = {}
    for name, kind in kinds.items():
        given = cells.get(name, [""] * rows)
        if isinstance(given, pa.Array):
            if kind == "as it is" and _is_plain(given.type):
                columns[name] = given
                continue
            given = ["" if one is None else str(one) for one in given.to_pylist()]
        values: list[str | float | int | None] = []
        for row, cell in enumerate(given):
            try:
                values.append(_value(cell, kind))
            except ValueError:
                values.append(None)
                what = "no whole number" if kind == "integer" else "no finite number"
                error = DataError(f"column {name!r} holds {what}", code="bad-value")
                bad.setdefault(row, error)
        columns[name] = pa.array(values, _TYPES.get(kind, pa.string()))
    return columns, bad


def _is_plain(kind: pa.DataType) -> bool:
    types = pa.types
    several = (types.is_string, types.is_integer, types.is_floating, types.is_boolean)
    return any(test(kind) for test in several)


def _value(cell: str, kind: Kind) -> str | float | int | None:
    if kind in ("text", "as it is"):
        return cell or None
    return None if cell in MISSING else _number(cell, kind)


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
