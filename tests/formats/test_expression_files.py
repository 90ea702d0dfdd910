"""Expression as its makers write it: blanks, prefixes, nullable texts, filters of HDF5."""

import gzip
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.sparse as sp

from medray.errors import DataError
from tests.formats.test_expression import (
    CELLS,
    COUNTS,
    GENES,
    as_folder,
    as_h5ad,
    read,
    texts,
    values,
)

HEAD = "%%MatrixMarket matrix coordinate integer general\n"


def entries(*, mark: str = " ", end: str = "\n") -> str:
    rows, columns = np.nonzero(COUNTS.T)
    body = [
        f"{row + 1}{mark}{column + 1}{mark}{int(COUNTS[column, row])}"
        for row, column in zip(rows, columns, strict=True)
    ]
    return end.join([f"4{mark}7{mark}{len(body)}", *body]) + end


@pytest.mark.parametrize(
    "text",
    [
        HEAD + entries(mark="\t"),
        "\ufeff" + HEAD.replace("\n", "\r\n") + entries(mark=" \t ", end=" \r\n"),
        HEAD + "%\n\n % by hand\n" + entries(end="\n\n  % between\n\n  "),
        HEAD.upper().replace("INTEGER", "double") + entries(mark="  ", end="\n\n"),
        HEAD + entries().rstrip("\n"),
    ],
)
def test_any_blanks_between_the_entries_of_a_matrix(text: str, tmp_path: Path) -> None:
    as_folder(tmp_path)
    (tmp_path / "matrix.mtx").write_bytes(text.encode())
    (tmp_path / "barcodes.tsv").write_bytes(
        "\ufeff".encode() + b" \r\n".join(map(str.encode, CELLS))
    )
    (tmp_path / "genes.tsv").write_text("".join(f"{name} \tsymbol\r\n\r\n" for name in GENES))
    samples, refused, plan = read(tmp_path)
    assert not refused
    assert [one.id for one in samples] == CELLS
    assert plan.attributes["features"]["features"][2] == "TP53"
    assert np.array_equal(values(samples), COUNTS)


def test_a_pattern_has_ones(tmp_path: Path) -> None:
    as_folder(tmp_path)
    lines = [line.rsplit(" ", 1)[0] for line in entries().splitlines()[1:]]
    head = HEAD.replace("integer", "pattern") + f"4 7 {len(lines)}\n"
    (tmp_path / "matrix.mtx").write_text(head + "\n".join(lines))
    assert np.array_equal(values(read(tmp_path)[0]), COUNTS > 0)


def test_three_files_of_one_prefix_belong_together(tmp_path: Path) -> None:
    for name, prefix in (("one", "GSM1_pool1_"), ("two", "GSM2.Pool-2.")):
        (tmp_path / name).mkdir()
        as_folder(tmp_path / name)
        for path in list((tmp_path / name).iterdir()):
            path.rename(tmp_path / f"{prefix}{path.name}")
        (tmp_path / name).rmdir()
    (tmp_path / "GSM3_barcodes.tsv.gz").write_bytes(gzip.compress(b"A\nB\n"))
    (tmp_path / "GSM3_features.tsv.gz").write_bytes(gzip.compress(b"G\tg\n"))
    (tmp_path / "GSM4_matrix.mtx").write_text("x")
    (tmp_path / "GSM4_barcodes.tsv").write_text("A\n")
    samples, refused, _ = read(tmp_path)
    assert [one.id for one in samples[::7]] == [
        "GSM1_pool1_matrix-CELL0-1",
        "GSM2.Pool-2.matrix-CELL0-1",
    ]
    assert np.array_equal(values(samples), np.concatenate([COUNTS, COUNTS]))
    assert sorted((one.source, one.code, one.files) for one in refused) == [
        ("GSM3_barcodes.tsv.gz", "missing-file", 2),
        ("GSM4_matrix.mtx", "missing-file", 2),
    ]


def test_matrices_beside_one_pair_of_names(tmp_path: Path) -> None:
    as_folder(tmp_path)
    (tmp_path / "UniqueAndMult-EM.mtx").write_text(HEAD + entries())
    samples, refused, _ = read(tmp_path)
    assert not refused
    assert np.array_equal(values(samples), np.concatenate([COUNTS, COUNTS]))


@pytest.mark.parametrize("place", ["0 1 1", "1 0 1", "5 1 1", "1 8 1"])
def test_entries_out_of_the_matrix_are_not_passed_over(place: str, tmp_path: Path) -> None:
    as_folder(tmp_path)
    (tmp_path / "matrix.mtx").write_text(f"{HEAD}4 7 1\n{place}\n")
    with pytest.raises(DataError, match="damaged-matrix"):
        read(tmp_path)


