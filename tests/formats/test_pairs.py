"""Matrices and long tables of compounds and proteins: what becomes of each cell and each row."""

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medray.errors import DataError, SpecError
from medray.formats.base import Source
from medray.formats.pairs import Pairs
from medray.formats.pairs.folder import Folds, load, numbered
from medray.formats.pairs.options import PairsOptions
from medray.jobs.run import run
from medray.storage.catalog.datasets import open_dataset
from medray.storage.shards.records import Refusal
from medray.storage.shards.rows import Rows
from medray.storage.store.objects import Objects

COMPOUNDS = {"a": "CCO", "b": "OCC", "c": "C1CC", "d": "c1ccccc1"}  # b is a; c is none
PROTEINS = {"P1": "MKVL", "P2": "GGST", "P2(mutant)": "GGST"}


def folder(root: Path, cells: list[list[Any]], **folds: Any) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    (root / "ligands_can.txt").write_text(json.dumps(COMPOUNDS))
    (root / "ligands_iso.txt").write_text(json.dumps(COMPOUNDS))
    (root / "proteins.txt").write_text(json.dumps(PROTEINS))
    (root / "values.txt").write_text("\n".join(" ".join(map(str, row)) for row in cells) + "\n")
    (root / "drug-drug_similarities.txt").write_text("1 0 0 0\n" * 4)
    for name, lists in folds.items():
        (root / "folds").mkdir(exist_ok=True)
        (root / "folds" / f"{name}_fold_setting1.txt").write_text(json.dumps(lists))
    return root


def read(root: Path, **options: Any) -> tuple[list[dict[str, Any]], Rows, list[Refusal], Any]:
    form, source = Pairs(PairsOptions(**options)), Source(root)
    plan = form.plan(source)
    found = [one for group in plan.groups for item in group for one in form.read(source, item)]
    (rows,) = (one for one in found if isinstance(one, Rows))
    refused = [one for one in found if isinstance(one, Refusal)]
    return rows.table.to_pylist(), rows, refused, plan


def test_a_matrix_is_a_row_for_each_measured_cell(tmp_path: Path) -> None:
    cells = [[10000, 1, 100], ["nan", 10, 1000], [5, 5, 5], [0, "x", 1e9]]
    rows, stored, refused, plan = read(folder(tmp_path, cells))
    assert plan.attributes["matrices"][""] == {
        "scale": "nM", "matrix": "values.txt", "measured": 11, "missing": 1,
    }  # fmt: skip
    assert [(row["compound"], row["protein"], row["affinity"]) for row in rows] == [
        ("a", "P1", pytest.approx(5)), ("a", "P2", pytest.approx(9)),
        ("a", "P2(mutant)", pytest.approx(7)), ("b", "P2", pytest.approx(8)),
        ("b", "P2(mutant)", pytest.approx(6)), ("d", "P2(mutant)", pytest.approx(0)),
    ]  # fmt: skip
    assert [row["sample_id"] for row in rows][3:] == [f"pair-{n:07d}" for n in (4, 5, 11)]
    codes = {one.sample: one.code for one in refused}
    assert codes == {
        "pair-0000006": "unreadable", "pair-0000007": "unreadable", "pair-0000008": "unreadable",
        "pair-0000009": "bad-value", "pair-0000010": "bad-value",
    }  # fmt: skip
    assert {one.source for one in plan.refused} == {"ligands_iso.txt", "drug-drug_similarities.txt"}
    # Equal compounds and equal sequences are stored once, with the row that comes first.
    assert stored.ragged["compound_atoms"].lengths.tolist() == [3, 0, 0, 0, 0, 6]
    assert stored.ragged["residues"].lengths.tolist() == [4, 4, 0, 0, 0, 0]
    assert stored.ragged["residues"].values.tobytes() == b"MKVLGGST"
    assert rows[1]["sequence_id"] == rows[2]["sequence_id"] != rows[0]["sequence_id"]
    assert rows[0]["canonical"] == rows[3]["canonical"]


def test_values_on_a_logarithmic_scale_stay(tmp_path: Path) -> None:
    cells = [[11.1, 17.2, "nan"]] * 4
    rows, *_, plan = read(folder(tmp_path, cells))
    assert plan.attributes["matrices"][""]["scale"] == "p"
    assert {row["affinity"] for row in rows} == {11.1, 17.2}
    rows, *_ = read(tmp_path, scale="nM")
    assert rows[0]["affinity"] == pytest.approx(9 - np.log10(11.1))


@pytest.mark.parametrize(
    ("train", "test", "wanted"),
    [
        ([[0, 1], [2]], [3, 4, 5], "measured"),  # all measured values, in order
        ([[0, 2], [5]], [9, 11], "matrix"),  # beyond the number of values
        ([[1], [2]], [4], "measured"),  # nothing is measured in cell 1
        ([[0], [2]], [4], "ambiguous-folds"),
        ([[0], [0]], [4], "overlapping-folds"),
        ([[0], [12]], [4], "bad-folds"),
    ],
)
def test_positions_count_what_fits(
    tmp_path: Path, train: list[list[int]], test: list[int], wanted: str
) -> None:
    cells = [[1, "nan", 2], ["nan", 3, 4], ["nan", "nan", "nan"], [5, "nan", 6]]
    folder(tmp_path, cells)
    matrix = load(COMPOUNDS, PROTEINS, tmp_path / "values.txt")
    folds = [[np.array(one) for one in train], [np.array(test)]]
    if "-folds" in wanted:
        with pytest.raises(DataError, match=wanted):
            numbered(matrix, folds, "auto")
    else:
        assert numbered(matrix, folds, "auto") == wanted


