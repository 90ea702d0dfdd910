"""A file that is cut amid its last line: what can be told is refused, and the rest is mentioned."""

import gzip
import json
import logging
from pathlib import Path
from typing import Any

import pytest

from medray.formats import FORMATS
from medray.formats.base import Source
from medray.storage.shards.records import Refusal
from medray.storage.shards.rows import Rows

VCF = (
    b"##fileformat=VCFv4.2\n##contig=<ID=c,length=999>\n"
    b'##INFO=<ID=DP,Number=1,Type=Integer,Description="d">\n'
    b"#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    b"c\t5\t.\tA\tC\t50\tPASS\tDP=17\nc\t9\t.\tA\tC\t50\tPASS\tDP=23\n"
)
# Name, options, file, content; bytes without which the last line lacks cells.
FILES: list[tuple[str, dict[str, Any], str, bytes, int]] = [
    ("table", {"id": "id"}, "a.csv", b"id,a,b\nx,1,2.25\ny,3,4.75\n", 7),
    ("sequences", {}, "a.csv", b"sequence,count\nACGT,12\nAGGT,34\n", 5),
    ("vcf", {"table": "sites"}, "a.vcf", VCF, 8),
    ("bed", {}, "a.bed", b"c\t10\t20\nc\t30\t450\n", 5),
    (
        "gff",
        {},
        "a.gff3",
        b"c\ts\tgene\t1\t20\t.\t+\t.\tID=g1\nc\ts\tgene\t1\t35\t.\t+\t.\tID=g2\n",
        7,
    ),
]
IDS = [one[0] for one in FILES]


def taken(name: str, options: dict[str, Any], root: Path) -> tuple[int, int]:
    """How many rows were taken, and how many refused."""
    form = FORMATS.get(name)(FORMATS.get(name).Options.model_validate(options))
    plan = form.plan(Source(root))
    found: list[Any] = list(plan.refused)
    for group in plan.groups:
        for one in group:
            found += form.read(Source(root), one)
    refused = sum(isinstance(one, Refusal) for one in found)
    tables = [one for one in found if isinstance(one, Rows)]
    return sum(len(one.table) for one in tables) + len(found) - len(tables) - refused, refused


def mentioned(caplog: pytest.LogCaptureFixture) -> list[str]:
    fields = [getattr(one, "fields", {}) for one in caplog.records]
    return [one["file"] for one in fields if "file" in one]


@pytest.mark.parametrize(("name", "options", "file", "content", "cells"), FILES, ids=IDS)
def test_a_cut_last_line_is_refused_or_mentioned(
    name: str,
    options: dict[str, Any],
    file: str,
    content: bytes,
    cells: int,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, "medray")
    (tmp_path / file).write_bytes(content)
    assert taken(name, options, tmp_path) == (2, 0)
    (tmp_path / file).write_bytes(content.replace(b"\n", b"\r\n"))
    assert taken(name, options, tmp_path) == (2, 0)
    assert mentioned(caplog) == []
    (tmp_path / file).write_bytes(content[:-2])
    assert taken(name, options, tmp_path) == (2, 0), "nobody can tell"
    assert mentioned(caplog) == [file]
    (tmp_path / file).write_bytes(content[:-cells])
    assert taken(name, options, tmp_path) == (1, 1)
    assert json.dumps(mentioned(caplog)) == json.dumps([file] * 2)


def test_packed_files_and_empty_ones_have_ends_of_their_own(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "medray")
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"sequence\nACGT"))
    (tmp_path / "b.csv").write_bytes(b"")
    assert taken("sequences", {}, tmp_path) == (1, 1)
    assert mentioned(caplog) == []
