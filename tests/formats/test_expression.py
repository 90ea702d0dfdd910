"""Expression: every container gives the same cells; AnnData-Zarr reads back as written."""

import gzip
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.io
import scipy.sparse as sp
import zarr

from medray.errors import DataError
from medray.formats.base import Found, Source
from medray.formats.expression import Expression
from medray.formats.expression.matrices import dense, strip_version, unique_names
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Sample
from tests.parts import library

CELLS = [f"CELL{n}-1" for n in range(7)]
GENES = ["ENSG1.2", "ENSG2.1_PAR_Y", "TP53", "ENSG1.3"]
COUNTS = np.random.default_rng(0).poisson(0.8, (7, 4)).astype(np.float32)


def made(**options: Any) -> Expression:
    return Expression(Expression.Options.model_validate(options))


def read(root: Path, **options: Any) -> tuple[list[Sample], list[Refusal], Found]:
    form, source = made(**options), Source(root)
    plan = form.plan(source)
    found = [one for group in plan.groups for item in group for one in form.read(source, item)]
    samples = [one for one in found if isinstance(one, Sample)]
    return samples, [*plan.refused, *(one for one in found if isinstance(one, Refusal))], plan


def values(samples: list[Sample]) -> np.ndarray:
    return np.stack([np.asarray(one.arrays["features"]) for one in samples])


def texts(group: Any, name: str, given: list[str]) -> Any:
    return group.create_dataset(name, data=given, dtype=h5py.string_dtype())


def compressed(group: Any, matrix: Any) -> None:
    for name in ("data", "indices", "indptr"):
        group[name] = getattr(matrix, name)


