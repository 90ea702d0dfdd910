"""Sites of VCF: cyvcf2 says the same of real files; stretches neither lose nor double a record."""

import gzip
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pysam
import pytest

from medray.errors import DataError
from medray.formats.base import Found, Source
from medray.formats.vcf import Vcf
from medray.formats.vcf.text import bgzf as bgzf_module
from medray.formats.vcf.text.blocks import EOF_MARK
from medray.storage.shards.records import Refusal
from medray.storage.shards.rows import Rows
from medray.storage.shards.samples import Sample

HEAD = "##fileformat=VCFv4.2\n##contig=<ID=1>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"


def planned(root: Path, **options: Any) -> tuple[Vcf, Found]:
    form = Vcf(Vcf.Options(**options))
    return form, form.plan(Source(root))


def read(root: Path, **options: Any) -> tuple[list[Sample], list[Refusal]]:
    form, plan = planned(root, **options)
    out: list[Sample | Refusal] = list(plan.refused)
    for item in (item for group in plan.groups for item in group):
        try:
            out += form.read(Source(root), item)
        except DataError as error:
            out.append(Refusal(item.key, error.code, error.message))
    return each(out), [one for one in out if isinstance(one, Refusal)]


def each(items: Iterable[Sample | Refusal]) -> list[Sample]:
    return [row for one in items if isinstance(one, Rows) for row in one.each()]


def site(row: dict[str, Any]) -> tuple[Any, ...]:
    names = ("contig", "pos", "ref", "alt", "alt_index", "n_alts", "id", "qual", "filter")
    return tuple(row[name] for name in names)


def expected(path: Path) -> list[tuple[Any, ...]]:
    """The sites as cyvcf2 reads them."""
    import cyvcf2

    found = []
    for one in cyvcf2.VCF(str(path)):
        filters = ";".join(one.FILTERS) or None
        for number, alt in enumerate(one.ALT, start=1):
            fixed = (one.CHROM, one.POS, one.REF, alt, number, len(one.ALT))
            found.append((*fixed, one.ID, one.QUAL, filters))
        if not one.ALT:
            fixed = (one.CHROM, one.POS, one.REF, ".", 0, 0)
            found.append((*fixed, one.ID, one.QUAL, filters))
    return found


def same(rows: list[Sample], wanted: list[tuple[Any, ...]]) -> None:
    got = [site(one.row) for one in rows]
    assert len(got) == len(wanted)
    for mine, theirs in zip(got, wanted, strict=True):
        assert mine[:7] == theirs[:7]
        assert mine[7] == (theirs[7] if theirs[7] is None else pytest.approx(theirs[7], rel=1e-6))
        assert mine[8] == theirs[8]


FILES = {  # samples / records / with several ALTs, from the notes
    "vcf/1kg_chr22_100samples.vcf": (735, 356),
    "vcf/1kg_chr20_2535samples.vcf.gz": (17, None),
    "vcf_odd/bio2zarr/chr22.vcf.gz": (100, 4),
    "vcf_odd/bio2zarr/sample.vcf.gz": (9, None),
    "vcf_odd/bio2zarr/sample.bcf": (9, None),
    "assoc_hail/ldprune.vcf": (46, None),
    "assoc_hail/regressionLogisticEpacts.vcf": (5, None),
}


@pytest.mark.parametrize("name", FILES)
def test_real_files_have_the_sites_that_cyvcf2_finds(name: str, data_dir: Path) -> None:
    path = data_dir / "genomics" / name
    rows, refused = read(path)
    assert not refused
    same(rows, expected(path))
    records, several = FILES[name]
    assert len({one.row["line"] for one in rows}) == records
    if several is not None:
        assert len({one.row["line"] for one in rows if one.row["n_alts"] > 1}) == several


def test_stretches_hold_every_record_once(data_dir: Path, tmp_path: Path) -> None:
    text = (data_dir / "genomics/vcf/1kg_chr22_100samples.vcf").read_bytes()
    wanted = [site(one.row) for one in read(data_dir / "genomics/vcf/1kg_chr22_100samples.vcf")[0]]
    form = Vcf(Vcf.Options(partition=2**16))
    path = tmp_path / "one.vcf"
    path.write_bytes(text)
    (tmp_path / "one.vcf.gz").write_bytes(gzip.compress(text))
    pysam.tabix_compress(str(path), str(tmp_path / "two.vcf.gz"))
    counts = {}
    for name in ("one.vcf", "one.vcf.gz", "two.vcf.gz"):
        source = Source(tmp_path / name)
        items = [item for group in form.plan(source).groups for item in group]
        rows = each(one for item in items for one in form.read(source, item))
        assert [site(one.row) for one in rows] == wanted
        assert len({one.id for one in rows}) == len(wanted)
        counts[name] = len(items)
    assert counts["one.vcf"] == 32
    assert counts["one.vcf.gz"] == 1
    assert counts["two.vcf.gz"] == 8


