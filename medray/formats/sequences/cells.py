"""Cells of a table: lines to cells, text to values, values to what a filter asks for."""

import csv
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from medray.errors import DataError
from medray.formats.tabular.text import BOM, decoded

Kind = Literal["bool", "int", "float", "str"]
Value = str | int | float | bool

MISSING = frozenset(("", "na", "n/a", "nan", "null", "none", "."))
_TRUE, _FALSE = frozenset(("true", "yes", "1")), frozenset(("false", "no", "0"))
# No leading zeros: 007 names something.
_INT = re.compile(r"^-?(0|[1-9]\d{0,17})$", re.ASCII)
_FLOAT = re.compile(
    r"^[+-]?((0|[1-9]\d*)(\.\d*)?|\.\d+)(e[+-]?\d{1,4})?$|^[+-]?inf$", re.ASCII | re.IGNORECASE
)
_ORDER: tuple[Kind, ...] = ("bool", "int", "float", "str")


def split(line: bytes, delimiter: str) -> list[str]:
    """The cells of one line, stripped of blanks around them.

    Raises:
        DataError: it can't be split (code "bad-line"), or is no UTF-8 ("not-utf8").
    """
    text = decoded(line.removeprefix(BOM))
    try:
        return [cell.strip() for cell in next(csv.reader([text], delimiter=delimiter, strict=True))]
    except (csv.Error, StopIteration) as error:
        raise DataError("the line can't be split into cells", code="bad-line") from error


def kind_of(cell: str) -> Kind | None:
    """The narrowest type that holds the text; None where nothing is there."""
    if cell.lower() in MISSING:
        return None
    if _INT.match(cell):
        return "int"
    if cell.lower() in ("true", "false"):
        return "bool"
    return "float" if _FLOAT.match(cell) else "str"


def wider(one: Kind | None, other: Kind | None) -> Kind | None:
    """The narrowest type that holds both; a truth and a number are text."""
    if one is None or other is None or one == other:
        return one or other
    if "bool" in (one, other):
        return "str"
    return max(one, other, key=_ORDER.index)


def value_of(cell: str, kind: Kind | None) -> Value | None:
    """The cell as a value of its column's type; None where nothing is there.

    Raises:
        DataError: it is none of that type (code "bad-value").
    """
    if cell.lower() in MISSING and (kind != "str" or not cell):
        return None
    try:
        match kind:
            case "int":
                return int(cell)
            case "float":
                number = float(cell)
                return number if abs(number) < float("inf") else None
            case "bool" if cell.lower() in _TRUE | _FALSE:
                return cell.lower() in _TRUE
            case "bool":
                raise ValueError
    except ValueError as error:
        raise DataError("a value is not of its column's type", code="bad-value") from error
    return cell


def passes(cells: Mapping[str, str], where: Mapping[str, Value | Sequence[Value]]) -> bool:
    """Whether a row has one of the values asked for, in every column asked about.

    Numbers are equal by value. YAML reads an unquoted Yes as a truth, so truths are equal to the
    words for them.
    """
    return all(
        any(_same(cells[name], one) for one in (want if isinstance(want, list | tuple) else [want]))
        for name, want in where.items()
    )


def _same(cell: str, want: Any) -> bool:
    if isinstance(want, bool):
        return cell.lower() in (_TRUE if want else _FALSE)
    if isinstance(want, int | float):
        try:
            return float(cell) == want
        except ValueError:
            return False
    return cell == str(want)