def as_cell_lines(root: Path) -> dict[str, Any]:
    lines = [",".join(["cell", "batch", *GENES])]
    lines += [",".join([CELLS[n], "b1", *map(str, COUNTS[n])]) for n in range(7)]
    (root / "m.csv.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    return {"observations": ["batch"]}


def as_gene_lines(root: Path) -> dict[str, Any]:
    lines = ["\t".join(CELLS)]  # as R writes them: no name above the genes
    lines += ["\t".join([f'"{GENES[n]}"', *map(str, COUNTS[:, n])]) for n in range(4)]
    (root / "m.tsv").write_text("\n".join(lines))
    return {"genes": "rows"}


def as_folder(root: Path) -> dict[str, Any]:
    scipy.io.mmwrite(root / "matrix.mtx", sp.coo_matrix(COUNTS.T.astype(int)))
    (root / "barcodes.tsv").write_text("\n".join(CELLS))
    (root / "genes.tsv").write_text("\n".join(f"{name}\tsymbol" for name in GENES))
    return {}


def as_tenx_file(root: Path) -> dict[str, Any]:
    with h5py.File(root / "m.h5", "w") as file:
        group = file.create_group("matrix")
        compressed(group, sp.csc_matrix(np.vstack([COUNTS.T, np.ones((1, 7))])))
        group["shape"] = np.array([5, 7])
        texts(group, "barcodes", CELLS)
        features = group.create_group("features")
        texts(features, "id", [*GENES, "antibody"])
        texts(features, "feature_type", ["Gene Expression"] * 4 + ["Antibody Capture"])
    return {}


def as_h5ad(root: Path, form: str = "csr", layer: str = "X") -> dict[str, Any]:
    with h5py.File(root / "m.h5ad", "w") as file:
        file.attrs["encoding-type"] = "anndata"
        for name, index in (("obs", CELLS), ("var", GENES)):
            frame = file.create_group(name)
            frame.attrs.update({"encoding-type": "dataframe", "_index": "names"})
            texts(frame, "names", index)
        batch = file["obs"].create_group("batch")
        batch.attrs["encoding-type"] = "categorical"
        texts(batch, "categories", ["b1", "b2"])
        batch["codes"] = np.array([0, 0, 1, -1, 0, 0, 0], np.int8)
        age = file["obs"].create_group("age")
        age.attrs["encoding-type"] = "nullable-integer"
        age["values"], age["mask"] = np.arange(7), np.arange(7) == 2
        if form == "dense":
            file[layer] = COUNTS
        else:
            group = file.create_group(layer)
            group.attrs.update({"encoding-type": f"{form}_matrix", "shape": (7, 4)})
            compressed(group, (sp.csr_matrix if form == "csr" else sp.csc_matrix)(COUNTS))
    return {"layer": layer.removeprefix("layers/")}


@pytest.mark.parametrize(
    "write",
    [
        as_cell_lines,
        as_gene_lines,
        as_folder,
        as_tenx_file,
        as_h5ad,
        lambda root: as_h5ad(root, "csc"),
        lambda root: as_h5ad(root, "dense", "layers/counts"),
    ],
)
def test_every_container_gives_the_same_cells(write: Any, tmp_path: Path) -> None:
    samples, refused, plan = read(tmp_path, **write(tmp_path))
    assert not refused
    assert [one.id for one in samples] == CELLS
    np.testing.assert_array_equal(values(samples), COUNTS)
    assert plan.attributes == {
        "features": {"features": ["ENSG1", "ENSG2_PAR_Y", "TP53", "ENSG1-1"]},
        "duplicate_features": ["ENSG1"],
    }


def test_observations_become_columns(tmp_path: Path) -> None:
    as_h5ad(tmp_path)
    samples, refused, _ = read(tmp_path, target="batch", classes=["b2", "b1"], subject="age")
    assert not refused
    assert [one.row["target"] for one in samples] == [1, 1, 0, None, 1, 1, 1]
    assert samples[3].row["has_label"] is False
    assert [one.row["age"] for one in samples] == [0, 1, None, 3, 4, 5, 6]
    assert samples[1].row["subject"] == "1"
    _, refused, _ = read(tmp_path, target="batch", classes=["b1"])
    assert [(one.code, one.sample) for one in refused] == [("bad-label", "cell 3")]


def test_cells_that_occur_twice_are_refused(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("cell,g1,g2\na,1,2\na,3,4\n,5,6\nb,7,8\n")
    samples, refused, _ = read(tmp_path)
    assert [one.id for one in samples] == ["a", "b"]
    assert [(one.code, one.sample) for one in refused] == [
        ("duplicate-id", "cell 2"), ("no-id", "cell 3")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (
            lambda f: f["X/indices"].write_direct(np.full(f["X/indices"].shape, 99)),
            "damaged-matrix",
        ),
        (
            lambda f: f["X/indptr"].write_direct(np.arange(8)[::-1].astype(np.int32)),
            "damaged-matrix",
        ),
        (lambda f: f["X"].attrs.update({"shape": (7, 9)}), "uneven-matrix"),
        (lambda f: f["X"].attrs.update({"encoding-type": "zip_matrix"}), "unknown-encoding"),
    ],
)
def test_damaged_h5ad(change: Any, code: str, tmp_path: Path) -> None:
    as_h5ad(tmp_path)
    with h5py.File(tmp_path / "m.h5ad", "r+") as file:
        change(file)
    _assert_refused(tmp_path, code)


def test_hdf5_that_reads_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["X"] = COUNTS
    as_h5ad(tmp_path / "in", "dense")
    with h5py.File(tmp_path / "in/m.h5ad", "r+") as file:
        del file["X"]
        file["X"] = h5py.ExternalLink(str(secret), "X")
    _assert_refused(tmp_path / "in", "foreign-link")
    with h5py.File(tmp_path / "in/m.h5ad", "r+") as file:
        del file["X"]
        file.create_dataset("X", (7, 4), "f4", external=[(str(secret), 0, 7 * 4 * 4)])
    _assert_refused(tmp_path / "in", "foreign-link")


def test_sizes_that_nothing_is_stored_of_are_refused(tmp_path: Path) -> None:
    """A list of 2**27 names that were never written would be a gigabyte of empty texts."""
    as_h5ad(tmp_path)
    with h5py.File(tmp_path / "m.h5ad", "r+") as file:
        del file["obs/names"]
        file["obs"].create_dataset("names", (2**27,), h5py.string_dtype(), chunks=(2**20,))
    _assert_refused(tmp_path, "damaged-hdf5")


def _assert_refused(root: Path, code: str) -> None:
    form, source = made(), Source(root)
    plan = form.plan(source)
    codes = [one.code for one in plan.refused]
    for item in (item for group in plan.groups for item in group):
        with pytest.raises(DataError) as caught:
            list(form.read(source, item))
        codes.append(caught.value.code)
    assert codes == [code]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("4 7 3\n1 1 1\n2 2 1\n", "damaged-matrix"),  # one entry less than it says
        ("4 7 1\n9 1 1\n", "damaged-matrix"),
        ("4 7 1\n1 1 x\n", "damaged-matrix"),
        ("5 7 1\n1 1 1\n", "uneven-matrix"),
    ],
)
def test_damaged_mtx(text: str, code: str, tmp_path: Path) -> None:
    as_folder(tmp_path)
    head = "%%MatrixMarket matrix coordinate real general\n"
    (tmp_path / "matrix.mtx").write_text(head + text)
    _assert_refused(tmp_path, code)