@pytest.mark.parametrize("kind", ["plain", "bgzf"])
def test_any_cut_of_a_file_is_sound(kind: Any, data_dir: Path, tmp_path: Path) -> None:
    """Cuts at every place of a small file, on block boundaries, inside and right after newlines."""
    lines = [f"1\t{n}\t.\tA\tC\t.\t.\t{'x' * (n % 40)}" for n in range(1, 300)]
    text = (HEAD + "\n".join(lines) + "\n").encode()
    path = tmp_path / "a.vcf.gz"
    blocks = [_block(text[at : at + 333]) for at in range(0, len(text), 333)]
    data = text if kind == "plain" else b"".join(blocks) + EOF_MARK
    path.write_bytes(data)
    cuts = range(1, len(data), 7 if kind == "plain" else 3)
    for cut in cuts:
        parts = [
            b"".join(bgzf_module.lines_of(path, kind, start, stop, max_line=2**20))
            for start, stop in ((0, cut), (cut, len(data)))
        ]
        assert b"".join(parts) == text, cut
        assert parts[0].endswith(b"\n")


def _block(text: bytes) -> bytes:
    import zlib

    deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
    body = deflate.compress(text) + deflate.flush()
    size = (len(body) + 25).to_bytes(2, "little")
    head = bytes.fromhex("1f8b08040000000000ff060042430200") + size
    return head + body + zlib.crc32(text).to_bytes(4, "little") + len(text).to_bytes(4, "little")


def test_every_kind_of_allele(tmp_path: Path) -> None:
    cases = {
        ("A", "C"): "snv", ("a", "A"): "reference", ("AC", "GT"): "mnv", ("A", "AT"): "insertion",
        ("AT", "A"): "deletion", ("A", "<DEL>"): "symbolic", ("A", "<*>"): "symbolic",
        ("A", "*"): "star", ("A", "."): "missing", ("A", "A]2:10]"): "breakend",
        ("A", "]2:10]A"): "breakend", ("A", ".A"): "breakend", ("ATT", "ACC"): "mnv",
    }  # fmt: skip
    lines = [
        f"1\t{n}\tr{n}\t{ref}\t{alt}\t3.5\tPASS\t." for n, (ref, alt) in enumerate(cases, start=1)
    ]
    (tmp_path / "a.vcf").write_text(HEAD + "\n".join(lines) + "\n")
    rows, refused = read(tmp_path)
    assert not refused
    assert [one.row["kind"] for one in rows] == list(cases.values())
    assert [one.row["line"] for one in rows] == list(range(4, 4 + len(cases)))
    assert rows[8].row["alt_index"] == rows[8].row["n_alts"] == 0


BROKEN = {
    "1\tx\t.\tA\tC\t.\t.\t.": "bad-pos",
    "1\t3000000000\t.\tA\tC\t.\t.\t.": "bad-pos",
    "1\t5\t.\tB\tC\t.\t.\t.": "bad-ref",
    "1\t5\t.\tA\tC,,T\t.\t.\t.": "bad-alt",
    "1\t5\t.\tA\t[1:5[\t.\t.\t.": "bad-alt",
    "1\t5\t.\tA\tC\t-1\t.\t.": "bad-qual",
    "1\t5\t.\tA\tC\tx\t.\t.": "bad-qual",
    "1\t5\ta;a\tA\tC\t.\t.\t.": "bad-id",
    "1\t5\t.\tA\tC\t.\tq;q\t.": "bad-filter",
    "1\t5\t.\tA\tC\t.\t.\ta b=3": "bad-info",
    "c 1\t5\t.\tA\tC\t.\t.\t.": "bad-chrom",
    "1\t5\t.\tA\tC\t.\t.": "column-count",
    "": "column-count",
}


