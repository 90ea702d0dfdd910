"""YAML files as plain documents: safe, bounded; variables are filled in where they are used."""

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from medray.errors import SpecError
from medray.spec.urls import refuse_userinfo
from medray.veil import remember

MAX_BYTES = 2**20
MAX_ALIASES = 100
MAX_DEPTH = 32
MAX_NODES = 100_000  # after aliases are followed: nine levels of nine aliases make 3e8
MAX_FOLLOWED = 100  # depth after aliases are followed: one that holds itself has no end

Place = Callable[..., str]  # the parts of a field's path → how errors name the place

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


def read_documents(path: Path) -> list[dict[str, Any]]:
    """The documents of a YAML file, with variables as they stand; empty ones are passed over.

    Raises:
        SpecError: there is no such file (code "no-such-file"), it is no YAML ("bad-yaml"), a
            document is no mapping ("not-a-mapping"), it is too large or too deep
            ("file-too-large"), a key stands twice ("duplicate-key"), a variable is unset
            ("unset-variable"), or a URL holds a secret ("secret-in-url").
    """
    try:
        size = path.stat().st_size
        text = path.read_text("utf-8") if size <= MAX_BYTES else ""
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise SpecError("there is no such file", code="no-such-file", about=str(path)) from error
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(
            f"the file cannot be read ({type(error).__name__})", code="bad-yaml", about=str(path)
        ) from error
    if size > MAX_BYTES:
        raise SpecError(f"larger than {MAX_BYTES} bytes", code="file-too-large", about=str(path))
    documents = [item for item in parse(text, str(path)) if item is not None]
    if not documents:
        raise SpecError("the file holds no document", code="bad-yaml", about=str(path))
    for number, document in enumerate(documents, 1):
        if not isinstance(document, dict):
            raise SpecError(
                "not a mapping of keys to values",
                code="not-a-mapping",
                about=place(path, number),
                hint="begin with `kind: …`",
            )
    for number, document in enumerate(documents, 1):
        expand(document, place(path, number))
    return documents


def place(path: Path | str, number: int, *parts: str | int) -> str:
    """How errors name a place: file, number of the document, path of the field."""
    field = ".".join(str(part) for part in parts)
    return f"{path}, document {number}" + (f", {field}" if field else "")


def parse(text: str, about: str) -> list[Any]:
    """All documents of a YAML text, by the safe loader.

    Raises:
        SpecError: see `read_documents`.
    """
    try:
        return list(yaml.load_all(text, _Loader))  # a SafeLoader
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        code = "duplicate-key" if isinstance(error, _DuplicateKey) else "bad-yaml"
        raise SpecError(
            error.problem or "cannot be parsed",
            code=code,
            about=f"{about}{line}",
            hint="quote ${…} inside [ ] and { }" if "${" in text else "",
        ) from error
    except (yaml.YAMLError, ValueError) as error:
        raise SpecError("cannot be parsed as YAML", code="bad-yaml", about=about) from error


def expand(value: Any, about: str, environment: Mapping[str, str] = os.environ) -> Any:
    """`value` with `${NAME}` and `${NAME:-default}` replaced in every string of it.

    Raises:
        SpecError: a variable without a default is unset (code "unset-variable"), a URL holds a
            secret ("secret-in-url"), or aliases make the document too large ("file-too-large").
    """
    left = MAX_NODES

    def walk(item: Any, where: str, depth: int) -> Any:
        nonlocal left
        left -= 1
        if left < 0 or depth > MAX_FOLLOWED:
            raise SpecError("aliases make it too large", code="file-too-large", about=about)
        if isinstance(item, dict):
            return {key: walk(inner, f"{where}.{key}", depth + 1) for key, inner in item.items()}
        if isinstance(item, list):
            return [walk(inner, f"{where}.{at}", depth + 1) for at, inner in enumerate(item)]
        if not isinstance(item, str):
            return item
        if "${" in item:
            item = _VARIABLE.sub(lambda match: fill(match, where), item)
        return refuse_userinfo(item, at(where))

    def at(where: str) -> str:
        return f"{about}, {where.lstrip('.')}" if where else about

    def fill(match: re.Match[str], where: str) -> str:
        name, default = match.groups()
        if value := environment.get(name):
            remember(name, value)
            return value
        if default is None:
            raise SpecError(
                f"the environment variable {name} is not set",
                code="unset-variable",
                about=at(where),
                hint=f"export {name}=…",
            )
        return str(default)

    return walk(value, "", 0)


def variables_of(value: Any) -> set[str]:
    """Names of all variables in a document, or in several."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return set().union(*map(variables_of, value))
    return {name for name, _ in _VARIABLE.findall(value)} if isinstance(value, str) else set()


class _DuplicateKey(yaml.constructor.ConstructorError):
    pass


class _Loader(yaml.SafeLoader):
    """SafeLoader that bounds aliases and depth, and refuses a key that stands twice."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._aliases = self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            self._aliases += 1
        self._depth += 1
        if self._aliases > MAX_ALIASES or self._depth > MAX_DEPTH:
            raise yaml.MarkedYAMLError(problem="too many aliases, or nested too deep")
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for key, _ in node.value:
            if keys.count(key.value) > 1 and key.value != "<<":
                raise _DuplicateKey(None, None, f"{key.value!r} stands twice", key.start_mark)
        return super().construct_mapping(node, deep)