def test_names_of_genes() -> None:
    assert [strip_version(name) for name in ("ENSG01.12", "AC1.1", "ENSG2.x")] == [
        "ENSG01", "AC1.1", "ENSG2.x"
    ]  # fmt: skip
    names = ["a", "b", "a", "a-1", "a"]
    assert unique_names(names) == (["a", "b", "a-2", "a-1", "a-3"], ["a"])


def test_entries_of_one_place_add_up() -> None:
    got = dense(np.array([1, 2, 4]), np.array([1, 1, 0]), np.array([0, 2, 2, 3]), 2, {})
    assert got.tolist() == [[0, 3], [0, 0], [4, 0]]


def test_written_as_anndata(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"n": 1, "x": 0.5, "ok": True, "name": "é", "list": [1]},
        {"n": 2, "x": None, "ok": False, "name": None, "list": [2]},
    ]
    samples = [
        Sample(f"c{n}", {**row, "feature_names": GENES}, {"features": COUNTS[n]})
        for n, row in enumerate(rows)
    ]
    (path,) = made().write(samples, tmp_path)
    root: Any = zarr.open_group(path, mode="r")
    assert root.metadata.zarr_format == 2
    assert root.attrs["encoding-type"] == "anndata"
    np.testing.assert_array_equal(root["X"][...], COUNTS[:2])
    assert root["obs/_index"][...].tolist() == ["c0", "c1"]
    assert root["var/_index"][...].tolist() == GENES
    assert root["obs"].attrs["column-order"] == ["n", "x", "ok", "name"]
    assert root["obs/n"].dtype == np.int64
    assert np.isnan(root["obs/x"][1])
    assert root["obs/name"].attrs["encoding-type"] == "string-array"
    anndata = library("anndata")
    back = anndata.read_zarr(path)
    assert back.shape == (2, 4)
    assert back.obs["ok"].tolist() == [True, False]
    assert back.var_names.tolist() == GENES


def test_real_files(data_dir: Path) -> None:
    root = data_dir / "genomics/single_cell"
    samples, refused, plan = read(root / "pbmc68k_reduced.h5ad", target="bulk_labels")
    assert (len(samples), len(refused)) == (700, 0)
    assert plan.attributes["features"]["features"][:2] == ["HES4", "TNFRSF4"]
    assert samples[0].id == "AAAGCCTGGCTAAC-1"
    assert samples[0].row["target"] == "CD14+ Monocyte"
    assert samples[0].row["n_counts"] == 2557
    with h5py.File(root / "pbmc68k_reduced.h5ad") as file:
        np.testing.assert_array_equal(values(samples), file["X"][...])
        parts = [file[f"raw.X/{name}"][...] for name in ("data", "indices", "indptr")]
    raw, _, _ = read(root / "pbmc68k_reduced.h5ad", layer="raw")
    np.testing.assert_array_equal(
        values(raw), sp.csr_matrix(tuple(parts), shape=(700, 765)).toarray()
    )
    samples, refused, plan = read(root / "10x_v3_filtered_feature_bc_matrix.h5", names="symbol")
    assert (len(samples), len(refused)) == (1107, 0)
    assert plan.attributes["features"]["features"][0] == "CH507-9B2.2"
    assert values(samples).sum() == 41549
