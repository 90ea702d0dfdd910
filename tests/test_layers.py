"""The shape of the house, imports for types and inside of functions counted: no circles, plugins
apart, no room too full. What may import what is import-linter's, in pyproject.toml."""

import ast
import os
from collections import Counter, defaultdict
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
MOST = 20  # Python files beside each other, `__init__` left out


@cache
def modules() -> dict[str, Path]:
    found = {}
    for path in sorted((ROOT / "medray").rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = path
    return found


@cache
def imports() -> dict[str, set[str]]:
    """Module → modules of medray that it imports, anywhere in it and for whatever reason."""
    found = defaultdict(set)
    for name, path in modules().items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert not node.level, f"{name} imports by dots"
                asked = [f"{node.module}.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.Import):
                asked = [alias.name for alias in node.names]
            else:
                continue
            found[name] |= {module_of(one) for one in asked if one.split(".")[0] == "medray"}
    return {name: others - {name, "medray"} for name, others in found.items()}


def module_of(dotted: str) -> str:
    while dotted not in modules():
        dotted = dotted.rpartition(".")[0]
    return dotted


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Groups of nodes that reach each other."""
    reach: dict[str, set[str]] = {}
    for start in graph:
        seen, todo = set(), [start]
        while todo:
            for other in graph.get(todo.pop(), set()) - seen:
                seen.add(other)
                todo.append(other)
        reach[start] = seen
    groups = {
        frozenset(one for one in reach[start] if start in reach.get(one, set()))
        for start in graph
        if start in reach[start]
    }
    return sorted(sorted(group) for group in groups)


def test_a_circle_is_found() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"d", "a"}}
    assert circles(graph) == [["b", "c"], ["d"]]


def test_no_modules_import_each_other() -> None:
    assert len(imports()) > 300
    assert circles(imports()) == []


def test_no_rooms_import_each_other() -> None:
    graph = defaultdict(set)
    for name, others in imports().items():
        mine = ".".join(name.split(".")[:2])
        graph[mine] |= {".".join(one.split(".")[:2]) for one in others} - {mine}
    assert circles(graph) == []


def test_no_room_is_too_full() -> None:
    counts = {
        str(folder.relative_to(ROOT)): len(set(folder.glob("*.py")) - {folder / "__init__.py"})
        for folder in {path.parent for path in modules().values()}
    }
    assert {folder: count for folder, count in counts.items() if count > MOST} == {}


@cache
def registries() -> dict[str, dict[str, str]]:
    """Entry point group → what ships with medray: name → module."""
    found = {}
    for path in modules().values():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Registry":
                group, known = (ast.literal_eval(argument) for argument in node.args)
                found[group] = {name: target.partition(":")[0] for name, target in known.items()}
    return found


SHARING = {"medray.models"}  # a network may be built of another


def test_plugins_know_nothing_of_others_of_their_kind_nor_does_what_they_share() -> None:
    """A plugin's home is its file or its folder; one that lies in another's folder is part of it,
    and one that lies in another room may use what is below it."""
    known = []
    for group, plugins in registries().items():
        room = room_of(list(plugins.values()))
        targets = [module for module in plugins.values() if module.startswith(f"{room}.")]
        folders = {module for module in targets if modules()[module].name == "__init__.py"}
        homes = {home_of(module, folders) or module for module in targets}
        for name in filter(lambda one: one.startswith(f"{room}."), modules()):
            mine = home_of(name, homes)
            theirs = {home_of(one, homes) for one in imports().get(name, set())} - {mine, ""}
            if not (mine and group in SHARING):
                known += [(group, name, other) for other in theirs]
    assert known == []


def room_of(plugins: list[str]) -> str:
    """The package in which most of them lie."""
    rooms = Counter(".".join(module.split(".")[:2]) for module in plugins)
    most = rooms.most_common(1)[0][0]
    paths = [module.replace(".", "/") for module in plugins if module.startswith(f"{most}.")]
    return os.path.commonpath(paths).replace("/", ".")


def home_of(module: str, homes: set[str]) -> str:
    """The outermost that it lies in."""
    return min((one for one in homes if f"{module}.".startswith(f"{one}.")), key=len, default="")
