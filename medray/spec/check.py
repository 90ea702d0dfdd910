"""Validation whose errors say which file, document and field, and what would be right."""

import difflib
import functools
import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

from pydantic import Field, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from medray.errors import SpecError

T = TypeVar("T")

MOST_TOLD = 3  # problems besides the first


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with a value: where in it, what, and what would be right."""

    path: tuple[str | int, ...]
    message: str
    hint: str


class ByKind(Generic[T]):
    """Models that their field `kind` tells apart.

    Only the one that a value asks for is built: all steps take 25 ms to build.

    Args:
        models: by kind; only what is asked for is looked up.
    """

    def __init__(self, models: Mapping[str, type[T]]) -> None:
        self._models = models
        self._built: dict[str, TypeAdapter[T]] = {}

    def validate_python(self, value: Any) -> T:
        """`value` as a model.

        Raises:
            ValidationError: it is none.
        """
        kind = value.get("kind") if isinstance(value, dict) else None
        if not isinstance(kind, str) or kind not in self._models:
            return self._all.validate_python(value)  # says which kinds there are
        if kind not in self._built:
            self._built[kind] = TypeAdapter(self._models[kind])
        return self._built[kind].validate_python(value)

    def json_schema(self) -> dict[str, Any]:
        """JSON Schema of all models."""
        return self._all.json_schema()

    @property
    def _all(self) -> TypeAdapter[T]:
        union: Any = functools.reduce(operator.or_, self._models.values())
        return TypeAdapter(Annotated[union, Field(discriminator="kind")])


def tried(adapter: TypeAdapter[T] | ByKind[T], value: Any) -> T | list[Fault]:
    """`value` as a model, or everything that is wrong with it."""
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=True, include_input=False)
        return [
            Fault(tuple(path), _message(one), _hint(one, adapter, _at(value, path)))
            for one in problems
            for path in [_path(one, value)]
        ]


def check(adapter: TypeAdapter[T] | ByKind[T], value: Any, about: Callable[..., str]) -> T:
    """`value` as a model.

    Args:
        adapter: of the model.
        value: plain, as YAML gives it.
        about: maps the parts of a field's path to how errors name the place.

    Raises:
        SpecError: it does not fit (code "bad-field").
    """
    made = tried(adapter, value)
    if not isinstance(made, list):
        return made
    first, *others = made
    told = [f"; also {'.'.join(map(str, one.path))}: {one.message}" for one in others]
    if len(told) > MOST_TOLD:
        told[MOST_TOLD:] = [f"; and {len(told) - MOST_TOLD} more"]
    raise SpecError(
        first.message + "".join(told), code="bad-field", about=about(*first.path), hint=first.hint
    )


def _path(problem: ErrorDetails, value: Any) -> list[str | int]:
    """Where in `value` a problem is."""
    loc = problem["loc"]
    path = [part for part in loc if part in _keys(value) or isinstance(part, int)]
    if problem["type"] in ("missing", "extra_forbidden") and loc[-1] not in path[-1:]:
        path.append(loc[-1])
    return path


def _keys(value: Any) -> set[Any]:
    """Every key in a nested value. A location also names union members, which nobody wrote."""
    if isinstance(value, dict):
        return set(value).union(*(_keys(inner) for inner in value.values()))
    if isinstance(value, list):
        return set().union(*(_keys(inner) for inner in value)) if value else set()
    return set()


def _message(problem: ErrorDetails) -> str:
    match problem["type"]:
        case "missing":
            return "is missing"
        case "union_tag_not_found":
            return "`kind` is missing"
        case "union_tag_invalid":
            return f"there is no kind {problem['ctx']['tag']!r}"
        case "extra_forbidden":
            return "there is no such field"
        case "value_error":
            return str(problem["ctx"]["error"])
        case "string_pattern_mismatch":
            return "not a name: a-z, 0-9, '.', '_' and '-', a version after '@'"
    return problem["msg"][:1].lower() + problem["msg"][1:]


def _at(value: Any, path: Iterable[str | int]) -> Any:
    """What stands in a nested value at a path; None where nothing does."""
    for part in path:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def _hint(problem: ErrorDetails, adapter: TypeAdapter[Any] | ByKind[Any], given: Any) -> str:
    if problem["type"] == "string_type" and isinstance(given, bool):
        return "YAML reads yes, no, on and off as true and false: quote the word"
    if problem["type"] == "union_tag_invalid":
        return f"one of {problem['ctx']['expected_tags']}"
    if problem["type"] != "extra_forbidden":
        return ""
    word, schema = str(problem["loc"][-1]), adapter.json_schema()
    names = {*_fields(schema)} - {word}  # of another kind of step it may be one
    near = difflib.get_close_matches(word, names, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    if len(problem["loc"]) > 1 or "properties" not in schema:
        return ""
    return f"one of {', '.join(schema['properties']) or 'none at all'}"


def _fields(schema: Any) -> Iterable[str]:
    """Every field's name anywhere in a JSON schema."""
    names: set[str] = set()
    if isinstance(schema, dict):
        names.update(schema.get("properties", {}))
        for inner in schema.values():
            names.update(_fields(inner))
    elif isinstance(schema, list):
        for inner in schema:
            names.update(_fields(inner))
    return names