def nullable(group: Any, name: str, given: list[Any], missing: int, kind: str) -> None:
    made = group.create_group(name)
    made.attrs["encoding-type"] = f"nullable-{kind}"
    if kind == "string-array":
        texts(made, "values", given)
    else:
        made["values"] = given
    made["mask"] = np.arange(len(given)) == missing


def test_nullable_texts_as_index_categories_and_columns(tmp_path: Path) -> None:
    as_h5ad(tmp_path)
    with h5py.File(tmp_path / "m.h5ad", "a") as file:
        for name, index in (("obs", CELLS), ("var", GENES)):
            del file[name]["names"]
            nullable(file[name], "names", index, -1, "string-array")
        del file["obs/batch/categories"]
        nullable(file["obs/batch"], "categories", ["b1", "b2"], -1, "string-array")
        nullable(file["obs"], "site", list("abcdefg"), 3, "string-array")
        nullable(file["obs"], "good", [True] * 7, 1, "boolean")
        texts(file["obs"], "kind", list("tuvwxyz"))
        number = file["obs"].create_group("dose")
        number.attrs["encoding-type"] = "categorical"
        number["categories"], number["codes"] = [0.5, 2.0], np.array([0, 1, -1, 0, 0, 0, 0])
        file["obs"].create_group("nested").attrs["encoding-type"] = "dataframe"
        file["obs/two"] = np.zeros((7, 2))
    samples, refused, plan = read(tmp_path)
    assert not refused
    assert [one.id for one in samples] == CELLS
    assert plan.attributes["features"]["features"][2] == "TP53"
    assert np.array_equal(values(samples), COUNTS)
    rows = [one.row for one in samples]
    assert [row["batch"] for row in rows[:4]] == ["b1", "b1", "b2", None]
    assert [row["site"] for row in rows[:5]] == ["a", "b", "c", None, "e"]
    assert [row["good"] for row in rows[:3]] == [True, None, True]
    assert [row["dose"] for row in rows[:3]] == [0.5, 2.0, None]
    assert rows[6]["kind"] == "z"
    assert not {"nested", "two"} & rows[0].keys()


@pytest.mark.parametrize(("path", "taken"), [("X/data", False), ("obs/_x", True)])
def test_a_filter_that_is_not_here_is_named_with_the_way_out(
    path: str, taken: bool, tmp_path: Path
) -> None:
    as_h5ad(tmp_path)
    folder, _, name = path.rpartition("/")
    with h5py.File(tmp_path / "m.h5ad", "a") as file:
        group = file.require_group(folder)
        stored = group[name][...] if name in group else np.zeros((7, 2))
        if name in group:
            del group[name]
        packing = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        packing.set_chunk(stored.shape)
        packing.set_filter(300, h5py.h5z.FLAG_OPTIONAL, (1, 2))
        space = h5py.h5s.create_simple(stored.shape)
        kind = h5py.h5t.py_create(stored.dtype)
        made = h5py.h5d.create(group.id, name.encode(), kind, space, packing)
        made.write(h5py.h5s.ALL, h5py.h5s.ALL, stored)
    samples, refused, _ = read(tmp_path, observations=["batch"])
    if taken:  # what nobody asked for may be packed as it likes
        assert np.array_equal(values(samples), COUNTS)
        return
    ((code, reason),) = [(one.code, one.reason) for one in refused]
    assert code == "no-hdf5-filter"
    for said in ("X/data", "(300)", "medray[hdf5]", "gzip"):
        assert said in reason


def test_a_table_with_blanks_between_its_cells_and_genes_that_come_twice(tmp_path: Path) -> None:
    genes = ["TP53", "A", "TP53", "A"]
    lines = ['"cell" "b" ' + " ".join(f'"{name}"' for name in genes)]
    lines += [f" {CELLS[n]}  b1 {'  '.join(map(str, COUNTS[n]))} " for n in range(7)]
    (tmp_path / "m.txt").write_text("\ufeff" + "\r\n".join(lines))
    samples, refused, plan = read(tmp_path, observations=["b"])
    assert not refused
    assert np.array_equal(values(samples), COUNTS)
    assert plan.attributes["features"]["features"] == ["TP53", "A", "TP53-1", "A-1"]
    assert plan.attributes["duplicate_features"] == ["A", "TP53"]
    assert {one.row["b"] for one in samples} == {"b1"}


