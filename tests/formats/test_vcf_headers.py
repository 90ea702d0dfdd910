"""Headers that break the specification: refused, or read as bcftools does where that is allowed."""

import gzip
from pathlib import Path
from typing import Any

import pytest

from medray.errors import DataError, SpecError
from medray.formats.base import Source
from medray.formats.vcf import Vcf
from medray.formats.vcf.text.header import parse_header
from medray.storage.shards.records import Refusal
from tests.formats.test_vcf_sites import read

ALLOW = frozenset({"bad-header"})
COLUMNS = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"
RECORD = "1\t10\t.\tA\tG\t.\tPASS\tANN=G|x,y;X=2"
INFO = '##INFO=<ID=X,Number=1,Type=Integer,Description="x">'
BROKEN = [
    "##source=",
    "##",
    "##nothing",
    "##a key of blanks=thing",
    '##INFO=<ID=ANN,Number=.,Type=String,Description="of "SnpEff" v5">',
    "##INFO=<ID=ANN,Number=.,Type=String,Description=unquoted>",
    "##INFO=<ID=ANN,Number=.,Type=String>",
    '##INFO=<ID=ANN,Number=many,Type=String,Description="x">',
    '##INFO=<ID=ANN,Number=.,Type=Text,Description="x">',
    '##INFO=<Number=.,Type=String,Description="no id">',
    '##INFO=ID=ANN,Number=.,Type=String,Description="no brackets"',
    '##FILTER=<ID=0,Description="x">',
    '##FILTER=<ID=q10,Description="x",>',
    "##FILTER=<ID=q10>",
    '##FORMAT=<ID=F,Number=0,Type=Flag,Description="x">',
    "##contig=<ID=a b,length=5>",
    "##assembly=two words",
    '##ALT=<ID=DEL,Number=many,Description="x">',
    "##META=<ID=M,Type=String,Values=a>",
]


@pytest.mark.parametrize("line", BROKEN)
def test_a_broken_line_is_refused_or_noted_and_the_rest_is_read(line: str, tmp_path: Path) -> None:
    text = f"##fileformat=VCFv4.2\n{INFO}\n{line}\n##contig=<ID=1>\n{COLUMNS}\n{RECORD}\n"
    (tmp_path / "a.vcf").write_text(text)
    rows, refused = read(tmp_path)
    assert not rows
    assert [(one.code, one.source) for one in refused] == [("bad-header", "a.vcf")]
    rows, refused = read(tmp_path, allow=("unsorted", "bad-header"), fields=("ANN", "X"))
    assert [one.row["info_ANN"] for one in rows] == [["G|x", "y"]]
    assert [one.row["info_X"] for one in rows] == [2]
    assert [(one.code, one.kind, one.sample) for one in refused] == [
        ("bad-header", "passed-over", "header")
    ]
    assert refused[0].reason.startswith("header, line 3: ")
    assert line.partition("=")[2] not in refused[0].reason or not line.partition("=")[2]


def test_what_is_kept_of_broken_lines() -> None:
    lines = ["##fileformat=VCFv4.2.1", *BROKEN, "##contig=<ID=1,length=9>", COLUMNS, ""]
    header = parse_header("\n".join(lines).encode(), ALLOW)
    assert header.version == (4, 2)
    assert header.contigs == {"a b": 5, "1": 9}
    assert ("source", "") in header.other
    assert ("a key of blanks", "thing") in header.other
    assert {"0", "q10"} <= header.filters.keys()
    assert (header.info["ANN"].number, header.info["ANN"].type) == (".", "String")
    assert header.format["F"].type == "String"
    assert len(header.passed) == 1 + len(BROKEN)
    with pytest.raises(DataError) as caught:
        parse_header("\n".join(lines).encode())
    assert "allow: [unsorted, bad-header]" in caught.value.hint


@pytest.mark.parametrize("table", ["sites", "calls"])
def test_the_column_format_without_samples(table: str, tmp_path: Path) -> None:
    text = f"##fileformat=VCFv4.2\n{COLUMNS}\tFORMAT\n{RECORD}\tGT\n{RECORD}\n"
    (tmp_path / "a.vcf").write_text(text.replace("X=2", "Y=2"))
    form = Vcf(Vcf.Options(table=table, allow=("unsorted", "bad-header")))
    ((item,),) = form.plan(Source(tmp_path)).groups
    found: list[Any] = list(form.read(Source(tmp_path), item))
    assert [one.code for one in found if hasattr(one, "code")] == ["bad-header", "column-count"]
    (taken,) = (one for one in found if not hasattr(one, "code"))
    if table == "sites":
        assert taken.table["pos"].to_pylist() == [10]
    else:
        assert taken.row["variants"] == 1
        assert taken.row["samples"] == 0


