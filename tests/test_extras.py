"""What is imported is installed: by medray itself, or by the extra that an error would name."""

import ast
import re
import sys
import tomllib
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from medray.errors import SpecError
from medray.extras import EXTRAS, lacking, need
from medray.registry import Registry

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# Libraries that are imported and come with others, which promise their being there.
WITH = {
    "botocore": "boto3",
    "markupsafe": "jinja2",
    "prometheus-client": "ray",
    "pydantic-core": "pydantic",
}


def packages(lines: list[str]) -> set[str]:
    return {normal(re.match(r"[\w.-]+", line)[0]) for line in lines}  # type: ignore[index]


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


CORE = packages(PROJECT["dependencies"])
OF = {name: packages(lines) for name, lines in PROJECT["optional-dependencies"].items()}


@cache
def imported() -> set[str]:
    found: set[str] = set()
    for path in (ROOT / "medray").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found.add(str(node.module).partition(".")[0])
    return found - set(sys.stdlib_module_names) - {"medray", "_typeshed"}


def distribution(library: str) -> str:
    (name,) = {normal(name) for name in packages_distributions()[library]}
    return WITH.get(name, name)


def test_whatever_is_imported_is_of_the_core_or_of_the_extras_that_its_error_names() -> None:
    for library in imported():
        name = distribution(library)
        extras = {extra for extra in OF if extra != "dev" and name in OF[extra]}
        assert (name in CORE) != bool(set(EXTRAS.get(library, ())) - {"hdf5"}), library
        if name not in CORE:
            assert set(EXTRAS[library]) == extras, library


def test_every_library_of_the_map_is_of_its_extra() -> None:
    there = packages_distributions()
    for library, extras in EXTRAS.items():
        if library in there:  # hdf5plugin is not, in most environments
            assert all(distribution(library) in OF[extra] for extra in extras), library


def test_all_is_every_extra_that_something_here_imports() -> None:
    used = {extra for library in imported() for extra in EXTRAS.get(library, ())}
    (line,) = PROJECT["optional-dependencies"]["all"]
    assert set(re.findall(r"\w+", line.partition("[")[2])) == used


def test_what_is_missing_is_named_with_the_way_to_it() -> None:
    with pytest.raises(SpecError) as caught:
        need("json", "surely_not_there", what="it")
    assert (caught.value.code, caught.value.about) == ("missing-extra", "it")
    assert caught.value.hint == "install it"
    inside = lacking(ModuleNotFoundError("No module named 'zarr.core'", name="zarr.core"))
    assert inside.hint == "pip install 'medray[genomics]' or pip install 'medray[imaging]'"


def test_a_registry_names_the_extra_of_a_plugin_that_cannot_be_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stands_on_pysam.py").write_text("import pysam\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(sys.modules, "pysam", None)
    registry = Registry[object]("medray.formats", {"odd": "stands_on_pysam:Odd"})
    with pytest.raises(SpecError) as caught:
        registry.get("odd")
    assert (caught.value.code, caught.value.about) == ("missing-extra", "medray.formats, odd")
    assert caught.value.hint == "pip install 'medray[genomics]'"
