"""Objects as annotations tell them, each checked before it is believed."""

import math
from collections.abc import Callable
from typing import Any

from medray.errors import DataError
from medray.formats.imaging.objects import Object

Found = Object | DataError
"""An object of a file, or why one of its entries is none."""

_YES = ("1", "1.0", "true", "yes")
_NO = ("", "0", "0.0", "false", "no", "unspecified")  # the last is Pascal VOC's word


def number(value: Any) -> float:
    """A finite number.

    Raises:
        ValueError, TypeError: it is none.
    """
    found = float(value)
    if isinstance(value, bool) or not math.isfinite(found):
        raise ValueError
    return found


def is_marked(value: Any) -> bool:
    """Whether a value of JSON, or a cell's text, says yes; None and an empty cell say no.

    Raises:
        ValueError: it says neither.
    """
    told = "" if value is None else str(value).strip().lower()
    if told not in (*_YES, *_NO):
        raise ValueError
    return told in _YES


def entry(make: Callable[[], Object]) -> Found:
    """An object, or why the entry makes none."""
    try:
        return make()
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError):
        return DataError("an object's class or edges can't be read", code="bad-box")


def packed(found: Found) -> list[Any]:
    """An entry as JSON has it, for an input of a plan."""
    if isinstance(found, DataError):
        return [found.code, found.message, found.hint]
    return [found.kind, list(found.begin), list(found.end), found.difficult, found.crowd]


def unpacked(boxes: list[list[Any]]) -> list[Found]:
    """Entries of an input."""
    return [_unpacked(one) for one in boxes]


def _unpacked(one: list[Any]) -> Found:
    if len(one) == 3:
        code, message, hint = one
        return DataError(message, code=code, hint=hint)
    kind, begin, end, difficult, crowd = one
    return Object(kind, tuple(begin), tuple(end), None, difficult, crowd)
