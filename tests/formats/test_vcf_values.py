"""What exported calls say of lengths, regions, phase, QUAL and Floats; bcftools says the same."""

import gzip
import subprocess
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from vcztools.cli import vcztools_main

from medray.formats.base import Source
from medray.formats.vcf import Vcf
from medray.formats.vcf.store.vcz import Part, write_vcf, write_vcz
from medray.storage.shards.records import Refusal
from tests.formats.test_vcf_calls import arrays_of, read

SYMBOLIC = """##fileformat=VCFv4.4
##contig=<ID=1,length=5000000>
##INFO=<ID=SVLEN,Number=A,Type=Integer,Description="x">
##INFO=<ID=END,Number=1,Type=Integer,Description="x">
##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">
##FORMAT=<ID=LEN,Number=1,Type=Integer,Description="Length of <*>">
#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\ta\tb
"""
LENGTHS = [  # REF, ALT, INFO, lengths of <*>, and how far the record reaches
    ("N", "<DEL>", "SVLEN=7000", "", 7001),
    ("N", "<DEL>", "SVLEN=-7000", "", 7001),
    ("N", "<DEL:ME>", "SVLEN=700;END=5", "", 701),
    ("N", "<DUP:TANDEM>", "SVLEN=300", "", 301),
    ("N", "<CNV>,<INV>", "SVLEN=.,40", "", 41),
    ("N", "<INS>", "SVLEN=300", "", 1),
    ("ACGT", "<DEL>", "SVLEN=1", "", 4),
    ("N", "<DEL>,<DUP>", "SVLEN=100,900", "", 901),
    ("A", "C", "SVLEN=900", "", 1),
    ("A", "<*>", ".", "7,20", 20),
    ("A", "C", ".", "7,20", 1),
    ("ACG", "A", ".", "", 3),
    ("N", "<DELETION>", "SVLEN=900", "", 1),
]


def symbolic(path: Path, first: int, step: int) -> list[int]:
    """A file of these records; their positions."""
    positions = [first + step * number for number in range(len(LENGTHS))]
    lines = []
    for position, (ref, alt, info, lengths, _) in zip(positions, LENGTHS, strict=True):
        keys = "GT:LEN" if lengths else "GT"
        calls = [f"0/0:{one}" for one in lengths.split(",")] if lengths else ["0/0", "0/0"]
        lines.append("\t".join(["1", str(position), ".", ref, alt, ".", ".", info, keys, *calls]))
    path.write_text(SYMBOLIC + "\n".join(lines) + "\n")
    return positions


def part(path: Path) -> Part:
    (sample,), refused = read(path)
    assert not refused
    assert sample.layout is not None
    return Part(
        sample.layout, {n: a for n, a in sample.arrays.items() if isinstance(a, np.ndarray)}
    )


def vcztools(*args: str | Path) -> list[str]:
    done = CliRunner().invoke(vcztools_main, ["view", "-H", *map(str, args)])
    assert not done.exception, done.output
    return done.output.splitlines()


@pytest.mark.parametrize("fields", [None, ("GT",)])
def test_a_record_is_as_long_as_the_furthest_it_names(
    fields: tuple[str, ...] | None, tmp_path: Path
) -> None:
    symbolic(tmp_path / "a.vcf", 1000, 10_000)
    made = arrays_of(tmp_path / "a.vcf", fields=fields)
    assert made["variant_length"].tolist() == [one[-1] for one in LENGTHS]
    assert ("variant_SVLEN" in made) == ("call_LEN" in made) == (fields is None)


def test_an_end_beyond_the_last_position_is_the_last(tmp_path: Path) -> None:
    (tmp_path / "a.vcf").write_text(
        SYMBOLIC + f"1\t{2**31 - 10}\t.\tN\t<DEL>\t.\t.\tSVLEN={2**31 - 1}\tGT\t0/1\t0/0\n"
    )
    made = arrays_of(tmp_path / "a.vcf")
    assert made["region_index"][0, 4] == 2**31 - 1


@pytest.mark.needs("bcftools")
@pytest.mark.parametrize(("first", "step"), [(3, 9), (120, 300), (32_000, 700), (900_000, 9000)])
def test_a_region_finds_what_bcftools_finds(first: int, step: int, tmp_path: Path) -> None:
    """Also where positions would fit in 8 or 16 bits, of which vcztools loses records."""
    from pysam import tabix_compress, tabix_index

    plain = tmp_path / "a.vcf"
    text = "".join(
        f"1\t{first + step * number}\t.\t{'ACGTACGT'[: 1 + number % 5]}\tT\t.\t.\t.\tGT\t0/1\t0/0\n"
        for number in range(12)
    )
    plain.write_text(SYMBOLIC + text)
    write_vcz([part(plain)], tmp_path / "a.vcz")
    tabix_compress(str(plain), str(tmp_path / "a.vcf.gz"))
    tabix_index(str(tmp_path / "a.vcf.gz"), preset="vcf")
    for low in (first, first + 2, first + 4 * step - 1, first + 11 * step, first + 11 * step + 9):
        for high in (low, low + step, low + 100 * step):
            region = f"1:{low}-{high}"
            wanted = subprocess.run(
                ["bcftools", "view", "-H", "-r", region, tmp_path / "a.vcf.gz"],
                check=True,
                capture_output=True,
                text=True,
            ).stdout.splitlines()
            found = vcztools("-r", region, tmp_path / "a.vcz")
            assert [one.split("\t")[1] for one in found] == [one.split("\t")[1] for one in wanted]


