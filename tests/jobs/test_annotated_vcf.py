"""Annotated VCF and tables of many units: one file, ordered, exact, the same after any kill."""

import csv
import gzip
import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pysam
import pytest

from medray.errors import MedrayError, SpecError
from medray.formats.vcf.annotated import _definition
from medray.formats.vcf.merge import Annotations, annotated
from medray.jobs.run import run
from medray.storage.catalog.datasets import open_dataset
from medray.storage.store.objects import Objects
from tests import callset


def inline(objects: Objects, *steps: dict[str, Any]):
    return run(list(steps), storage=objects, cluster="inline")


def export_step(to: Path, source: Path, **options: Any) -> dict[str, Any]:
    form = {"name": "annotated_vcf", "source": str(source), "partition": 2**16, **options}
    return {"kind": "export", "data": "scores", "format": form, "to": str(to)}


def table_step(to: Path, file: str) -> dict[str, Any]:
    form = {"name": "table", "file": file}
    return {
        "kind": "export",
        "data": "scores",
        "format": form,
        "to": str(to),
        "output": f"scores-{file}",
    }


def long_file(copies: int) -> list[str]:
    """Records of more than one stretch of a file."""
    lines = []
    for line in callset.records():
        fields = line.split("\t")
        for copy in range(copies):
            # Names that do not compress: bgzipped, too, there are several stretches.
            name = hashlib.sha256(f"{fields[1]}-{copy}".encode()).hexdigest()
            lines.append("\t".join([*fields[:2], name, *fields[3:]]))
    return lines


