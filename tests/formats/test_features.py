"""BED, GTF and GFF3: one feature has the same coordinates from each, and none is taken unseen."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medray.errors import DataError, SpecError
from medray.formats import features as module
from medray.formats.base import Source
from medray.formats.bed import Bed
from medray.formats.gff import Gff
from medray.formats.tabular import text
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Sample

GTF = 'chr1\tx\texon\t11\t20\t.\t-\t.\tgene_id "ENSG00000236875.3_1"; gene_name "DDX"; level 2;\n'
GFF = "chr1\tx\tCDS\t11\t20\t.\t-\t0\tID=cds%3B1;Parent=rna;gene_id=g.1;Name=DDX\n"


def read(kind: type[Bed] | type[Gff], root: Path, **options: Any) -> list[Sample | Refusal]:
    form = kind(kind.Options.model_validate(options))
    plan = form.plan(Source(root))
    found: list[Sample | Refusal] = list(plan.refused)
    for item in (item for group in plan.groups for item in group):
        found += form.read(Source(root), item)
    return found


def rows(kind: type[Bed] | type[Gff], root: Path, **options: Any) -> list[dict[str, Any]]:
    return [one.row for one in read(kind, root, **options) if isinstance(one, Sample)]


def codes(kind: type[Bed] | type[Gff], root: Path, **options: Any) -> list[str]:
    found = (one for one in read(kind, root, **options) if isinstance(one, Refusal))
    return [one.code for one in found if one.kind == "quarantined"]


def test_one_feature_is_the_same_from_each(tmp_path: Path) -> None:
    (tmp_path / "a.bed").write_text("chr1\t10\t20\tDDX\t.\t-\n")
    (tmp_path / "a.gtf").write_text(GTF)
    (tmp_path / "b.gff3").write_text(GFF)
    shared = {"contig": "chr1", "start": 10, "end": 20, "strand": "-", "name": "DDX", "score": None}
    (bed,), both = rows(Bed, tmp_path), rows(Gff, tmp_path)
    assert bed == shared
    for row in both:
        assert {name: row[name] for name in shared} == shared
    assert [row["gene_id"] for row in both] == ["ENSG00000236875", "g.1"]
    assert both[1]["id"] == "cds;1"
    assert [row["phase"] for row in both] == [None, 0]


@pytest.mark.parametrize(
    ("name", "bare"),
    [
        ("ENSG00000236875.3_1", "ENSG00000236875"),
        ("ENSMUSG00000000001.5", "ENSMUSG00000000001"),
        ("ENSG00000182378.15_PAR_Y", "ENSG00000182378_PAR_Y"),
        ("NM_000546.6", "NM_000546"),
        ("Y51H4A.12", "Y51H4A.12"),
        ("gene.1", "gene.1"),
    ],
)
def test_versions_are_cut_where_they_are_versions(name: str, bare: str, tmp_path: Path) -> None:
    (tmp_path / "a.gtf").write_text(GTF.replace("ENSG00000236875.3_1", name))
    assert rows(Gff, tmp_path)[0]["gene_id"] == bare


def test_bed_of_twelve_columns_and_its_kin(tmp_path: Path) -> None:
    (tmp_path / "a.bed").write_text(
        "browser position chr1\ntrack name=x\n#c\n"
        "chr1\t100\t200\tn\t960\t+\t110\t190\t0\t2\t10,20,\t0,80,\ntrack1 5 6\n"
    )
    (tmp_path / "b.narrowPeak.gz").write_bytes(
        gzip.compress(b"chr1\t5\t9\t.\t0\t.\t1.5\t-1\t-1\t2\n")
    )
    (tmp_path / "c.bedGraph").write_text("chr1\t0\t5\t-1.25\n")
    full, odd, peak, graph = rows(Bed, tmp_path)
    assert (full["thick_start"], full["thick_end"]) == (110, 190)
    assert (full["block_starts"], full["block_ends"]) == ([100, 180], [110, 200])
    assert (odd["contig"], odd["end"]) == ("track1", 6)
    assert (peak["signal"], peak["peak"], peak["name"]) == (1.5, 2.0, None)
    assert (graph["score"], graph["name"]) == (-1.25, None)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("chr1\t5", "too-few-columns"),
        ("chr1\t5\t4", "end-before-start"),
        ("chr1\t-5\t4", "bad-coordinate"),
        ("chr1\t5\t1e9", "bad-coordinate"),
        ("chr1\t5\t99999999999999", "bad-coordinate"),
        ("chr1\t5\t6\tn\tx", "bad-score"),
        ("chr1\t5\t6\tn\t1\t*", "bad-strand"),
        ("chr1\t5\t101", "out-of-range"),
        ("chr2\t5\t6", "unknown-contig"),
        ("chr1\t1\t9\tn\t0\t+\t1\t9\t0\t2\t1,\t0,", "bad-blocks"),
        ("chr1\t1\t9\tn\t0\t+\t1\t9\t0\t1\t9\t0", "bad-blocks"),
    ],
)
def test_bed_lines_that_are_refused(line: str, code: str, tmp_path: Path) -> None:
    (tmp_path / "a.bed").write_text(f"chr1\t0\t100\n{line}\n")
    found = read(Bed, tmp_path, lengths={"chr1": 100})
    assert [one.id for one in found if isinstance(one, Sample)] == ["a-0000001"]
    (refused,) = (one for one in found if isinstance(one, Refusal))
    assert (refused.sample, refused.code) == ("a-0000002", code)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("chr1\tx\texon\t11\t20\t.\t-\t.\n", "not-nine-columns"),
        (GTF.replace("\t11", "\t0"), "bad-coordinate"),
        (GTF.replace("\t.\tgene", "\t3\tgene"), "bad-phase"),
        (GTF.replace('gene_name "', "gene_name %%"), "bad-attributes"),
        (GFF.replace("Parent=rna", "Parent"), "bad-attributes"),
    ],
)
def test_gff_lines_that_are_refused(line: str, code: str, tmp_path: Path) -> None:
    (tmp_path / "a.gtf").write_text(line)
    assert codes(Gff, tmp_path) == [code]


def test_files_in_ranges_give_the_same_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = "".join(f"chr1\t{at}\t{at + 1}\n" for at in range(500))
    (tmp_path / "a.bed").write_text(lines)
    (tmp_path / "b.bed.gz").write_bytes(gzip.compress(lines.encode()))
    whole = [one.id for one in read(Bed, tmp_path) if isinstance(one, Sample)]
    assert whole[0] == "a-0000001"
    assert len(set(whole)) == 1000
    monkeypatch.setattr(text, "BLOCK", 64)
    monkeypatch.setattr(
        module, "ranges", lambda path, until: text.ranges(path, until=until, size=300)
    )
    assert len(Bed(Bed.Options()).plan(Source(tmp_path)).groups) > 20
    assert [one.id for one in read(Bed, tmp_path) if isinstance(one, Sample)] == whole


def test_a_file_of_nonsense_is_refused_as_a_whole(tmp_path: Path) -> None:
    (tmp_path / "a.bed").write_text("x\n" * 2000)
    with pytest.raises(DataError, match="too-many-bad-lines"):
        read(Bed, tmp_path)


def test_genotypes_of_plink_are_called_so(tmp_path: Path) -> None:
    (tmp_path / "a.bed").write_bytes(b"\x6c\x1b\x01\xdc\xef\n\xfe")
    (tmp_path / "b.bed").write_text("chr1\t0\t5\n")
    plan = Bed(Bed.Options()).plan(Source(tmp_path))
    assert [(one.source, one.code) for one in plan.refused] == [("a.bed", "other-format")]
    assert "vcf" in plan.refused[0].hint
    assert len(plan.groups) == 1


def test_lengths_from_a_table_are_part_of_the_inputs(tmp_path: Path) -> None:
    (tmp_path / "a.bed").write_text("chr1\t90\t110\n")
    (tmp_path / "hg.sizes").write_text("chr1\t100\n")
    assert codes(Bed, tmp_path, genome="hg.sizes") == ["out-of-range"]
    options = {"genome": "hg.sizes", "circular": ["chr1"]}
    assert [row["wraps"] for row in rows(Bed, tmp_path, **options)] == [True]
    form = Bed(Bed.Options.model_validate(options))
    before = form.plan(Source(tmp_path)).groups[0][0].fingerprint
    (tmp_path / "hg.sizes").write_text("chr1\t1000\n")
    assert form.plan(Source(tmp_path)).groups[0][0].fingerprint != before
    with pytest.raises(SpecError, match="no-lengths"):
        read(Bed, tmp_path, circular=["chr1"])
    with pytest.raises(SpecError, match="missing-file"):
        read(Bed, tmp_path, genome="none")


def test_bedgraph_of_tracks(tmp_path: Path) -> None:
    values = np.array([[0.5, 0.5, np.nan, 0.1, 65504.0]], np.float16)
    row = {"contig": "chr1", "length": 37, "bin_bases": 8}
    (path,) = Bed(Bed.Options()).write([Sample("chr1", row, {"track": values})], tmp_path)
    assert path.read_text().splitlines() == [
        "chr1\t0\t16\t0.5",
        "chr1\t24\t32\t0.1",
        "chr1\t32\t37\t65500",  # as few digits as give the same float16 again
    ]
    found = rows(Bed, tmp_path)
    assert np.array_equal(
        np.array([one["score"] for one in found], np.float16), values[0, [0, 3, 4]]
    )
    with pytest.raises(DataError, match="no-such-array"):
        list(Bed(Bed.Options()).write([Sample("x", {})], tmp_path))


def test_each_of_several_tracks_is_a_bedgraph_of_its_own(tmp_path: Path) -> None:
    values = np.array([[0.25, 0.75], [0.5, 0.5]], np.float32)
    row = {"contig": "chr1", "offset": 100, "bin_bases": 1, "names": ["blank", "site"]}
    written = Bed(Bed.Options()).write([Sample("w", row, {"probability": values})], tmp_path)
    assert {path.name: path.read_text() for path in written} == {
        "w_blank.bedgraph": "chr1\t100\t101\t0.25\nchr1\t101\t102\t0.75\n",
        "w_site.bedgraph": "chr1\t100\t102\t0.5\n",
    }


@pytest.mark.parametrize("names", [["blank"], ["site", "site"]])
def test_tracks_without_a_name_each_are_refused(names: list[str], tmp_path: Path) -> None:
    row = {"contig": "chr1", "bin_bases": 1, "names": names}
    sample = Sample("w", row, {"track": np.zeros((2, 3), np.float32)})
    with pytest.raises(DataError) as caught:
        list(Bed(Bed.Options()).write([sample], tmp_path))
    assert caught.value.code == "uneven-names"
    assert list(tmp_path.iterdir()) == []


def test_real_annotation(data_dir: Path) -> None:
    root = data_dir / "genomics" / "annotation"
    found = rows(Gff, root)
    assert len(found) == 5964
    assert not codes(Gff, root)
    assert found[0]["gene_id"] == "ENSG00000236875"
    assert (found[0]["start"], found[0]["end"]) == (12133, 12190)
    assert {row["type"] for row in rows(Gff, root, features=["exon"])} == {"exon"}
    assert len(rows(Bed, root)) == 636


def test_a_real_circular_genome(data_dir: Path) -> None:
    root = data_dir / "genomics" / "phage_phix174"
    lengths = {"NC_001422.1": 5386}
    assert len(rows(Gff, root)) == 11
    assert codes(Gff, root, lengths=lengths) == ["out-of-range"] * 2
    found = rows(Gff, root, lengths=lengths, circular=[*lengths])
    assert [row["end"] for row in found if row["wraps"]] == [5437, 5522]


def test_gff3_is_unescaped_in_every_column_and_lists_are_cut_first(tmp_path: Path) -> None:
    (tmp_path / "a.gff3").write_bytes(
        b"\xef\xbb\xbf##gff-version 3\r\n"
        b"seq%20one\tx%3By\tmRNA\t1\t9\t1e-5\t?\t.\t"
        b"ID=t1;Parent=g%2C1,g2 ; Note=a%2Cb,c;curated;\r\n"
        b"chr1\tx\tregion\t1\t9\t.\t+\t.\t.\r\n"
        b"chr1\tx\tCDS\t1\t9\t.\t+\t2\tID=c;Parent=t1;Parent=t2;product=kinase, putative\r\n"
        b"###\r\n>chr1\r\nACGT\r\n"
    )
    found = rows(Gff, tmp_path, attributes=["Note", "curated"])
    assert not codes(Gff, tmp_path)
    assert [row["contig"] for row in found] == ["seq one", "chr1", "chr1"]
    assert (found[0]["source"], found[0]["strand"], found[0]["score"]) == ("x;y", ".", 1e-5)
    assert [row["parent"] for row in found] == [["g,1", "g2"], None, ["t1", "t2"]]
    assert found[0]["attribute_Note"] == ["a,b", "c"]
    assert (found[2]["product"], found[2]["phase"]) == ("kinase, putative", 2)


def test_gtf_attributes_as_their_makers_write_them(tmp_path: Path) -> None:
    head = "chr%201\tx\texon\t5\t90\t.\t-\t.\t"
    (tmp_path / "a.gtf").write_text(
        head + 'gene_id "G1"; transcript_id ""; note "5\' UTR \\"short\\" form; x";\n'
        + head + 'gene_id "G2"; tag "a"; tag "b,c"; gene_name "CYCD1;1" ; # kept by hand\n'
        + head + "gene_id G3;transcript_id T3; exon_number 1\n"
        + head + ".\n"
    )  # fmt: skip
    found = rows(Gff, tmp_path, attributes=["note", "tag"])
    assert not codes(Gff, tmp_path)
    assert {row["contig"] for row in found} == {"chr%201"}  # GTF escapes nothing
    assert [row["gene_id"] for row in found] == ["G1", "G2", "G3", None]
    assert [row["transcript_id"] for row in found] == [None, None, "T3", None]
    assert found[0]["attribute_note"] == ['5\' UTR "short" form; x']
    assert (found[1]["attribute_tag"], found[1]["gene_name"]) == (["a", "b,c"], "CYCD1;1")


def test_blanks_tabs_and_marks_between_the_cells_of_a_bed(tmp_path: Path) -> None:
    (tmp_path / "a.bed").write_bytes(
        b"\xef\xbb\xbfchr1\t1\t9\r\n\r\n  # c\ntrack\nchr1  1   9 n\nchr1 1\t9\nchr1\t1\t9\t\n"
        b"chr1 \t 1\t9\ta b\n  chr1 1 9\n"
    )
    found = read(Bed, tmp_path)
    assert not [one for one in found if isinstance(one, Refusal)]
    made = [one.row for one in found if isinstance(one, Sample)]
    assert [(row["contig"], row["start"], row["end"]) for row in made] == [("chr1", 1, 9)] * 6
    assert [row["name"] for row in made] == [None, "n", None, None, "a b", None]
    (tmp_path / "a.bed").unlink()
    (tmp_path / "b.bedgraph").write_bytes(b"\xef\xbb\xbfchr1  0 \t 5  -1e-3 \r\n")
    (tmp_path / "s.sizes").write_bytes(b"\xef\xbb\xbf# sizes\r\nchr1   7\r\n")
    assert [row["score"] for row in rows(Bed, tmp_path, genome="s.sizes")] == [-1e-3]