def test_symbolic_records_are_found_where_they_reach(tmp_path: Path) -> None:
    positions = symbolic(tmp_path / "a.vcf", 1000, 10_000)
    write_vcz([part(tmp_path / "a.vcf")], tmp_path / "a.vcz")
    for position, (*_, length) in zip(positions, LENGTHS, strict=True):
        for at, inside in ((position + length - 1, True), (position + length, False)):
            found = vcztools("-r", f"1:{at}-{at}", tmp_path / "a.vcz")
            assert [one.split("\t")[1] for one in found] == [str(position)] * inside


NUMBERS = [
    "1e-10", "50", "50.5", "0.1", "3070.12", "1E5", "100000000", "1e-40", "3.4e38", "0", "inf",
    "nan", "16777216", "0.0001234567", "999.9995", ".",
]  # fmt: skip


def test_qual_and_floats_are_those_of_the_source(tmp_path: Path) -> None:
    head = SYMBOLIC.replace(
        "##FORMAT=<ID=LEN,Number=1,Type=Integer", "##FORMAT=<ID=GL,Number=G,Type=Float"
    )
    head = head.replace(
        "##INFO=<ID=SVLEN,Number=A,Type=Integer", "##INFO=<ID=AF,Number=A,Type=Float"
    )
    lines = []
    for number, text in enumerate(NUMBERS):
        calls = [f"0/1:{','.join([text] * 6)}", "0/0:."]
        fixed = ["1", str(10 + number), ".", "A", "C,G", text, ".", f"AF={text},.", "GT:GL"]
        lines.append("\t".join([*fixed, *calls]))
    (tmp_path / "a.vcf").write_text(head + "\n".join(lines) + "\n")
    write_vcf([part(tmp_path / "a.vcf")], tmp_path / "b.vcf.gz")
    written = gzip.decompress((tmp_path / "b.vcf.gz").read_bytes()).decode().splitlines()
    for text, line in zip(NUMBERS, written[-len(NUMBERS) :], strict=True):
        columns = line.split("\t")
        said = [columns[5], *columns[9].partition(":")[2].split(",")]
        if text == ".":
            assert (said[0], columns[7], columns[9]) == (".", ".", "0/1")
            continue
        said.append(columns[7].removeprefix("AF=").split(",")[0])
        assert len(said) == 8
        values = np.array(said).astype(np.float32)
        assert np.array_equal(values, np.full(8, np.float32(text)), equal_nan=True), (text, line)


@pytest.mark.parametrize(
    "rows",
    [
        ["0 1", ". 1"],
        ["0 1", "0/1 0|1"],
        ["0|1 1", "0/1 ./.", ". .", "1 0"],
        ["0 1", "0/1/1 0", "0|1|1 0|1"],
    ],
)
def test_haploid_calls_are_phased_where_bio2zarr_says_so(rows: list[str], tmp_path: Path) -> None:
    import zarr
    from bio2zarr import vcf as bio2zarr
    from pysam import tabix_compress, tabix_index

    lines = [
        "\t".join(["1", str(10 + number), ".", "A", "C", ".", ".", ".", "GT", *row.split()])
        for number, row in enumerate(rows)
    ]
    (tmp_path / "a.vcf").write_text(SYMBOLIC.replace("4.4", "4.2") + "\n".join(lines) + "\n")
    tabix_compress(str(tmp_path / "a.vcf"), str(tmp_path / "a.vcf.gz"))
    tabix_index(str(tmp_path / "a.vcf.gz"), preset="vcf")
    bio2zarr.convert([tmp_path / "a.vcf.gz"], tmp_path / "b", worker_processes=0)
    theirs = zarr.open_group(tmp_path / "b", mode="r")
    # All at once, and each record a group of its own, as partitions of a file are.
    parts = []
    for number, line in enumerate(lines):
        path = tmp_path / f"{number}.vcf"
        path.write_text(SYMBOLIC + line + "\n")
        parts.append(part(path))
    write_vcz([part(tmp_path / "a.vcf")], tmp_path / "one")
    write_vcz(parts, tmp_path / "many")
    for name in ("call_genotype", "call_genotype_phased", "call_genotype_mask"):
        wanted = np.asarray(theirs[name][...])  # type: ignore[index]
        for made in ("one", "many"):
            found = zarr.open_group(tmp_path / made, mode="r")[name][...]  # type: ignore[index]
            assert np.array_equal(np.asarray(found), wanted), (made, name)


@pytest.mark.parametrize(
    ("call", "taken"),
    [
        (".:1,2,3,4,5,6", True),  # of a diploid call that was not made
        (".:1,2,3", True),
        (".:1,2", False),
        ("./.:1,2,3,4,5,6", True),
        ("./.:1,2,3", False),
        ("1:1,2,3,4,5,6", False),
        ("1:1,2,3", True),
    ],
)
def test_a_lone_dot_may_be_a_call_of_two(call: str, taken: bool, tmp_path: Path) -> None:
    head = SYMBOLIC.replace("ID=LEN,Number=1,Type=Integer", "ID=PL,Number=G,Type=Integer")
    line = f"1\t9\t.\tA\tC,G\t.\t.\t.\tGT:PL\t{call}\t0/1:."
    (tmp_path / "a.vcf").write_text(head + line + "\n")
    form = Vcf(Vcf.Options(table="calls"))
    ((item,),) = form.plan(Source(tmp_path)).groups
    found = list(form.read(Source(tmp_path), item))
    refused = [one for one in found if isinstance(one, Refusal)]
    assert [one.code for one in refused] == [] if taken else ["wrong-count"]
    (sample,) = [one for one in found if not isinstance(one, Refusal)]
    numbers = [int(one) for one in call.partition(":")[2].split(",")]
    if taken:
        assert sample.arrays["call_PL"][0, 0, : len(numbers)].tolist() == numbers  # type: ignore[index]
