"""Damage costs what is damaged: blocks and records beside it are read, and each loss is told."""

import gzip
import struct
from pathlib import Path
from typing import Any

import pysam
import pytest

from medray.formats.vcf.text.header import read_header
from tests.formats.test_vcf_damage import read as read_calls
from tests.formats.test_vcf_sites import read

HEAD = """##fileformat=VCFv4.2
##contig=<ID=1>
##contig=<ID=2>
##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">
#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\ta\tb\tc
"""
RECORDS = 40_000


def text() -> bytes:
    body = (
        f"{1 + n // 20_000}\t{1 + n % 20_000}\tr{n * 7919 % 99991}\tA\tC\t{n % 97}\tPASS\t.\tGT"
        f"\t0/{n % 2}\t0|{n % 3 % 2}\t./.\n"
        for n in range(RECORDS)
    )
    return (HEAD + "".join(body)).encode()


@pytest.fixture(scope="module")
def blocks(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """A bgzipped file, block by block."""
    folder = tmp_path_factory.mktemp("blocks")
    (folder / "a").write_bytes(text())
    pysam.tabix_compress(str(folder / "a"), str(folder / "a.gz"))
    data, found = (folder / "a.gz").read_bytes(), []
    while data:
        size = int.from_bytes(data[16:18], "little") + 1
        found.append(data[:size])
        data = data[size:]
    return found


def in_block(number: int, blocks: list[bytes]) -> set[str]:
    """Contig and position of the records that a block holds, or cuts."""
    before = b"".join(gzip.decompress(one) for one in blocks[:number])
    inside = gzip.decompress(blocks[number])
    start = before.rfind(b"\n") + 1
    after = text()[len(before) + len(inside) :]
    held = text()[start : len(before) + len(inside) + after.find(b"\n")]
    return {":".join(line.split("\t")[:2]) for line in held.decode().split("\n")}


@pytest.mark.parametrize("partition", [2**16, 2**25])
@pytest.mark.parametrize("place", ["body", "checksum", "header", "size"])
def test_a_damaged_block_costs_its_own_records(
    place: str, partition: int, blocks: list[bytes], tmp_path: Path
) -> None:
    number = len(blocks) // 2
    bad = bytearray(blocks[number])
    at = {"body": len(bad) // 2, "checksum": len(bad) - 6, "header": 1, "size": 17}[place]
    bad[at] ^= 0x55
    (tmp_path / "a.vcf.gz").write_bytes(b"".join([*blocks[:number], bad, *blocks[number + 1 :]]))
    (tmp_path / "a.vcf.gz.tbi").write_bytes(b"damaged too")
    rows, refused = read(tmp_path, partition=partition)
    lost = in_block(number, blocks)
    got = {f"{row.row['contig']}:{row.row['pos']}" for row in rows}
    assert len(rows) == len(got)
    whole = {f"{1 + n // 20_000}:{1 + n % 20_000}" for n in range(RECORDS)}
    assert whole - got == lost
    ((code, sample, hint),) = {(one.code, one.sample, one.hint) for one in refused}
    assert (code, len(refused)) == ("damaged-gzip", 1)
    assert sample == f"block at byte {sum(map(len, blocks[:number]))}"
    assert "copy the file again" in hint
    assert len({row.id for row in rows}) == len(rows)
    samples, told = read_calls(tmp_path, partition=partition)
    assert sum(one.row["variants"] for one in samples) == len(rows)
    assert [one.code for one in told] == ["damaged-gzip"]


def test_a_header_is_read_without_what_follows_it(blocks: list[bytes], tmp_path: Path) -> None:
    (tmp_path / "a.vcf.gz").write_bytes(blocks[0] + b"nothing that is a block")
    assert read_header(tmp_path / "a.vcf.gz", "bgzf", frozenset()).samples == ("a", "b", "c")


def records_of(data: bytes) -> list[int]:
    """Where each record of unpacked BCF begins."""
    at, found = 9 + struct.unpack("<I", data[5:9])[0], []
    while at < len(data):
        found.append(at)
        at += 8 + sum(struct.unpack("<II", data[at : at + 8]))
    return found


# Offsets within a record, by the specification: CHROM, alleles and INFO's count, the first allele.
@pytest.mark.parametrize("offset", [8, 28, 36])
def test_a_broken_record_of_bcf_is_one_refusal(offset: int, tmp_path: Path) -> None:
    data, places = unpacked_bcf(tmp_path)
    data = data[: places[700] + offset] + b"\xff\xff\xff\x7f" + data[places[700] + offset + 4 :]
    pack(data, tmp_path / "in")
    rows, refused = read(tmp_path / "in")
    assert [row.row["pos"] for row in rows] == [n for n in range(1, 2001) if n != 701]
    assert [(one.code, one.sample) for one in refused] == [("damaged-bcf", "record 701")]
    samples, refused = read_calls(tmp_path / "in")
    assert [one.row["variants"] for one in samples] == [1999]
    assert len(refused) == 1


def test_behind_a_record_of_no_known_size_nothing_is_found(tmp_path: Path) -> None:
    data, places = unpacked_bcf(tmp_path)
    pack(data[: places[700]] + b"\xff\xff\xff\x7f" + data[places[700] + 4 :], tmp_path / "in")
    rows, refused = read(tmp_path / "in")
    assert [row.row["pos"] for row in rows] == list(range(1, 701))
    assert [one.sample for one in refused] == ["record 701"]
    assert "what may follow" in refused[0].reason


def test_bcf_with_a_damaged_block_is_refused(tmp_path: Path) -> None:
    pack(unpacked_bcf(tmp_path)[0], tmp_path / "in")
    packed = bytearray((tmp_path / "in/a.bcf").read_bytes())
    packed[len(packed) // 2] ^= 0x55
    (tmp_path / "in/a.bcf").write_bytes(packed)
    rows, refused = read(tmp_path / "in")
    assert not rows
    assert [(one.code, one.sample) for one in refused] == [("damaged-bcf", "")]


def unpacked_bcf(folder: Path) -> tuple[bytearray, list[int]]:
    """2,000 records as BCF, and where each begins."""
    lines = [f"1\t{n}\t.\tA\tC\t.\tPASS\t.\tGT\t0/1\t0/0\t./.\n" for n in range(1, 2001)]
    (folder / "a.vcf").write_text(HEAD + "".join(lines))
    mode: Any = "wb"
    with (
        pysam.VariantFile(str(folder / "a.vcf")) as text,
        pysam.VariantFile(str(folder / "a.bcf"), mode, header=text.header) as out,
    ):
        for record in text:
            out.write(record)
    data = gzip.decompress((folder / "a.bcf").read_bytes())
    return bytearray(data), records_of(data)


def pack(data: bytes | bytearray, folder: Path) -> None:
    folder.mkdir()
    (folder / "raw").write_bytes(data)
    pysam.tabix_compress(str(folder / "raw"), str(folder / "a.bcf"))
    (folder / "raw").unlink()
