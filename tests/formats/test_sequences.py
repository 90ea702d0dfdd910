"""Tables and FASTA files of short sequences: types, filters, ids, and what is refused."""

import gzip
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from medray.errors import DataError, SpecError
from medray.formats import sequences as module
from medray.formats.base import Found, Source
from medray.formats.sequences import Sequences
from medray.formats.sequences.cells import kind_of, passes, value_of, wider
from medray.formats.tabular import text
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Sample


def planned(root: Path, **options: Any) -> tuple[Sequences, Found]:
    form = Sequences(Sequences.Options.model_validate(options))
    return form, form.plan(Source(root))


def read(root: Path, **options: Any) -> list[Sample | Refusal]:
    form, plan = planned(root, **options)
    found: list[Sample | Refusal] = list(plan.refused)
    for item in (item for group in plan.groups for item in group):
        found += form.read(Source(root), item)
    return found


def taken(root: Path, **options: Any) -> list[Sample]:
    found = read(root, **options)
    assert not [one for one in found if isinstance(one, Refusal)]
    return [one for one in found if isinstance(one, Sample)]


def codes(root: Path, **options: Any) -> list[str]:
    return [one.code for one in read(root, **options) if isinstance(one, Refusal)]


def test_columns_keep_their_types_over_all_rows_and_files(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        'seq, n,x,flag,"a, b",id7\n acg t ,1,1,TRUE,x,007\nGGU,,NA,false,,008\n'
    )
    (tmp_path / "b.tsv.gz").write_bytes(
        gzip.compress(b"seq\tn\tx\tflag\ta, b\tid7\r\nNRY\t-3\t2.5e-1\tnull\ty\t9\r\n")
    )
    rows = taken(tmp_path, sequence=["seq"])
    assert [one.id for one in rows] == ["a-0000002", "a-0000003", "b-0000002"]
    assert [one.row for one in rows] == [
        dict(sequence="ACGT", length=4, n=1, x=1.0, flag=True, **{"a, b": "x", "id7": "007"}),
        dict(sequence="GGT", length=3, n=None, x=None, flag=False, **{"a, b": None, "id7": "008"}),
        dict(sequence="NRY", length=3, n=-3, x=0.25, flag=None, **{"a, b": "y", "id7": "9"}),
    ]
    assert isinstance(rows[0].row["x"], float)
    declared = taken(tmp_path, sequence=["seq"], columns={"n": "float", "id7": "int"})
    assert declared[0].row == {"sequence": "ACGT", "length": 4, "n": 1.0, "id7": 7}


@pytest.mark.parametrize(
    ("cell", "kind"),
    [
        ("1", "int"),
        ("-0.5", "float"),
        (".5", "float"),
        ("1e3", "float"),
        ("9" * 30, "float"),
        ("True", "bool"),
        ("Yes", "str"),
        ("007", "str"),
        ("1_0", "str"),  # ten, to Python
        ("", None),
        ("NA", None),
    ],
)
def test_kinds_of_cells(cell: str, kind: str | None) -> None:
    assert kind_of(cell) == kind


def test_kinds_join_to_what_holds_both() -> None:
    assert wider("int", "float") == "float"
    assert wider(None, "int") == "int"
    assert wider("bool", "int") == "str"
    assert wider("float", "str") == "str"
    assert value_of("NA", "str") == "NA"
    assert value_of("inf", "float") is None
    with pytest.raises(DataError, match="bad-value"):
        value_of("x", "float")


@pytest.mark.parametrize(
    ("want", "passing"),
    [
        ({"q": "Yes"}, True),
        ({"q": True}, True),  # YAML's reading of an unquoted Yes
        ({"q": False}, False),
        ({"q": ["No", "Yes"]}, True),
        ({"n": 1}, True),
        ({"n": [2, 3]}, False),
        ({"q": "Yes", "n": 2}, False),
    ],
)
def test_filters(want: dict[str, Any], passing: bool) -> None:
    assert passes({"q": "Yes", "n": "1.0"}, want) is passing