@pytest.fixture(params=["plain", "bgzf"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    folder = tmp_path / "vcf"
    suffix = "vcf" if request.param == "plain" else "vcf.gz"
    callset.write_vcf(folder / f"cohort.{suffix}", long_file(40))
    callset.write_vcf(folder / "b" / "empty.vcf", [])
    return folder


@pytest.fixture
def scored(objects: Objects, tmp_path: Path, source: Path) -> Objects:
    callset.save_network(objects)
    inline(objects, *callset.ingest_steps(tmp_path, source), callset.score_step(unit=700))
    return objects


def text_of(path: Path) -> str:
    return gzip.decompress(path.read_bytes()).decode()


def test_all_lines_are_there_with_scores_in_info(
    scored: Objects, source: Path, tmp_path: Path
) -> None:
    done = inline(scored, export_step(tmp_path / "out", source))
    names = sorted(p.name for p in (tmp_path / "out").iterdir() if not p.name.startswith("."))
    assert names == [
        "b_empty.vcf.gz", "b_empty.vcf.gz.csi", "cohort.vcf.gz", "cohort.vcf.gz.csi",
    ]  # fmt: skip
    assert done.steps[0].units.planned == 2
    rows = open_dataset(scored, "scores").samples.to_pylist()
    lines = text_of(tmp_path / "out" / "cohort.vcf.gz").splitlines()
    header = [line for line in lines if line.startswith("#")]
    made = lines[len(header) :]
    original = long_file(40)
    assert len(made) == len(original)
    at = 0
    for old, new in zip(original, made, strict=True):
        before, after = old.split("\t"), new.split("\t")
        assert before[:7] + before[8:] == after[:7] + after[8:]
        if before[4] == ".":
            assert before == after
            at += 1
            continue
        own = rows[at : at + before[4].count(",") + 1]
        at += len(own)
        info = dict(pair.partition("=")[::2] for pair in after[7].split(";"))
        assert info["MEDRAY_status"] == ",".join(row["status"] for row in own)
        values = info["MEDRAY_diff_yes"].split(",")
        assert [None if v == "." else np.float32(v) for v in values] == [
            None if row["diff_yes"] is None else np.float32(row["diff_yes"]) for row in own
        ]
        kept = after[7].partition("MEDRAY_")[0].rstrip(";")
        assert kept == ("" if before[7] == "." else before[7])
    assert at == len(rows)
    old_header = callset.HEADER.splitlines()
    assert [line for line in header if "MEDRAY_" not in line] == old_header
    assert header[-1] == old_header[-1]
    scores = open_dataset(scored, "scores")
    (said,) = (line for line in header if line.startswith("##MEDRAY_scores="))
    assert f'scores="scores",scoresHash="{scores.digest}"' in said
    assert scores.version not in said, "a repaired version is called otherwise"
    assert scores.attributes["model"] in said
    assert scores.attributes["variants"]["genome"] in said


def test_other_tools_read_it(scored: Objects, source: Path, tmp_path: Path) -> None:
    inline(scored, export_step(tmp_path / "out", source))
    with pysam.VariantFile(str(tmp_path / "out" / "cohort.vcf.gz")) as file:
        assert file.header.info["MEDRAY_l2"].number == "A"
        assert file.header.info["MEDRAY_l2"].type == "Float"
        found = [record.pos for record in file.fetch("2", 0, 450)]
    fields = [line.split("\t") for line in long_file(40)]
    assert found == [int(f[1]) for f in fields if f[0] == "2" and int(f[1]) <= 450]
    with pysam.VariantFile(str(tmp_path / "out" / "b_empty.vcf.gz")) as file:
        assert "MEDRAY_l2" in file.header.info
        assert list(file) == []


@pytest.mark.parametrize("file", ["csv", "parquet"])
def test_tables_are_one_file_too(scored: Objects, source: Path, tmp_path: Path, file: str) -> None:
    inline(scored, table_step(tmp_path / "out", file))
    expected = open_dataset(scored, "scores").samples.drop_columns(["_shard", "_row"])
    (path,) = (tmp_path / "out").glob(f"*.{file}")
    assert path.name == f"scores.{file}"
    if file == "parquet":
        assert pq.read_table(path).equals(expected)
        return
    rows = list(csv.DictReader(io.StringIO(path.read_text())))
    assert [row["sample_id"] for row in rows] == expected["sample_id"].to_pylist()
    assert [row["status"] for row in rows] == expected["status"].to_pylist()


def test_nothing_is_left_of_the_parts(scored: Objects, source: Path, tmp_path: Path) -> None:
    first = inline(scored, export_step(tmp_path / "out", source))
    root = Path(str(scored.folder)) / "datasets" / "scores-annotated-vcf"
    assert len(list((root / "commits").iterdir())) == 2
    assert len(list((root / "shards").iterdir())) == 2
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.gz")}
    again = inline(scored, export_step(tmp_path / "out", source))
    assert again.output == first.output
    assert again.steps[0].units.skipped == 2
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.mark.parametrize("change", ["swapped", "cut", "partition"])
def test_another_file_than_was_scored_is_refused(
    scored: Objects, source: Path, tmp_path: Path, change: str
) -> None:
    (path,) = source.glob("cohort*")
    lines = long_file(40)
    options: dict[str, Any] = {}
    if change == "partition":
        options["partition"] = 2**17
    elif change == "cut":
        callset.write_vcf(path, lines[:-50])
    else:
        callset.write_vcf(path, [*lines[:9], lines[9].replace("\tA\t", "\tG\t", 1)[::1][:-1] + "1"])
    with pytest.raises(MedrayError, match="source-changed"):
        inline(scored, export_step(tmp_path / "out", source, **options))
    assert not list((tmp_path / "out").glob("cohort*"))


def test_a_key_that_is_taken_is_refused(scored: Objects, source: Path, tmp_path: Path) -> None:
    callset.write_vcf(tmp_path / "more" / "a.vcf", callset.records())
    inline(
        scored,
        callset.ingest_steps(tmp_path, tmp_path / "more")[1],
        callset.score_step(),
        export_step(tmp_path / "once", tmp_path / "more", partition=2**16),
    )
    again = tmp_path / "again"
    again.mkdir()
    (tmp_path / "once" / "a.vcf.gz").rename(again / "a.vcf.gz")
    inline(scored, callset.ingest_steps(tmp_path, again)[1], callset.score_step())
    with pytest.raises(MedrayError, match="taken-key"):
        inline(scored, export_step(tmp_path / "twice", again))
    inline(scored, export_step(tmp_path / "twice", again, prefix="V2_"))
    header = text_of(tmp_path / "twice" / "a.vcf.gz")
    assert "##INFO=<ID=V2_l2,Number=A" in header
    assert "##INFO=<ID=MEDRAY_l2,Number=A" in header


def test_a_source_is_needed(scored: Objects, source: Path, tmp_path: Path) -> None:
    step = export_step(tmp_path / "out", source)
    del step["format"]["source"]
    with pytest.raises(SpecError, match="no-source"):
        inline(scored, step)


def test_ends_of_lines_stay() -> None:
    import pyarrow as pa

    rows = pa.table(
        {
            "line": [2, 4, 4], "pos": [7, 9, 9], "ref": ["A", "C", "C"], "alt": ["T", "G", "T"],
            "alt_index": [1, 1, 2], "n_alts": [1, 2, 2], "s": pa.array([0.5, None, 1.0]),
        }
    )  # fmt: skip
    notes = Annotations(rows, {"s": "S"})
    text = (
        b"#CHROM\r\n1\t7\t.\tA\tT\t.\t.\tX;\r\n1\t8\t.\tA\tT\t.\t.\t.\r\n1\t9\t.\tC\tG,T\t.\t.\t."
    )
    assert b"".join(annotated([text[:9] + text[9:]], notes)) == (
        b"1\t7\t.\tA\tT\t.\t.\tX;S=0.5\r\n1\t8\t.\tA\tT\t.\t.\t.\r\n1\t9\t.\tC\tG,T\t.\t.\tS=.,1"
    )


def test_quotes_in_the_name_of_a_class_leave_the_header_whole() -> None:
    header = pysam.VariantHeader()
    header.add_line(_definition('diff_5" \\ site', "DIFF", {}))
    (record,) = [one for one in header.records if one.get("ID") == "DIFF"]
    assert record["Number"] == "A"
    assert record["Description"].startswith('"Score diff_5\\" \\\\ site of each ALT')
    assert record["Source"].strip('"') == "medray"


def test_a_file_with_a_damaged_block_hides_no_other(objects: Objects, tmp_path: Path) -> None:
    """It is scored without the block, and can't be written whole; the file beside it is."""
    callset.save_network(objects)
    folder = tmp_path / "vcf"
    callset.write_vcf(folder / "a.vcf.gz", long_file(40))
    callset.write_vcf(folder / "b.vcf.gz", callset.records())
    data = bytearray((folder / "a.vcf.gz").read_bytes())
    data[len(data) // 2] ^= 0x55
    (folder / "a.vcf.gz").write_bytes(data)
    inline(objects, *callset.ingest_steps(tmp_path, folder), callset.score_step(unit=700))
    assert open_dataset(objects, "sites").manifest.refused.codes == {"damaged-gzip": 1}
    files = {row["file"] for row in open_dataset(objects, "sites").samples.to_pylist()}
    assert files == {"a.vcf.gz", "b.vcf.gz"}
    step = {**export_step(tmp_path / "out", folder), "policy": {"error_budget": 0.5}}
    written = inline(objects, step)
    names = sorted(p.name for p in (tmp_path / "out").iterdir() if not p.name.startswith("."))
    assert names == ["b.vcf.gz", "b.vcf.gz.csi"]
    assert written.steps[0].reasons == {"damaged-gzip": 1}
    assert len(text_of(tmp_path / "out" / "b.vcf.gz").splitlines()) > len(callset.records())
