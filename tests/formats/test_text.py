"""Text in blocks, lines and ranges: whatever the packing, the same bytes, none lost."""

import gzip
from pathlib import Path

import pysam
import pytest

from medray.errors import DataError
from medray.formats import FORMATS
from medray.formats.base import Source
from medray.formats.tabular import text
from medray.formats.tabular.text import Range, blocks, kind_of, lines, ranges
from medray.storage.shards.records import Refusal

TEXT = b"".join(b"%d\tline\n" % number for number in range(20_000))  # four blocks of bgzip


def packed(root: Path, kind: str, content: bytes = TEXT) -> Path:
    path = root / f"a.{kind}"
    path.write_bytes(gzip.compress(content) if kind == "gzip" else content)
    if kind == "bgzip":
        pysam.tabix_compress(str(path), str(root / "b.bgz"))
        return root / "b.bgz"
    return path


@pytest.mark.parametrize("kind", ["plain", "gzip", "bgzip"])
def test_any_part_of_any_packing(kind: str, tmp_path: Path) -> None:
    path = packed(tmp_path, kind)
    assert kind_of(path) == kind
    assert b"".join(blocks(path)) == TEXT
    for start, size in ((0, 10), (65_279, 3), (65_280, 1), (99_999, 150_000), (len(TEXT) - 1, 9)):
        assert b"".join(blocks(path, start, size)) == TEXT[start : start + size]
    assert list(lines(path)) == TEXT.split(b"\n")[:-1]


@pytest.mark.parametrize("kind", ["plain", "gzip", "bgzip"])
@pytest.mark.parametrize(("block", "size"), [(61, 50_000), (1000, 5000), (2**20, 100)])
def test_ranges_are_whole_lines_and_all_of_them(
    kind: str, block: int, size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text, "BLOCK", block)
    path = packed(tmp_path, kind)
    made = list(ranges(path, size=size))
    assert len(made) > 1 or block > len(TEXT)
    rows = TEXT.split(b"\n")[:-1]
    for piece in made:
        found = list(lines(path, piece))
        assert found == rows[piece.first : piece.first + len(found)]
    assert sum(piece.size for piece in made) == len(TEXT)
    assert b"".join(b"".join(blocks(path, one.start, one.size)) for one in made) == TEXT


@pytest.mark.parametrize("block", [1, 2, 5, 64])
def test_ranges_of_records_begin_with_their_mark(
    block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text, "BLOCK", block)
    path = packed(tmp_path, "plain", b"".join(b">r%d\nAC>GT\nA\n" % n for n in range(50)))
    made = list(ranges(path, b"\n>", size=40))
    for piece in made:
        first = b"".join(blocks(path, piece.start, 10))
        assert first.startswith(b">r%d\n" % piece.first)
    assert sum(piece.size for piece in made) == path.stat().st_size


def test_ranges_end_where_they_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "BLOCK", 3)
    path = packed(tmp_path, "plain", b"a\nb\n##FASTA\n>x\nACGT\n")
    assert list(ranges(path, until=(b"##FASTA",))) == [Range(0, 4, 0)]
    assert list(ranges(packed(tmp_path, "plain", b"##FASTA\n"), until=(b"##FASTA",))) == []


def test_line_ends(tmp_path: Path) -> None:
    path = packed(tmp_path, "plain", b"a\r\n\nb")
    assert list(lines(path)) == [b"a", b"", b"b"]


@pytest.mark.parametrize(
    ("kind", "spoil", "code"),
    [
        ("gzip", lambda raw: raw[:-9], "damaged-gzip"),
        ("gzip", lambda raw: raw[:200] + b"x" + raw[201:], "damaged-gzip"),
        ("bgzip", lambda raw: raw[: len(raw) // 2], "truncated-bgzip"),
        ("bgzip", lambda raw: raw[:-28], "truncated-bgzip"),
        ("bgzip", lambda raw: raw[:40] + b"xxxx" + raw[44:], "damaged-gzip"),
    ],
)
def test_damage_is_told(kind: str, spoil: object, code: str, tmp_path: Path) -> None:
    path = packed(tmp_path, kind)
    path.write_bytes(spoil(path.read_bytes()))  # type: ignore[operator]
    with pytest.raises(DataError) as caught:
        list(blocks(path))
    assert caught.value.code == code


def test_a_bomb_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "BOMB_BYTES", 2**22)
    path = packed(tmp_path, "gzip", bytes(2**24))
    with pytest.raises(DataError, match="compression-bomb"):
        list(blocks(path))


def test_a_line_without_end_is_not_held(tmp_path: Path) -> None:
    path = packed(tmp_path, "gzip", b"x" * 5 * 2**20)
    with pytest.raises(DataError, match="long-line"):
        list(lines(path))


@pytest.mark.parametrize(
    ("name", "file", "content", "taken"),
    [
        ("bed", "a.bed", b"#\xe9\nchr\xe9\t1\t2\nchr\xe8\t1\t2\nchr1\t1\t2\n", 1),
        ("gff", "a.gff", b"#\xe9\nc\ts\tgene\t1\t2\t.\t+\t.\tName=g\xe9ne\n", 0),
        ("gff", "a.gff3", b"c\ts\tgene\t1\t2\t.\t+\t.\tName=g%E9ne\n", 0),
        ("gff", "b.gff3", b"c\ts\tgene\t1\t2\t.\t+\t.\tName=g%C3%A9ne\n", 1),
        ("fasta", "a.fa", b">s\xe9\nACGT\n>s\xe8\nAC\n>s \xe9\nA\n", 1),
        ("bigwig", "a.wig", b"fixedStep chrom=c\xe9 start=1\n1\n", 0),
        ("sequences", "a.tsv", b"sequence\tname\nAC\tg\xe9\nAC\tg\n", 1),
    ],
)
def test_names_in_another_encoding_are_refused_and_not_made_one(
    name: str, file: str, content: bytes, taken: int, tmp_path: Path
) -> None:
    (tmp_path / file).write_bytes(content)
    form = FORMATS.get(name)(FORMATS.get(name).Options())
    plan = form.plan(Source(tmp_path))
    found: list[object] = list(plan.refused)
    for group in plan.groups:
        for one in group:
            found += form.read(Source(tmp_path), one)
    refused = [one for one in found if isinstance(one, Refusal)]
    assert len(found) - len(refused) == taken
    spoilt = sum(b"\xe9" in line or b"%E9" in line or b"\xe8" in line for line in _told(content))
    assert len(refused) == spoilt
    assert {one.code for one in refused} <= {"not-utf8", "bad-wig"}


def _told(content: bytes) -> list[bytes]:
    """Lines but comments; of a FASTA header the name."""
    rows = [line for line in content.split(b"\n") if not line.startswith(b"#")]
    return [line.split(b" ")[0] if line.startswith(b">") else line for line in rows]
