"""Work that grows with a file, and not with its square: counted, not timed."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from medray.formats import features
from medray.formats.base import Source
from medray.formats.bed import Bed
from medray.formats.fasta import Fasta, records
from medray.formats.tabular import text
from medray.formats.vcf import Vcf
from medray.formats.vcf.text import header
from medray.storage.shards.samples import Sample


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often functions are called."""
    made: Counter[str] = Counter()

    def counted(module: Any, name: str) -> None:
        real = getattr(module, name)

        def called(*args: Any, **options: Any) -> Any:
            made[name] += 1
            return real(*args, **options)

        monkeypatch.setattr(module, name, called)

    counted(header, "_meta")
    counted(header, "_define")
    counted(text, "_block_size")
    counted(features, "lines")
    counted(records, "first_word")
    return made


def read(form: Any, source: Source) -> int:
    """All inputs of a source; how many there are."""
    items = [item for group in form.plan(source).groups for item in group]
    for item in items:
        list(form.read(source, item))
    return len(items)


@pytest.mark.parametrize("table", ["sites", "calls"])
@pytest.mark.parametrize("contigs", [300, 3301])
def test_a_header_is_read_once_for_all_stretches_and_files(
    contigs: int, table: str, tmp_path: Path, counts: Counter[str]
) -> None:
    head = "##fileformat=VCFv4.2\n"
    head += "".join(f"##contig=<ID=c{number},length=9999>\n" for number in range(contigs))
    head += '##FORMAT=<ID=GT,Number=1,Type=String,Description="x">\n'
    head += "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\ts\n"
    for name in ("a", "b", "c"):
        rows = (f"c{n % 9}\t{n + 1}\t.\tA\tC\t.\t.\t.\tGT\t0/1\n" for n in range(9000))
        (tmp_path / f"{name}.vcf").write_text(head + "".join(rows))
    header.parse_header.cache_clear()
    stretches = read(Vcf(Vcf.Options(table=table, partition=2**16)), Source(tmp_path))
    assert stretches > 9
    assert counts["_meta"] == contigs + 1


def test_a_file_of_ten_thousand_definitions_is_gone_through_once(
    tmp_path: Path, counts: Counter[str]
) -> None:
    info = '##INFO=<ID=F{},Number=1,Type=Integer,Description="x">\n'
    lines = "".join(info.format(number) for number in range(10_000))
    columns = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    (tmp_path / "a.vcf").write_text(
        f"##fileformat=VCFv4.2\n{lines}{columns}1\t1\t.\tA\tC\t.\t.\t.\n"
    )
    read(Vcf(Vcf.Options(fields="all")), Source(tmp_path))
    assert counts["_define"] == 10_000


def test_blocks_of_a_bgzipped_file_are_found_once(tmp_path: Path, counts: Counter[str]) -> None:
    from pysam import tabix_compress

    lines = "".join(f"chr1\t{at}\t{at + 1}\tname{at}\n" for at in range(200_000))
    (tmp_path / "a").write_text(lines)
    tabix_compress(str(tmp_path / "a"), str(tmp_path / "a.bed.gz"))
    (tmp_path / "a").unlink()
    size = len(lines)
    blocks = -(-size // 65280)
    parts = [text.Range(at, 65_536, 0) for at in range(0, size, 65_536)]
    text._blocks_of.cache_clear()
    read_bytes = sum(
        len(one)
        for part in parts
        for one in text.blocks(tmp_path / "a.bed.gz", part.start, part.size)
    )
    assert read_bytes == size
    assert counts["_block_size"] <= blocks + 2 + 2 * len(parts)  # one is to tell its kind


def test_a_table_of_lengths_is_read_once(
    tmp_path: Path, counts: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "g.sizes").write_text("".join(f"c{number}\t100\n" for number in range(1000)))
    for name in "abcd":
        (tmp_path / f"{name}.bed").write_text("c1\t1\t2\n")
    features._table_of.cache_clear()
    assert read(Bed(Bed.Options(genome="g.sizes")), Source(tmp_path)) == 4
    assert counts["lines"] == 1 + 4


def test_a_fasta_of_many_records_is_gone_through_once(tmp_path: Path, counts: Counter[str]) -> None:
    (tmp_path / "a.fa").write_text("".join(f">r{number}\nACGT\n" for number in range(20_000)))
    form, source = Fasta(Fasta.Options()), Source(tmp_path)
    items = [item for group in form.plan(source).groups for item in group]
    assert counts["first_word"] == 20_000
    assert (
        sum(isinstance(one, Sample) for item in items for one in form.read(source, item)) == 20_000
    )
