"""The pages say what is there: paths, registries, rooms, targets of make."""

import re
from pathlib import Path

import pytest

from tests.test_layers import registries

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
DESIGN, CONTRIBUTING = ROOT / "docs/design.md", ROOT / "CONTRIBUTING.md"


def cells(page: Path, header: str) -> list[list[str]]:
    """The rows of the table whose header begins so."""
    lines = page.read_text().partition(f"| {header}")[2].splitlines()[2:]
    table = lines[: next(at for at, line in enumerate(lines) if not line.startswith("|"))]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table]


def spoken(text: str) -> list[str]:
    """What stands between backticks."""
    return re.findall(r"`([^`\n]+)`", text)


def stands(path: str) -> bool:
    """Whether a path, with <names> for anything, is there: from the root, or below medray/."""
    pattern = re.sub(r"<[^>]+>", "*", path)
    if "/" not in pattern:
        return any((ROOT / "medray").rglob(pattern)) or any(ROOT.glob(pattern))
    return any(any(base.glob(pattern)) for base in (ROOT, ROOT / "medray"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_names_is_there(page: Path) -> None:
    named = [one for one in spoken(page.read_text()) if re.fullmatch(r"[\w./<>-]+\.py", one)]
    assert [one for one in named if not stands(one)] == []


def test_a_path_that_is_gone_is_found() -> None:
    assert stands("formats/<name>.py")
    assert not stands("formats/<name>.txt")
    assert not stands("gone.py")


def where(group: str) -> tuple[str, str]:
    """Name and file of a registry."""
    for path in sorted((ROOT / "medray").rglob("*.py")):
        found = re.search(rf'^(\w+): .*= Registry\(\s*"{group}"', path.read_text(), re.MULTILINE)
        if found:
            return found[1], str(path.relative_to(ROOT))
    raise KeyError(group)


def test_the_registries_are_those_of_the_design() -> None:
    listed = {spoken(group)[0]: f"medray/{spoken(file)[0]}"
              for group, _, file in cells(DESIGN, "group | plugins")}  # fmt: skip
    assert listed == {group: where(group)[1] for group in registries()}
    assert len(listed) == 8


def test_how_to_add_a_plugin_names_what_is_to_be_touched() -> None:
    rows = cells(CONTRIBUTING, "a new | group")
    assert {spoken(row[1])[0] for row in rows} == set(registries())
    for _, group, home, base, line, tests in rows:
        (group,), (home,), (contract, file) = spoken(group), spoken(home), spoken(base)
        assert re.search(rf"^class {contract}\b", (ROOT / file).read_text(), re.MULTILINE), contract
        assert spoken(line) == list(where(group))
        assert [one for one in spoken(tests) if not (ROOT / one).exists()] == []
        # Most of those that ship with medray lie where the table says.
        pattern = re.sub(r"<[^>]+>", r"[^/]+", home.rstrip("/").removesuffix(".py"))
        theirs = [module.replace(".", "/") for module in registries()[group].values()]
        there = [one for one in theirs if re.fullmatch(pattern, one)]
        assert len(there) > len(theirs) / 2, (home, theirs)


def test_a_noun_of_the_glossary_stands_there_once() -> None:
    glossary = DESIGN.read_text().partition("## Glossary")[2].partition("\n## ")[0]
    rows = [line for line in glossary.splitlines() if re.match(r"\| (?!noun|---)", line)]
    nouns = [noun.strip() for row in rows for noun in row.split(" | ")[0].strip("| ").split(",")]
    assert len(nouns) > 35
    assert len(nouns) == len(set(nouns))
    assert [row for row in rows if not spoken(row.split(" | ")[1])] == []


def test_every_room_is_in_the_design() -> None:
    rooms = {path.name for path in (ROOT / "medray").iterdir() if (path / "__init__.py").exists()}
    listed = {one.rstrip("/") for row in cells(DESIGN, "room | holds") for one in spoken(row[0])}
    assert rooms <= listed
    assert {one for one in listed if not stands(one) and not stands(f"{one}.py")} == set()


def test_every_target_that_a_page_names_is_made() -> None:
    made = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {one for page in PAGES for one in spoken(page.read_text()) if one.startswith("make ")}
    assert len(named) > 5
    assert {one.split()[1] for one in named} <= made