def test_rows_that_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        "id,sequence,label,y\n"
        "a,ACGT,EI,1\nb,,EI,1\nc,AC1T,EI,1\nd,MKVLEFI,EI,1\ne,ACGT,XX,1\nf,ACGT,EI,\n"
        "a,GG,IE,2\n,GG,IE,2\ng,ACGTACGTACGT,EI,1\nh,AC\ni,ACGT,,1\nj,GGGG,IE,3\nk,\xff,IE,3\n",
        encoding="latin-1",
    )
    options = {"target": "label", "classes": ["EI", "IE"], "value": "y", "id": "id", "max_bases": 8}
    found = read(tmp_path, **options)
    assert [(one.id, one.row["target"]) for one in found if isinstance(one, Sample)] == [
        ("a", 0),
        ("j", 1),
    ]
    refused = {one.sample: one.code for one in found if isinstance(one, Refusal)}
    assert refused == {
        "a-0000003": "empty-sequence",
        "a-0000004": "bad-letter",
        "a-0000005": "protein",
        "a-0000006": "unknown-class",
        "a-0000007": "no-value",
        "a-0000008": "duplicate-id",
        "a-0000009": "no-id",
        "a-0000010": "too-long",
        "a-0000011": "uneven-row",
        "a-0000012": "no-class",
        "a-0000014": "not-utf8",
    }