def test_folds_name_the_part_of_each_cell(tmp_path: Path) -> None:
    cells = [[6, "nan", 7], ["nan", 8, 9], ["nan", "nan", "nan"], [5, "nan", 4]]
    rows, *_ = read(folder(tmp_path, cells, train=[[4, 0], [2]], test=[5, 1]))
    found = {row["affinity"]: (row["part"], row["fold"]) for row in rows}
    assert found == {
        6: ("train", 0), 7: ("test", None), 8: ("train", 1), 9: (None, None), 5: ("train", 0),
        4: ("test", None),
    }  # fmt: skip
    matrix = load(COMPOUNDS, PROTEINS, tmp_path / "values.txt")
    counted = Folds.of(matrix, [[np.array([0, 2])], [np.array([11])]], "matrix")
    assert np.flatnonzero(counted.part >= 0).tolist() == [0, 2, 11]
    assert set(counted.fold.tolist()) == {-1}  # of one list there is no number


TABLE = [
    ("CCO", "MKVL", "10", "x"),
    ("OCC", "mkvl*", "100", "y"),
    ("CCO", "MK VL", "1", ""),
    ("CCO", "", "1", ""),
    ("C(", "MKVL", "1", ""),
    ("CCO", "GGST", "", "z"),
    ("CCO", "GGST", "-3", ""),
    ("CCO", "GGST", "much", ""),
]


@pytest.mark.parametrize("suffix", [".csv", ".tsv.gz", ".parquet"])
def test_a_long_table_is_a_pair_a_row(tmp_path: Path, suffix: str) -> None:
    names = ["SMILES", "target", "Kd", "note"]
    path = tmp_path / f"pairs{suffix}"
    if suffix == ".parquet":
        pq.write_table(pa.table(dict(zip(names, zip(*TABLE, strict=True), strict=True))), path)
    else:
        text = "\n".join(("," if suffix == ".csv" else "\t").join(row) for row in [names, *TABLE])
        path.write_bytes(gzip.compress(text.encode()) if suffix.endswith("gz") else text.encode())
    asked = {"smiles": "SMILES", "sequence": "target", "value": "Kd", "columns": {"note": "text"}}
    rows, stored, refused, _ = read(tmp_path, scale="nM", **asked)
    assert [(row["affinity"], row["note"]) for row in rows] == [(8, "x"), (7, "y"), (None, "z")]
    assert stored.ragged["compound_atoms"].lengths.tolist() == [3, 0, 0]
    assert stored.ragged["residues"].lengths.tolist() == [4, 0, 4]
    assert Counter(one.code for one in refused) == {
        "no-residues": 1, "no-sequence": 1, "unreadable": 1, "bad-value": 2
    }  # fmt: skip
    with pytest.raises(SpecError, match="no-scale"):
        read(tmp_path, **asked)


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        ({"proteins.txt": None}, "no-proteins"),
        ({"proteins.txt": '{"P1": 3}'}, "bad-json"),
        ({"ligands_can.txt": '{"a": "C", "a": "N"}'}, "duplicate-id"),
        ({"values.txt": "1 2 3\n"}, "which-matrix"),
        ({"values.txt": "nan nan nan\n" * 4}, "nothing-measured"),
        ({"other.txt": "1 2 3\n" * 4}, "which-matrix"),
        ({"folds/train_other.txt": "[1]"}, "several-folds"),
        ({"folds/test_fold_setting1.txt": "[-1]"}, "bad-folds"),
    ],
)
def test_a_folder_that_does_not_fit_is_refused(
    tmp_path: Path, damage: dict[str, str | None], code: str
) -> None:
    folder(tmp_path, [[1, 2, 3]] * 4, train=[0], test=[1])
    for name, text in damage.items():
        if text is None:
            (tmp_path / name).unlink()
        else:
            (tmp_path / name).write_text(text)
    plan = Pairs(PairsOptions()).plan(Source(tmp_path))
    assert not plan.groups
    assert code in {one.code for one in plan.refused}


def test_a_matrix_that_was_cut_is_named_with_what_it_lacks(tmp_path: Path) -> None:
    folder(tmp_path, [[1, 2, 3]] * 4)
    (tmp_path / "values.txt").write_text("1 2 3\n1 2\n")
    (refusal,) = Pairs(PairsOptions()).plan(Source(tmp_path)).refused
    assert refusal.code == "which-matrix"
    assert "values.txt: the matrix has 2 rows for 4 compounds" in refusal.hint.split("; ")


def test_davis_is_what_it_is_known_to_be(data_dir: Path, objects: Objects) -> None:
    step = {
        "kind": "ingest", "format": {"name": "pairs"}, "output": "davis",
        "source": str(data_dir / "chem/dta/davis"), "split": {"column": "part"},
    }  # fmt: skip
    run([step], storage=objects, cluster="inline")
    data = open_dataset(objects, "davis")
    table = data.samples
    assert Counter(table["split"].to_pylist()) == {"train": 25_046, "test": 5_010}
    values = np.asarray(table["affinity"])
    assert (values.min(), values.max()) == pytest.approx((5, 10.796), abs=1e-3)
    assert (values == 5).mean() == pytest.approx(0.696, abs=1e-3)
    assert len(set(table["canonical"].to_pylist())) == 68
    assert len(set(table["sequence_id"].to_pylist())) == 379
    assert [np.count_nonzero(data.shards[0].ragged(name).lengths)
            for name in ("compound_atoms", "residues")] == [68, 379]  # fmt: skip
    assert not len(data.quarantine().filter(data.quarantine()["kind"].to_numpy() == "quarantined"))
