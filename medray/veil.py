"""What documents name as ${NAME} is used where it is needed, and kept and shown by its name."""

import re
from typing import Any

_FEWEST = 4  # characters: shorter values stand in every other word, and are words of their own

# Who asks, in a URL: before an @, or behind a colon where no port stands (a key may hold slashes).
_USERINFO = re.compile(
    r"([A-Za-z][A-Za-z0-9+.-]*://)(?:[^/?#\s@]*@|[^/?#\s:@\[]*:(?!\d*(?:[/?#\s,;)'\"]|$))\S*)"
)

_names: dict[str, str] = {}


def remember(name: str, value: str) -> None:
    """A document of this process stands for `value` where it says ${name}."""
    if value:
        _names[value] = f"${{{name}}}"


def has_userinfo(text: str) -> bool:
    """Whether a URL in the text holds a name or a password."""
    return _USERINFO.search(text) is not None


def veiled(text: str) -> str:
    """The text with names in the place of remembered values, and without users in URLs."""
    text = _USERINFO.sub(r"\1***@", text)
    for value in sorted(_names, key=len, reverse=True):
        if len(value) >= _FEWEST:
            text = text.replace(value, _names[value])
        elif value in text:
            word = rf"(?<![\w.$-]){re.escape(value)}(?![\w-]|\.\w)"
            text = re.sub(word, _names[value], text)
    return text


def veiled_fields(value: Any) -> Any:
    """Nested values for JSON, each text of them veiled; numbers where they are a value's digits."""
    if isinstance(value, dict):
        return {str(name): veiled_fields(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [veiled_fields(inner) for inner in value]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        digits = str(value)
        return _names.get(digits, value) if len(digits) >= _FEWEST else value
    return veiled(str(value))


def as_given(value: Any, given: Any) -> Any:
    """`value` as a document gave it.

    Args:
        value: nested plain values, filled in.
        given: the document, or a part of it, with its variables.
    """
    if isinstance(given, str) and "${" in given:
        return given
    if isinstance(value, dict):
        known = given if isinstance(given, dict) else {}
        return {name: as_given(inner, known.get(name)) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        same = isinstance(given, list) and len(given) == len(value)
        return [as_given(inner, given[at] if same else None) for at, inner in enumerate(value)]
    return veiled(value) if isinstance(value, str) else value