@pytest.mark.parametrize("line", BROKEN)
def test_a_broken_record_is_refused_by_itself(line: str, tmp_path: Path) -> None:
    good = "1\t{}\t.\tA\tC\t.\t.\t."
    text = "\n".join([good.format(1), line, good.format(9)])
    (tmp_path / "a.vcf").write_text(f"{HEAD}{text}\n")
    rows, refused = read(tmp_path)
    assert [one.row["pos"] for one in rows] == [1, 9]
    assert [(one.code, one.sample) for one in refused] == [(BROKEN[line], "line 5")]
    rows, refused = read(tmp_path, allow=[BROKEN[line]]) if BROKEN[line] == "bad-ref" else ([], [])
    assert not refused


def test_unsorted_records_where_order_is_asked_for(tmp_path: Path) -> None:
    lines = [f"{c}\t{p}\t.\tA\tC\t.\t.\t." for c, p in ((1, 5), (1, 4), (2, 1), (1, 9), (2, 2))]
    (tmp_path / "a.vcf").write_text(HEAD + "\n".join(lines) + "\n")
    assert len(read(tmp_path)[0]) == 5
    rows, refused = read(tmp_path, allow=[])
    assert [(one.row["contig"], one.row["pos"]) for one in rows] == [("1", 5), ("2", 1), ("2", 2)]
    assert Counter(one.code for one in refused) == {"unsorted": 2}


def test_a_file_with_one_column_less(data_dir: Path) -> None:
    rows, refused = read(data_dir / "genomics/gene_chr22/chr22_ENST00000319363.vcf.gz")
    assert not rows
    assert refused[0].code == "too-many-bad-records"
    assert "from line 4 on" in refused[0].reason


def test_a_cut_off_file_is_said_to_be_one(data_dir: Path, tmp_path: Path) -> None:
    data = (data_dir / "genomics/vcf_odd/bio2zarr/chr22.vcf.gz").read_bytes()
    (tmp_path / "a.vcf.gz").write_bytes(data[: -len(EOF_MARK)])
    rows, refused = read(tmp_path)
    assert len(rows) == 104
    assert [one.code for one in refused] == ["no-eof-mark"]
    (tmp_path / "a.vcf.gz").write_bytes(data[:-100])
    assert [one.code for one in read(tmp_path)[1]] == ["truncated-gzip"]


def test_names_of_samples_stay_out_of_rows_and_refusals(data_dir: Path) -> None:
    rows, refused = read(data_dir / "genomics/vcf_odd/hail/duplicate_ids.vcf")
    assert not rows
    assert [one.code for one in refused] == ["duplicate-sample"]
    rows, refused = read(data_dir / "genomics/vcf_odd/hail/malformed.vcf")
    assert [one.code for one in refused] == ["column-count"]
    assert not any("C1046" in str(one) for one in [*rows, *refused])


ALLELES = ["A", ".", "A,G", "*", "C,*", "<DEL>", "G,<NON_REF>", "<*>", "A[1:5[", "]<c>:5]A", ".A"]
NO_ALLELES = ["", "C,", ",C", "C,,G", "C,.", ".,C", "A*", "X", "<>", "<a b>", "A[1[", "C,A*"]


def test_each_allele_of_a_record_is_held_to_the_rule(tmp_path: Path) -> None:
    lines = [f"1\t9\t.\tT\t{alt}\t.\t.\t.\n" for alt in [*ALLELES, *NO_ALLELES]]
    (tmp_path / "a.vcf").write_text(HEAD + "".join(lines))
    rows, refused = read(tmp_path)
    assert [row.row["alt"] for row in rows] == ",".join(ALLELES).split(",")
    last = len(HEAD.splitlines()) + len(ALLELES)
    assert [(one.code, one.sample) for one in refused] == [
        ("bad-alt", f"line {last + number}") for number in range(1, len(NO_ALLELES) + 1)
    ]


def test_one_odd_text_in_a_plain_column_is_found(tmp_path: Path) -> None:
    plain = ["1", "9", "rs1", "A", "C", "30", "PASS", "DB"]
    odd = ["1,2", "9", "a;a", "AX", "", "1e", "q;q", "=1"]
    codes = ["chrom", "", "id", "ref", "alt", "qual", "filter", "info"]
    lines = []
    for column, code in enumerate(codes):
        lines += ["\t".join(plain)]
        lines += ["\t".join([*plain[:column], odd[column], *plain[column + 1 :]])] if code else []
    (tmp_path / "a.vcf").write_text(HEAD + "\n".join(lines) + "\n")
    rows, refused = read(tmp_path)
    assert len(rows) == len(codes)
    assert [one.code for one in refused] == [f"bad-{code}" for code in codes if code]