@pytest.mark.parametrize(
    ("content", "options", "code"),
    [
        ("", {}, "empty-file"),
        ("\nsequence\n", {}, "empty-file"),
        ("a,b\n1,2\n", {}, "no-such-column"),
        ("sequence,sequence\n1,2\n", {}, "bad-header"),
        ("sequence\nACGT\n", {"where": {"x": 1}}, "no-such-column"),
        ("sequence\nACGT\n", {"known": ["x"]}, "no-such-column"),
        ('"sequence\nACGT\n', {}, "bad-line"),
    ],
)
def test_tables_that_are_refused(
    content: str, options: dict[str, Any], code: str, tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_text(content)
    assert codes(tmp_path, **options) == [code]


def test_rows_that_say_nothing_are_left_out_where_that_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("sequence,x\nACGT,1\nCCGT,NA\nGCGT,\nTCGT,0\n")
    assert codes(tmp_path, value="x") == ["no-value", "no-value"]
    assert [one.row["value"] for one in taken(tmp_path, value="x", known=["x"])] == [1.0, 0.0]


def test_columns_must_not_stand_where_ours_do(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("sequence,value\nACGT,1\n")
    with pytest.raises(SpecError, match="reserved-column"):
        read(tmp_path)
    assert taken(tmp_path, value="value")[0].row["value"] == 1.0
    assert taken(tmp_path, columns={})[0].row == {"sequence": "ACGT", "length": 4}


def test_fasta_with_a_class_a_file(tmp_path: Path) -> None:
    (tmp_path / "p.fa").write_text(">a b\nAC\nGU\n> 7\nGG\n")
    (tmp_path / "n.fa").write_text(">x\nTT\n")
    (tmp_path / "other.fa").write_text(">y\nTT\n")
    files = {"n.fa": "no", "p.fa": "yes"}
    rows = taken(tmp_path, files=files, classes=["no", "yes"])
    assert [(one.id, one.row["sequence"], one.row["target"]) for one in rows] == [
        ("n-0000001", "TT", 0),
        ("p-0000001", "ACGT", 1),
        ("p-0000002", "GG", 1),
    ]
    assert [one.row["name"] for one in rows] == ["x", "a", "7"]
    assert taken(tmp_path, files={"n.fa": "0", "p.fa": "1"})[1].row["target"] == 1
    assert len(taken(tmp_path)) == 4
    with pytest.raises(SpecError, match="no-such-file"):
        read(tmp_path, files={"none.fa": "x"})


@pytest.mark.parametrize("suffix", ["csv", "fa"])
def test_ranges_keep_order_ids_and_duplicates(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"r{n % 290}" for n in range(300)]
    table = "name,sequence\n" + "".join(f"{name},ACGT\n" for name in names)
    fasta = "".join(f">{name}\nAC\nGT\n" for name in names)
    (tmp_path / f"a.{suffix}").write_text(table if suffix == "csv" else fasta)
    whole = read(tmp_path, id="name")
    assert [one.id for one in whole if isinstance(one, Sample)] == names[:290]
    assert Counter(one.code for one in whole if isinstance(one, Refusal)) == {"duplicate-id": 10}
    monkeypatch.setattr(text, "BLOCK", 50)
    monkeypatch.setattr(module, "ranges", lambda path, mark: text.ranges(path, mark, size=200))
    form, plan = planned(tmp_path, id="name")
    assert len(plan.groups) > 10
    again = [one for (item,) in plan.groups for one in form.read(Source(tmp_path), item)]
    assert [one.id for one in again if isinstance(one, Sample)] == names[:290]
    refused = [one.sample for one in again if isinstance(one, Refusal)]
    assert refused == [one.sample for one in whole if isinstance(one, Refusal)]


def test_a_table_of_nonsense_is_refused_as_a_whole(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("sequence\n" + "!\n" * 2000)
    with pytest.raises(DataError, match="too-many-bad-rows"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("name", "positive", "negative", "counts", "length"),
    [
        ("Ecoli", "Ecoli_prom.fa.gz", "Ecoli_non_prom.fa.gz", {1: 839, 0: 3000}, 81),
        (
            "Arabidopsis",
            "Arabidopsis_tata.fa.gz",
            "Arabidopsis_non_prom.fa.gz",
            {1: 1497, 0: 2879},
            251,
        ),
    ],
)
def test_real_promoters(
    name: str, positive: str, negative: str, counts: dict[int, int], length: int, data_dir: Path
) -> None:
    root = data_dir / "genomics" / "promoters_umarov"
    rows = taken(
        root, files={negative: "other", positive: "promoter"}, classes=["other", "promoter"]
    )
    assert Counter(one.row["target"] for one in rows) == counts
    assert {one.row["length"] for one in rows} == {length}


def test_real_splice_junctions(data_dir: Path) -> None:
    path = data_dir / "genomics" / "uci" / "splice.csv"
    rows = taken(path, target="label", classes=["EI", "IE", "N"])
    assert Counter(one.row["class_name"] for one in rows) == {"EI": 767, "IE": 768, "N": 1655}
    assert {one.row["length"] for one in rows} == {60}
    odd = Counter("".join(one.row["sequence"] for one in rows))
    assert sum(odd[letter] for letter in "NDRS") == 60
    assert set(odd) == set("ACGTNDRS")
    path = path.with_name("promoters.data")
    header = ["label", "name", "sequence"]
    rows = taken(path, header=header, target="label", classes=["-", "+"], id="name")
    assert Counter(one.row["target"] for one in rows) == {0: 53, 1: 53}
    assert {one.row["length"] for one in rows} == {57}


def test_real_expression(data_dir: Path) -> None:
    boxes = ["UP", "h35", "spacs", "h10", "disc", "ITR"]
    options: dict[str, Any] = {"sequence": boxes, "value": "Observed log(TX/Txref)"}
    path = data_dir / "genomics" / "promoter_rates_lafleur" / "lafleur2022.csv.gz"
    rows = taken(path, **options)
    assert len(rows) == 13_481
    good = taken(path, **options, where={"high quality": "Yes"})
    assert len(good) == 5193
    assert {one.row["length"] for one in good} == {72, 73, 74, 77, 79}
    assert isinstance(good[0].row["Predicted log(TX/Txref)"], float)


def test_real_yeast_promoters(data_dir: Path) -> None:
    path = data_dir / "genomics" / "yeast_native" / "native_data.txt.gz"
    rows = taken(path, sequence=["seq"])
    assert len(rows) == 70_924
    assert len({one.id for one in rows}) == 70_924
    assert {one.row["length"] for one in rows} == {120}
    assert rows[0].row["EL.combined"] == pytest.approx(5.3747928587784)
    assert {type(one.row["isNative"]) for one in rows} == {bool}
    measured = taken(path, sequence=["seq"], value="EL.combined", columns={}, known=["EL.combined"])
    assert len(measured) == 69_240
