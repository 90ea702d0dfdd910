"""`--set a.b=c`: single values of a job, given on the command line.

The path's first part may say which step is meant: its number in the file, from 1, or the name of
its output. Without that, the value is set in every step whose kind has the field, and at least one
must. A field's name wins over an output of the same name.
"""

from collections.abc import Sequence
from typing import Any

from medray.errors import SpecError
from medray.spec.documents import expand, parse
from medray.spec.kinds import SPECS
from medray.veil import veiled


def merge(lower: dict[str, Any], upper: dict[str, Any]) -> dict[str, Any]:
    """`lower` overridden by `upper`, mapping by mapping; everything else is replaced whole."""
    merged = dict(lower)
    for key, value in upper.items():
        below = merged.get(key)
        if isinstance(below, dict) and isinstance(value, dict):
            value = merge(below, value)
        merged[key] = value
    return merged


def override(documents: list[dict[str, Any]], settings: Sequence[str]) -> list[dict[str, Any]]:
    """The documents with each of `settings` ("path=value", the value in YAML) applied in order.

    Raises:
        SpecError: a setting is no `path=value`, or its path leads nowhere (code "bad-set").
    """
    for setting in settings:
        path, equals, text = setting.partition("=")
        parts = path.strip().split(".")
        if not equals or not all(parts):
            raise _bad(veiled(path.strip()), "not of the form path=value")
        setting = path.strip()  # what errors show: a value may be a secret
        values = parse(text, f"--set {setting}")
        value = values[0] if values else None
        expand(value, f"--set {setting}")
        chosen, rest = _choose(documents, parts, setting)
        documents = [
            _put(document, rest, value, setting) if index in chosen else document
            for index, document in enumerate(documents)
        ]
    return documents


def _choose(
    documents: list[dict[str, Any]], parts: list[str], setting: str
) -> tuple[set[int], list[str]]:
    first = parts[0]
    if first.isdecimal():
        if not 1 <= int(first) <= len(documents):
            raise _bad(setting, f"there is no step {first}", f"steps: 1 to {len(documents)}")
        return {int(first) - 1}, _rest(parts[1:], setting)
    fields = {
        index
        for index, document in enumerate(documents)
        if (spec := SPECS.get(str(document.get("kind")))) and first in spec.model_fields
    }
    if fields:
        return fields, parts
    # An output's name may hold dots, so it is compared with as many parts as it has.
    for index, document in enumerate(documents):
        name = str(document.get("output", "")).split(".")
        if parts[: len(name)] == name:
            return {index}, _rest(parts[len(name) :], setting)
    outputs = ", ".join(str(document["output"]) for document in documents if "output" in document)
    raise _bad(setting, f"no step has a field {first!r}", f"to choose a step: 1, 2, … or {outputs}")


def _rest(parts: list[str], setting: str) -> list[str]:
    if not parts:
        raise _bad(setting, "the path ends at a step", "name a field of it, e.g. 1.output=other")
    return parts


def _put(container: Any, parts: list[str], value: Any, setting: str) -> Any:
    """A copy of `container` with the value at the path; mappings on the way are made."""
    if not parts:
        return value
    first = parts[0]
    if isinstance(container, list) and first.isdecimal() and int(first) < len(container):
        changed = list(container)
        changed[int(first)] = _put(container[int(first)], parts[1:], value, setting)
        return changed
    if container is None:
        container = {}
    if not isinstance(container, dict):
        raise _bad(setting, f"{first!r} is below something that is no mapping")
    return {**container, first: _put(container.get(first), parts[1:], value, setting)}


def _bad(setting: str, message: str, hint: str = "") -> SpecError:
    return SpecError(message, code="bad-set", about=f"--set {setting}".strip(), hint=hint)
