"""JSON that others have written."""

import json
import re
from collections.abc import Callable
from typing import Any

from medray.errors import DataError

_HALF = r"\\u[dD][89a-fA-F]"
_IN_TEXT, _IN_BYTES = re.compile(_HALF), re.compile(_HALF.encode())
_LONE = re.compile("[\ud800-\udfff]")


def value_of(
    text: str | bytes, pairs: Callable[[list[tuple[str, Any]]], dict[str, Any]] | None = None
) -> Any:
    """What a document says.

    Args:
        text: of it; bytes may begin with a byte-order mark.
        pairs: makes each object, as of `json.loads`.

    Raises:
        ValueError, RecursionError: it is no JSON, or nested too deep.
        DataError: a text in it holds half of a character, as programs leave it that cut texts in
            UTF-16 (code "not-utf8"): JSON can escape one, and no UTF-8 can hold it.
    """
    value = json.loads(text, object_pairs_hook=pairs)
    if may_hold_half(text) and not is_whole(value):
        raise half()
    return value


def may_hold_half(text: str | bytes) -> bool:
    """Whether an escape of half a character stands in it, alone or beside the other half."""
    found = _IN_TEXT.search(text) if isinstance(text, str) else _IN_BYTES.search(text)
    return found is not None


def is_whole(value: Any) -> bool:
    """Whether no text in a value of JSON holds half of a character."""
    held = [value]
    while held:
        one = held.pop()
        if isinstance(one, dict):
            held += [*one, *one.values()]
        elif isinstance(one, list):
            held += one
        elif isinstance(one, str) and _LONE.search(one):
            return False
    return True


def half() -> DataError:
    """What is said of half of a character."""
    return DataError(
        "a text holds half of a character",
        code="not-utf8",
        hint=r"an escape of \ud800 to \udfff stands alone: mend what cut the text",
    )
