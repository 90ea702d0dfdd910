"""Nobody asks for a plugin's name outside its own folder: they ask the plugin."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from medray.baselines import BASELINES
from medray.engine.training.objectives import OBJECTIVES
from medray.formats import FORMATS
from medray.modalities import MODALITIES
from medray.models import MODELS
from medray.registry import Registry
from medray.spec.kinds import KINDS
from medray.steps.transform.transforms import TRANSFORMS
from medray.tasks import TASKS

ROOT = Path(__file__).parent.parent
ROOM = ROOT / "medray"
STARTS = ("startswith", "endswith", "removeprefix", "removesuffix")
REGISTRIES = (FORMATS, MODELS, TASKS, MODALITIES, TRANSFORMS, KINDS, OBJECTIVES, BASELINES)

# The same word where it is no plugin's name: folder or file, word, what it is there.
OTHERWISE = {
    ("formats", "image"): "an array",
    ("formats", "sequence"): "an array, or a column of text",
    ("formats", "signal"): "an array",
    ("formats/image", "instances"): "a layout",
    ("models/signal", "signal"): "what comes in, beside its context",
    ("formats/molecules", "smiles"): "a header, or a column of text",
    ("formats/vcf", "filter"): "the column FILTER",
    ("modalities/notation", "smiles"): "a notation, or a column",
    ("formats/vcf", "variants"): "a count, or the first axis of VCF Zarr",
    ("engine/quality", "variants"): "a count",
    ("commands/look.py", "summary"): "of scores",
    ("modalities/image/drawn", "summary"): "of drawings",
    ("modalities/notation", "summary"): "of drawings",
    ("report/collect.py", "summary"): "of scores",
    ("steps/evaluate", "summary"): "of scores",
    ("formats/fhir", "text"): "a field of FHIR",
    ("formats/heat", "classification"): "a field of QuPath's",
    ("steps/transform/transforms/slide_tiles.py", "image"): "an array",
    ("steps/transform/transforms/slide_tiles.py", "slide"): "a column",
    ("formats/molecules", "text"): "a kind of column",
    ("formats/table", "text"): "a kind of column",
    ("formats/wfdb", "text"): "a column",
    ("modalities/arrow.py", "text"): "a kind of column",
    ("jobs/provision", "image"): "of a container",
    ("steps/export", "image"): "the array beside a mask",
    ("steps/transform/transforms", "signal"): "an array",
    ("steps/transform/transforms/mask_objects.py", "image"): "an array",
    ("steps/transform/transforms/genome_windows.py", "sequence"): "a column of text",
    ("steps/transform/transforms/variant_qc.py", "variants"): "a count",
    ("tasks/survival", "cox"): "a loss",
    ("tasks/survival", "risk"): "a column",
    ("storage/shards/forms/ome.py", "image"): "an array, as OME-Zarr has one",
}


def homes() -> dict[str, set[Path]]:
    """Each plugin's name, and where it may stand: the package or module of the plugin."""
    found: dict[str, set[Path]] = defaultdict(set)
    for registry in REGISTRIES:
        for name, target in registry._known.items():
            place = ROOT.joinpath(*target.partition(":")[0].split("."))
            found[name].add(place if place.is_dir() else place.with_suffix(".py"))
    return found


def asked(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and word wherever code compares, matches or looks up a word, or has tables by words."""
    tables = [
        node.args[1]
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == Registry.__name__
    ]
    for node in ast.walk(tree):
        words: list[ast.AST | None] = []
        match node:
            case ast.Compare():
                for side in (node.left, *node.comparators):
                    words += (
                        side.elts if isinstance(side, ast.Tuple | ast.Set | ast.List) else [side]
                    )
            case ast.MatchValue():
                words = [node.value]
            case ast.Dict() if node not in tables and all(
                isinstance(key, ast.Constant) for key in node.keys
            ):
                words = list(node.keys)
            case ast.Subscript(value=ast.Name(id=name)) if name.isupper():
                words = [node.slice]
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name))) if name.isupper():
                words = list(node.args)
            case ast.Call(func=ast.Attribute(attr=attr)) if attr in STARTS:
                words = list(node.args)
        for word in words:
            if isinstance(word, ast.Constant) and isinstance(word.value, str):
                yield word.lineno, word.value


@pytest.mark.parametrize(
    "code",
    [
        "task.name == 'regression'",
        "kind in ('lstm', 'regression')",
        "TABLE['regression']",
        "TABLE.get('regression', 0)",
        "{'regression': 1, 'other': 2}",
        "name.startswith('regression')",
        "match name:\n    case 'regression': pass",
    ],
)
def test_asking_for_a_name_is_noticed(code: str) -> None:
    assert "regression" in [word for _, word in asked(ast.parse(code))]


def test_pages_ask_for_no_name() -> None:
    for template in (ROOM / "report").glob("*.j2"):
        quoted = set(re.findall(r"[\"']([a-z_]+)[\"']", template.read_text()))
        kinds = {"text"}  # of cells
        assert quoted & set(homes()) <= kinds, template


def test_no_name_of_a_plugin_is_asked_for_outside_its_folder() -> None:
    names = homes()
    found, met = [], set()
    for path in sorted(ROOM.rglob("*.py")):
        for line, word in asked(ast.parse(path.read_text())):
            if word not in names or any(path.is_relative_to(home) for home in names[word]):
                continue
            at = path.relative_to(ROOM).as_posix()
            excuses = {key for key in OTHERWISE if key[1] == word and at.startswith(key[0])}
            met |= excuses
            if not excuses:
                found.append(f"{at}:{line} {word!r}")
    assert found == []
    assert set(OTHERWISE) - met == set(), "stale"
