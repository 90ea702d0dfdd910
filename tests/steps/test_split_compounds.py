"""Compounds into parts: the published rule to the row, equal ones together, contradictions told."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medray.errors import SpecError
from medray.jobs.run import run
from medray.storage.catalog.datasets import Dataset, open_dataset
from medray.storage.store.objects import Objects

RINGS = ["c1ccccc1", "C1CCCCC1", "c1ccncc1", "c1ccoc1", "c1ccsc1"]


def table() -> list[tuple[str, float, int, str]]:
    """SMILES, value, year, part: scaffolds of 13, 6, 1, 1 and 1 rows; two compounds come twice."""
    rows = [f"{'C' * n}{RINGS[0]}" for n in range(1, 13)]
    rows += [f"{'C' * n}{RINGS[1]}" for n in range(1, 7)]
    rows += RINGS[2:] + ["C" * n for n in (1, 2, 3, 4)] + ["c1ccccc1C", "OCC", "CCO"]
    return [
        (smiles, n % 2, 2000 + n, "train" if n < 20 else "test") for n, smiles in enumerate(rows)
    ]


def made(objects: Objects, root: Path, **options: Any) -> Dataset:
    root.mkdir(exist_ok=True)
    lines = [",".join(map(str, row)) for row in table()]
    (root / "a.csv").write_text("\n".join(["smiles,y,year,part", *lines, ""]))
    bits = {"radius": 2, "bits": 2048}
    form = {"name": "smiles", "targets": ["y"], "fingerprint": bits}
    form["columns"] = {"year": "integer", "part": "text"}
    ingest = {"kind": "ingest", "source": str(root), "format": form, "output": "raw"}
    parts = {"train": 0.8, "val": 0.1, "test": 0.1}
    operation = {"name": "split-compounds", "targets": ["y"], "parts": parts, **options}
    step = {"kind": "transform", "data": "raw", "operation": operation, "output": "parted"}
    run([ingest, step], storage=objects, cluster="inline")
    return open_dataset(objects, "parted")


def deepchem(scaffolds: list[str]) -> list[str]:
    """Parts of .8, .1, .1 as DeepChem's ScaffoldSplitter makes them."""
    groups: dict[str, list[int]] = {}
    for row, scaffold in enumerate(scaffolds):
        groups.setdefault(scaffold, []).append(row)
    parts = [""] * len(scaffolds)
    count = {"train": 0, "val": 0}
    for group in sorted(groups.values(), key=lambda one: (len(one), one[0]), reverse=True):
        if count["train"] + len(group) <= 0.8 * len(scaffolds):
            part = "train"
        elif count["train"] + count["val"] + len(group) <= 0.9 * len(scaffolds):
            part = "val"
        else:
            part = "test"
        count[part] = count.get(part, 0) + len(group)
        for row in group:
            parts[row] = part
    return parts


def test_scaffolds_are_divided_as_published(objects: Objects, tmp_path: Path) -> None:
    data = made(objects, tmp_path / "in", rule="scaffold")
    rows = data.samples.to_pylist()
    scaffolds = ["" if "1" not in row["scaffold"] else row["scaffold"] for row in rows]
    assert [row["split"] for row in rows] == deepchem(scaffolds)
    found = data.attributes["split"]
    assert (
        found["rule"] == "by scaffold, largest first, ties by last first row; acyclic one scaffold"
    )
    train = found["parts"][0]
    own = [row for row in rows if row["split"] == "train"]
    assert (train["part"], train["rows"]) == ("train", len(own))
    assert train["compounds"] == len({row["canonical"] for row in own})
    assert train["y: mean"] == pytest.approx(np.mean([row["y"] for row in own]))
    # Toluene and ethanol stand there twice with other values.
    assert found["conflicts"] == {"y": 2}
    raw = open_dataset(objects, "raw")
    for row in (0, 20):
        for name in ("atoms", "bonds", "fingerprint"):
            assert np.array_equal(data.array(row, name)[...], raw.array(row, name)[...])


@pytest.mark.parametrize(
    "options",
    [
        {"rule": "random", "seed": 3},
        {"rule": "scaffold", "acyclic": "alone"},
        {"rule": "cluster", "similarity": 0.5},
        {"rule": "time", "column": "year"},
    ],
)
def test_equal_compounds_are_in_one_part_whatever_the_rule(
    objects: Objects, tmp_path: Path, options: dict[str, Any]
) -> None:
    data = made(objects, tmp_path / "in", **options)
    rows = data.samples.to_pylist()
    parts: dict[str, set[str]] = {}
    for row in rows:
        parts.setdefault(row["canonical"], set()).add(row["split"])
    assert max(map(len, parts.values())) == 1
    counts = [sum(row["split"] == part for row in rows) for part in ("train", "val", "test")]
    assert sum(counts) == len(rows)
    assert min(counts) >= 1
    if options["rule"] == "time":
        first = {
            part: min(r["year"] for r in rows if r["split"] == part) for part in ("val", "test")
        }
        last = max(r["year"] for r in rows[:24] if r["split"] == "train")
        assert last < first["val"] < first["test"]


def test_parts_that_are_given_must_not_share_compounds(objects: Objects, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="straddling-compounds"):
        made(objects, tmp_path / "in", rule="given", column="part")
    with pytest.raises(SpecError, match="no-such-column"):
        made(objects, tmp_path / "in", rule="time", column="month")


def test_dividing_by_a_column_that_is_not_there_is_no_quiet_split(
    objects: Objects, tmp_path: Path
) -> None:
    root = tmp_path / "in"
    root.mkdir()
    (root / "a.csv").write_text("smiles,site\nCCO,a\nCC,\n")
    step = {
        "kind": "ingest",
        "source": str(root),
        "format": {"name": "smiles"},
        "output": "raw",
    }
    for by in ("place", "site"):
        with pytest.raises(SpecError, match="nothing-to-divide"):
            run([{**step, "split": {"train": 1, "by": by}}], storage=objects, cluster="inline")
    known = {**step, "format": {"name": "smiles", "columns": {"site": "text"}}}
    with pytest.raises(SpecError, match="no-such-column"):
        run([{**known, "split": {"train": 1, "by": "place"}}], storage=objects, cluster="inline")
    run([{**known, "split": {"train": 1, "by": "scaffold"}}], storage=objects, cluster="inline")
    assert set(open_dataset(objects, "raw").samples["split"].to_pylist()) == {"train"}