def test_commas_signs_and_escaped_quotes_in_a_description() -> None:
    quoted = 'P(a,b) = <0.05, \\"q\\"'
    line = f'##INFO=<ID=X,Number=1,Type=Float,Description="{quoted}",Source="a",Version="3">'
    header = parse_header(f"##fileformat=VCFv4.2\n{line}\n{COLUMNS}\n".encode())
    assert header.info["X"].description == quoted


def test_the_warnings_of_a_header_come_once(tmp_path: Path) -> None:
    text = f"##fileformat=VCFv4.2\n##source=\n{INFO}\n{COLUMNS}\n" + f"{RECORD}\n" * 9000
    (tmp_path / "a.vcf").write_text(text)
    rows, refused = read(tmp_path, allow=("unsorted", "bad-header"), partition=2**16)
    assert len(rows) == 9000
    assert len(refused) == 1


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        (["##contig=<ID=1,length=90>", "##contig=<ID=1,length=80>"], ("contig", "1", 90)),
        (["##contig=<ID=1,length=90>", "##contig=<ID=1,note=x,length=80>"], ("contig", "1", 90)),
        (
            [INFO, '##INFO=<ID=X,Number=.,Type=Integer,Description="x">'],
            ("INFO", "X", ("1", "Integer")),
        ),
        (
            [INFO, '##INFO=<ID=X,Number=1,Type=Float,Description="x">'],
            ("INFO", "X", ("1", "Integer")),
        ),
    ],
)
def test_one_name_with_two_meanings_is_refused_or_the_first(
    lines: list[str], found: tuple[str, str, Any]
) -> None:
    """As htslib has it, which takes the first line without a word."""
    text = "\n".join(["##fileformat=VCFv4.2", *lines, COLUMNS, ""]).encode()
    with pytest.raises(DataError, match="line 3: an earlier line") as caught:
        parse_header(text)
    assert caught.value.code == "bad-header"
    header = parse_header(text, ALLOW)
    kind, name, value = found
    field = header.info.get(name)
    assert value == (header.contigs[name] if kind == "contig" else (field.number, field.type))
    assert [code for code, _ in header.passed] == ["bad-header"]


def test_one_name_twice_with_one_meaning_is_taken() -> None:
    lines = [INFO, INFO.replace('"x"', '"y"'), "##contig=<ID=1>", "##contig=<ID=1,length=9>"]
    header = parse_header("\n".join(["##fileformat=VCFv4.2", *lines, COLUMNS, ""]).encode())
    assert header.contigs == {"1": 9}
    assert header.info["X"].description == "x"


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_byte_order_mark_is_no_part_of_the_file(pack: Any, tmp_path: Path) -> None:
    text = f"\ufeff##fileformat=VCFv4.2\r\n{INFO}\r\n{COLUMNS}\r\n{RECORD}\r\n"
    (tmp_path / "a.vcf").write_bytes(pack(text.encode()))
    rows, refused = read(tmp_path, fields=("X",))
    assert not refused
    assert [(one.row["line"], one.row["info_X"]) for one in rows] == [(4, 2)]


def of_two(tmp_path: Path, other: str, **options: Any) -> list[Refusal]:
    """What is refused of a file to which `cat` has joined another, of these samples."""
    head = (
        "##fileformat=VCFv4.2\n##contig=<ID=1>\n"
        '##FORMAT=<ID=GT,Number=1,Type=String,Description="g">\n#CHROM\t'
        "POS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\t"
    )
    record = "1\t{}\t.\tA\tC\t.\t.\t.\tGT\t0/1\t1/1\n"
    records = "".join(record.format(at) for at in range(1, 2500))
    (tmp_path / "a.vcf").write_text(f"{head}a\tb\n{records}{head}{other}\n{records}")
    form, source = Vcf(Vcf.Options.model_validate(options)), Source(tmp_path)
    items = [item for group in form.plan(source).groups for item in group]
    return [one for item in items for one in form.read(source, item) if isinstance(one, Refusal)]


def test_calls_behind_a_header_of_other_samples_are_nobodys(tmp_path: Path) -> None:
    for other in ("b\ta", "c\td"):
        with pytest.raises(DataError, match="second-header"):
            of_two(tmp_path, other, table="calls")
        with pytest.raises(SpecError, match=r"second-header.*bcftools"):
            of_two(tmp_path, other, table="calls", partition=65536)
        assert {one.code for one in of_two(tmp_path, other, table="sites")} == {"column-count"}
    assert {one.code for one in of_two(tmp_path, "a\tb", table="calls")} == {"column-count"}