@pytest.mark.parametrize(("name", "mark"), [("m.csv", "\t"), ("m.tsv", ","), ("m.txt", ",")])
def test_the_mark_that_is_there_parts_cells_whatever_the_name(
    name: str, mark: str, tmp_path: Path
) -> None:
    lines = [mark.join(["cell", *GENES])]
    lines += [mark.join([CELLS[n], *map(str, COUNTS[n])]) for n in range(7)]
    (tmp_path / name).write_text("\n".join(lines))
    assert np.array_equal(values(read(tmp_path)[0]), COUNTS)


def test_cells_that_come_twice_among_the_columns_of_genes_as_rows(tmp_path: Path) -> None:
    lines = ["gene\tx\ty\tx", "A\t1\t2\t3", "B\t4\t5\t6"]
    (tmp_path / "m.tsv").write_text("\n".join(lines))
    samples, refused, _ = read(tmp_path, genes="rows")
    assert [(one.id, one.arrays["features"].tolist()) for one in samples] == [
        ("x", [1, 4]),
        ("y", [2, 5]),
    ]
    assert [one.code for one in refused] == ["duplicate-id"]


def test_a_cell_without_a_number_costs_itself(tmp_path: Path) -> None:
    """In each container; whatever the cells beside it, these are read."""
    bad = COUNTS.copy()
    bad[2, 1] = np.nan
    for kind in ("dense", "csr", "csc"):
        as_h5ad(tmp_path, kind)
        with h5py.File(tmp_path / "m.h5ad", "r+") as file:
            if kind == "dense":
                file["X"][2, 1] = np.nan
            else:
                whole = sp.csr_matrix(COUNTS) if kind == "csr" else sp.csc_matrix(COUNTS)
                data = np.where(whole.data == whole.data.max(), np.inf, whole.data)
                file["X/data"][...] = data
                bad = (sp.csr_matrix if kind == "csr" else sp.csc_matrix)(
                    (data, whole.indices, whole.indptr), whole.shape
                ).toarray()
        samples, refused, _ = read(tmp_path)
        sound = np.isfinite(bad).all(axis=1)
        assert 0 < sound.sum() < 7
        assert np.array_equal(values(samples), COUNTS[sound]), kind
        assert [one.sample for one in refused] == [f"cell {n + 1}" for n in np.flatnonzero(~sound)]
        assert {one.code for one in refused} == {"nonfinite-values"}
    (tmp_path / "m.h5ad").unlink()
    (tmp_path / "m.csv").write_text("cell,A,B\nc1,1,2\nc2,x,2\nc3,1\nc4,,3\nc5,5,6\n")
    samples, refused, _ = read(tmp_path)
    assert values(samples).tolist() == [[1, 2], [5, 6]]
    found = {one.sample: one.code for one in refused}
    assert found == {
        "cell 2": "not-a-number",
        "cell 3": "ragged-row",
        "cell 4": "missing-values",
    }
    (tmp_path / "m.csv").write_text("gene,c1,c2,c3\nA,1,x,3\nB,4,5,\n")
    samples, refused, _ = read(tmp_path, genes="rows")
    assert values(samples).tolist() == [[1, 4]]
    assert {one.sample: one.code for one in refused} == {
        "cell 2": "not-a-number",
        "cell 3": "missing-values",
    }


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda obs: obs["batch"].pop("codes"), "no-such-member"),
        (lambda obs: obs.create_dataset("short", data=[1, 2]), "damaged-matrix"),
        (
            lambda obs: obs.attrs.update({"column-order": ["batch", "gone"]}),
            "no-such-member",
        ),
    ],
)
def test_a_column_that_cannot_be_read_is_refused_by_itself(
    change: Any, code: str, tmp_path: Path
) -> None:
    as_h5ad(tmp_path)
    before = read(tmp_path)[0]
    with h5py.File(tmp_path / "m.h5ad", "r+") as file:
        change(file["obs"])
    samples, refused, _ = read(tmp_path)
    assert np.array_equal(values(samples), COUNTS)
    ((found, sample, hint),) = [(one.code, one.sample, one.hint) for one in refused]
    assert (found, sample.partition("/")[0]) == (code, "obs")
    assert "observations" in hint
    lost = sample.partition("/")[2]
    for one, other in zip(samples, before, strict=True):
        assert one.row == {name: v for name, v in other.row.items() if name != lost}
    with pytest.raises(DataError):  # it was asked for
        read(tmp_path, observations=[lost])
