"""Tables: columns by their meaning, several tables to one sample, bad rows named by their line."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from medray.formats.base import Found, Input, Source
from medray.formats.table import Table
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Sample


def made(**options: Any) -> Table:
    return Table(Table.Options.model_validate(options))


def items(plan: Found) -> list[Input]:
    return [item for group in plan.groups for item in group]


def read(form: Table, root: Path) -> tuple[list[Sample], list[Refusal], Found]:
    source = Source(root)
    plan = form.plan(source)
    found = [one for item in items(plan) for one in form.read(source, item)]
    samples = [one for one in found if isinstance(one, Sample)]
    return samples, [*plan.refused, *(one for one in found if isinstance(one, Refusal))], plan


def table(path: Path, lines: list[str]) -> Path:
    text = "\n".join(lines) + "\n"
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.mark.parametrize("kind", ["a.csv", "a.csv.gz", "a.tsv", "a.parquet"])
def test_columns_go_where_the_options_say(kind: str, tmp_path: Path) -> None:
    columns = {
        "id": ["x", "y"],
        "age": [1.5, None],
        "label": ["AML", "ALL"],
        "donor": ["d1", "d1"],
        "site": ["7", "8"],
        "gene": [3, -4],
        "note": ["n", "m"],
    }
    if kind.endswith("parquet"):
        pq.write_table(pa.table(columns), tmp_path / kind)
    else:
        rows = [columns, *zip(*columns.values(), strict=True)]
        mark = "\t" if "tsv" in kind else ","
        cells = [["" if cell is None else str(cell) for cell in row] for row in rows]
        table(tmp_path / kind, [mark.join(row) for row in cells])
    form = made(
        id="id", target="label", classes=["ALL", "AML"], subject="donor", fold="site",
        columns={"site": "integer"}, drop=["note"],
    )  # fmt: skip
    samples, refused, plan = read(form, tmp_path)
    assert not refused
    assert plan.attributes == {"features": {"features": ["age", "gene"]}}
    assert [one.id for one in samples] == ["x", "y"]
    features = np.stack([np.asarray(one.arrays["features"]) for one in samples])
    assert features.dtype == np.float32
    np.testing.assert_array_equal(features, np.array([[1.5, 3], [np.nan, -4]], np.float32))
    assert samples[0].row == {
        "subject": "d1", "fold": 7, "target": 1, "class_name": "AML", "has_label": True, "site": 7
    }  # fmt: skip


def test_bad_rows_are_named_by_their_line_and_the_rest_is_taken(tmp_path: Path) -> None:
    lines = [
        "id,a,b,y",
        "p1,1,2,0.5",
        "",
        "p2,1,2",  # line 4: ragged
        "p3,1,canary,1",  # line 5
        "p1,3,4,2",  # the id again
        "p5,1e39,4,2",  # beyond float32
        "p6,1_0,4,2",
        "p7,inf,4,2",
        "p8,NA,?,",
        ",1,2,3",
        '"p9",5,6,canary',  # line 12
    ]
    table(tmp_path / "t.csv", lines)
    samples, refused, _ = read(made(id="id", target="y"), tmp_path)
    assert [one.id for one in samples] == ["p1", "p8"]
    assert np.isnan(np.asarray(samples[1].arrays["features"])).all()
    assert samples[1].row["target"] is None
    assert samples[1].row["has_label"] is False
    assert [one.code for one in refused] == [
        "duplicate-id", "no-id", "ragged-row", "not-a-number", "not-a-number", "not-a-number",
        "not-a-number", "bad-value",
    ]  # fmt: skip
    assert refused[2].reason == "line 4 has 3 cells where 4 belong"
    assert refused[3].reason.startswith("line 5: column 'b' ")
    assert refused[7].reason.startswith("line 12: column 'y'")
    assert all(one.sample for one in refused)  # parts of an input, which is committed otherwise
    assert not any(word in str(refused) for word in ("canary", "p5", "1e39"))


def test_a_table_may_have_no_features(tmp_path: Path) -> None:
    table(tmp_path / "sites.csv", ["locus,count,gene", "chrM:5,1,ND1", "chrM:10,7,ND2"])
    sites = made(columns={"locus": "text", "count": "integer"}, drop=["gene"])
    samples, refused, plan = read(sites, tmp_path)
    assert not refused
    assert plan.attributes == {}
    assert [(one.row["locus"], one.row["count"], one.arrays) for one in samples] == [
        ("chrM:5", 1, {}),
        ("chrM:10", 7, {}),
    ]
    _, refused, _ = read(made(drop=["locus", "count", "gene"]), tmp_path)
    assert [one.code for one in refused] == ["no-features"], "nothing of it would be left"


def test_a_table_without_a_single_id_is_refused_whole(tmp_path: Path) -> None:
    table(tmp_path / "t.csv", ["id,a", ",1", ",2"])
    samples, refused, _ = read(made(id="id"), tmp_path)
    assert not samples
    assert [(one.source, one.code) for one in refused] == [("t.csv", "no-id")]


def test_a_row_that_lacks_values_can_be_refused(tmp_path: Path) -> None:
    table(tmp_path / "t.csv", ["a,b", "1,2", "1,"])
    samples, refused, _ = read(made(missing="refuse"), tmp_path)
    assert [one.id for one in samples] == ["t-000000"]
    assert [(one.code, one.reason) for one in refused] == [
        ("missing-values", "line 3 lacks values")
    ]


def test_a_table_that_grows_keeps_its_units(tmp_path: Path) -> None:
    lines = ["id,a", *(f"s{n},{n}" for n in range(1200))]
    path = table(tmp_path / "t.csv", lines)
    form, source = made(id="id"), Source(tmp_path)
    before = [item.fingerprint for item in items(form.plan(source))]
    table(path, [*lines, "late,7"])
    plan = form.plan(source)
    after = [item.fingerprint for item in items(plan)]
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, True, False]
    last = [one for one in form.read(source, items(plan)[2]) if isinstance(one, Sample)]
    assert [last[0].id, last[-1].id, len(last)] == ["s1024", "late", 177]
    assert float(np.asarray(last[0].arrays["features"])[0]) == 1024
    table(path, [lines[0], "s0,5", *lines[2:]])
    changed = [item.fingerprint for item in items(form.plan(source))]
    assert [a == b for a, b in zip(before, changed, strict=True)] == [False, True, True]


def test_packed_tables_are_unpacked_sixteen_times_at_most(tmp_path: Path) -> None:
    table(tmp_path / "t.csv.gz", ["a", *(str(n) for n in range(512 * 40))])
    samples, _, plan = read(made(), tmp_path)
    assert len(items(plan)) == 14  # of three pieces each
    values = [float(np.asarray(one.arrays["features"])[0]) for one in samples]
    assert values == list(range(512 * 40))


def test_tables_are_joined_by_id_and_a_modality_may_be_absent(tmp_path: Path) -> None:
    table(tmp_path / "clinic.csv", ["id,outcome", "b,1", "a,0", "c,1", "b,0"])
    table(tmp_path / "rna.tsv", ["id\tg1\tg2", "a\t1\t2", "b\t3\t4", "x\t5\t6"])
    table(tmp_path / "met.csv.gz", ["cg,id", "7,c", "8,b", "9,c"])
    options = {"tables": {"rna": "rna.tsv", "met": "met.csv.gz"}, "id": "id"}
    samples, refused, plan = read(made(**options, rows="clinic.csv", target="outcome"), tmp_path)
    assert {
        one.id: {name: np.asarray(values).tolist() for name, values in one.arrays.items()}
        for one in samples
    } == {"b": {"rna": [3, 4], "met": [8]}, "a": {"rna": [1, 2]}, "c": {"met": [7]}}
    assert [one.row["target"] for one in samples] == [1, 0, 1]
    assert plan.attributes == {"features": {"rna": ["g1", "g2"], "met": ["cg"]}}
    assert sorted((one.sample, one.code) for one in refused) == [
        ("met, row 3", "duplicate-id"), ("rna, row 3", "not-in-rows"),
        ("rows, row 4", "duplicate-id"),
    ]  # fmt: skip
    samples, refused, _ = read(made(**options), tmp_path)
    assert [one.id for one in samples] == ["a", "b", "x", "c"]
    assert [one.code for one in refused] == ["duplicate-id"]


def test_tables_that_go_row_by_row_have_equally_many(tmp_path: Path) -> None:
    table(tmp_path / "a_tr.csv", ["1,2", "3,4"])
    table(tmp_path / "b_tr.csv", ["5", "6"])
    table(tmp_path / "a_te.csv", ["7,8"])
    table(tmp_path / "b_te.csv", ["9", "10"])
    table(tmp_path / "names.csv", ["first", "second"])
    options = {
        "tables": {"a": "a_{part}.csv", "b": "b_{part}.csv"},
        "parts": {"tr": "train", "te": "test"},
        "feature_names": {"a": "names.csv"},
        "join": "order",
        "header": False,
    }
    samples, refused, plan = read(made(**options), tmp_path)
    assert plan.attributes == {"features": {"a": ["first", "second"], "b": ["0"]}}
    assert [code.code for code in refused] == ["uneven-tables"]
    assert refused[0].source == "te"
    assert [(one.id, one.row["split"]) for one in samples] == [
        ("tr-000000", "train"), ("tr-000001", "train")
    ]  # fmt: skip
    assert np.asarray(samples[1].arrays["a"]).tolist() == [3, 4]


def test_transposed_tables(tmp_path: Path) -> None:
    table(tmp_path / "m.csv", ["s1,s2,s3", "g1,1,2,3", "g2,4,canary,6"])  # as R writes row names
    table(tmp_path / "known.csv", ["id,y", "s3,0", "s1,1", "s2,1"])
    options = {"tables": {"rna": "m.csv"}, "rows": "known.csv", "id": "id", "target": "y"}
    samples, refused, plan = read(made(**options, transposed=True), tmp_path)
    assert plan.attributes == {"features": {"rna": ["g1", "g2"]}}
    assert [(one.id, one.row["target"]) for one in samples] == [("s3", 0), ("s1", 1)]
    assert np.asarray(samples[0].arrays["rna"]).tolist() == [3, 6]
    assert [one.code for one in refused] == ["not-a-number"]
    assert refused[0].reason.startswith("line 3: column 3 ")


def test_tables_of_other_columns_are_refused(tmp_path: Path) -> None:
    table(tmp_path / "a.csv", ["id,g1,g2", "a,1,2"])
    table(tmp_path / "b.csv", ["id,g2,g1", "b,1,2"])
    table(tmp_path / "c.csv", ["id,g1,g2", "a,1,2", "c,5,6"])
    table(tmp_path / "d.csv", ["id,g1,g1", "d,1,2"])
    (tmp_path / "e.csv").write_bytes(b"id,g1,g2\n" + b"\xff\x00")
    (tmp_path / "f.csv").write_text('id,g1,g2\n"x,1,2\n')
    (tmp_path / "g.csv").write_text("id,g1,g2\n")
    samples, refused, _ = read(made(id="id"), tmp_path)
    assert [one.id for one in samples] == ["a", "c"]
    assert sorted((one.source[:1], one.code) for one in refused) == [
        ("b", "other-columns"), ("c", "duplicate-id"), ("d", "duplicate-column"), ("e", "not-text"),
        ("f", "open-quote"), ("g", "empty-table"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "options",
    [
        {"rows": "a.csv"},
        {"tables": {"a": "a.csv", "b": "b.csv"}},
        {"tables": {"a": "a_{part}.csv"}},
        {"columns": {"target": "text"}},
        {"feature_names": {"rna": "x"}},
        {"target": ["a", "b"], "classes": ["x", "y"]},
    ],
)
def test_options_that_do_not_fit(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        made(**options)


def test_golub_and_rosmap(data_dir: Path) -> None:
    options = {"target": "label", "classes": ["ALL", "AML"]}
    samples, refused, plan = read(made(**options), data_dir / "genomics/expression/golub.csv.gz")
    assert (len(samples), len(refused)) == (72, 0)
    assert [one.row["target"] for one in samples].count(1) == 25
    assert len(plan.attributes["features"]["features"]) == 7129
    assert np.asarray(samples[0].arrays["features"])[:3].tolist() == [-342, -200, 41]
    tables = {
        "mrna": "1_{part}.csv.gz",
        "methylation": "2_{part}.csv.gz",
        "mirna": "3_{part}.csv.gz",
    }
    form = made(
        tables=tables,
        rows="labels_{part}.csv.gz",
        feature_names={name: f"{n}_featname.csv.gz" for n, name in enumerate(tables, 1)},
        parts={"tr": "train", "te": "test"},
        join="order",
        header=False,
        target="0",
    )
    samples, refused, plan = read(form, data_dir / "multiomics/rosmap")
    assert not refused
    assert [one.row["split"] for one in samples].count("test") == 106
    assert len(samples) == 351
    assert plan.attributes["features"]["mrna"][0] == "ENSG00000161896.6"
    with gzip.open(data_dir / "multiomics/rosmap/2_te.csv.gz", "rt") as file:
        wanted = np.loadtxt(file, delimiter=",", dtype=np.float32)
    got = np.stack([np.asarray(one.arrays["methylation"]) for one in samples[245:]])
    np.testing.assert_array_equal(got, wanted)


def test_a_class_may_be_called_as_a_gap_is(tmp_path: Path) -> None:
    """None and NA are grades and regions in real tables; what `classes` names is a class."""
    lines = ["id,a,grade", "1,1,None", "2,2,Mild", "3,3,", "4,4,NA"]
    table(tmp_path / "x.csv", lines)
    form = made(id="id", target="grade", classes=["None", "Mild"])
    samples, refused, _ = read(form, tmp_path)
    assert not refused
    assert [one.row["target"] for one in samples] == [0, 1, None, None]
    assert [one.row["class_name"] for one in samples] == ["None", "Mild", None, None]


@pytest.mark.parametrize("name", ["y.xlsx", "y.XLS", "y.ods"])
def test_a_spreadsheet_is_passed_over_with_the_way_out(name: str, tmp_path: Path) -> None:
    table(tmp_path / "x.csv", ["id,a", "1,1"])
    (tmp_path / name).write_bytes(b"PK")
    samples, refused, _ = read(made(id="id"), tmp_path)
    assert len(samples) == 1
    assert [(one.source, one.code, one.kind, one.hint) for one in refused] == [
        (name, "spreadsheet", "passed-over", "save its sheets as CSV")
    ]


def test_cells_apart_by_semicolons(tmp_path: Path) -> None:
    table(tmp_path / "a.csv", ["id;a;b", "x;1;0.5", "y;2;0,5", 'z;"3";'])
    rows, refused, _ = read(made(id="id"), tmp_path)
    assert [(row.id, row.arrays["features"].tolist()[0]) for row in rows] == [("x", 1), ("z", 3)]
    assert [one.code for one in refused] == ["not-a-number"]  # which a comma may stand for


def test_names_alone_may_hold_semicolons(tmp_path: Path) -> None:
    table(tmp_path / "a.csv", ["1,2", "3,4"])
    table(tmp_path / "names.txt", ["k__Bacteria;p__Firmicutes", "k__Archaea;p__X"])
    form = made(
        tables={"taxa": "a.csv"}, feature_names={"taxa": "names.txt"}, header=False, join="order"
    )
    rows, refused, plan = read(form, tmp_path)
    assert (len(rows), refused) == (2, [])
    assert "k__Bacteria;p__Firmicutes" in str(plan.attributes)
