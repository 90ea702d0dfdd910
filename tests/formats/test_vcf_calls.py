"""Calls as VCF Zarr: what bio2zarr makes of real files, and what vcztools and bcftools show."""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medray.errors import DataError
from medray.formats.base import Source
from medray.formats.vcf import Vcf
from medray.formats.vcf.store.vcz import Part, write_vcf, write_vcz
from medray.storage.shards.reader import Shard
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Sample
from medray.storage.shards.writer import ShardWriter
from medray.storage.store.objects import Objects
from tests.declared import LAID
from tests.stored import found

HEAD = """##fileformat=VCFv4.2
##contig=<ID=1>
##INFO=<ID=N,Number=A,Type=Integer,Description="one per ALT">
##INFO=<ID=F,Number=.,Type=Float,Description="some">
##INFO=<ID=T,Number=1,Type=String,Description="text">
##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">
##FORMAT=<ID=AD,Number=R,Type=Integer,Description="depths">
##FORMAT=<ID=PL,Number=G,Type=Integer,Description="likelihoods">
#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\ta\tb\tc
"""


def read(root: Path, **options: Any) -> tuple[list[Sample], list[Refusal]]:
    form = Vcf(Vcf.Options(table="calls", **options))
    out: list[Sample | Refusal] = []
    plan = form.plan(Source(root))
    out += plan.refused
    for item in (item for group in plan.groups for item in group):
        try:
            out += form.read(Source(root), item)
        except DataError as error:
            out.append(Refusal(item.key, error.code, error.message))
    samples = [one for one in out if isinstance(one, Sample)]
    return samples, [one for one in out if isinstance(one, Refusal)]


def arrays_of(root: Path, **options: Any) -> dict[str, np.ndarray]:
    (sample,), refused = read(root, **options)
    assert not refused
    return {
        name: values for name, values in sample.arrays.items() if isinstance(values, np.ndarray)
    }


def lines(tmp_path: Path, *records: str) -> Path:
    text = HEAD + "".join("\t".join(record.split()) + "\n" for record in records)
    (tmp_path / "a.vcf").write_text(text)
    return tmp_path / "a.vcf"


GOLDEN = {  # samples, records, and genotypes: hom-ref, het, hom-alt, missing
    "vcf/1kg_chr22_100samples.vcf": (100, 735, 48265, 10015, 4992, 10228),
    "vcf/1kg_chr20_2535samples.vcf.gz": (2535, 17, 28662, 5532, 7716, 1185),
    "vcf_odd/bio2zarr/chr22.vcf.gz": (100, 100, 3111, 18, 63, 6808),
    "vcf_odd/bio2zarr/sample.vcf.gz": (3, 9, 13, 10, 2, 2),
    "assoc_hail/ldprune.vcf": (100, 46, 3738, 749, 109, 4),
    "assoc_hail/regressionLogisticEpacts.vcf": (2535, 5, 10477, 2168, 30, 0),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_counts(name: str, data_dir: Path) -> None:
    calls = arrays_of(data_dir / "genomics" / name)["call_genotype"]
    records, samples, _ = calls.shape
    missing = (calls == -1).any(axis=2)
    ref = (calls == 0).sum(axis=2) == (calls != -2).sum(axis=2)
    same = np.where(calls == -2, calls[:, :, :1], calls)
    hom = (same == same[:, :, :1]).all(axis=2) & ~missing
    counts = (hom & ref, ~hom & ~missing, hom & ~ref, missing)
    assert (samples, records, *(int(each.sum()) for each in counts)) == GOLDEN[name]


ODD = [
    "chr22.vcf.gz", "field_type_combos.vcf.gz", "mixed_ploidy.vcf.gz", "multi_contig.vcf.gz",
    "out_of_order_contigs.vcf.gz", "sample.bcf", "sample.vcf.gz", "sample_extra_contig.vcf.gz",
    "sample_no_genotypes.vcf.gz", "triploid.vcf.gz", "triploid2.vcf.gz",
    "1kg_2020_chr20_annotations.bcf",
]  # fmt: skip


def _told(key: str, arrays: dict[str, np.ndarray], count: int) -> np.ndarray:
    """Rows of which bio2zarr says the same each time: not the phase of haploid calls alone."""
    if key != "call_genotype_phased":
        return np.ones(count, bool)
    told: np.ndarray = (arrays["call_genotype"][:, :, 1:] != -2).any(axis=(1, 2))
    return told


@pytest.mark.parametrize("name", ODD)
def test_arrays_are_those_of_bio2zarr(name: str, data_dir: Path, tmp_path: Path) -> None:
    import zarr
    from bio2zarr import vcf as bio2zarr

    path = data_dir / "genomics/vcf_odd/bio2zarr" / name
    bio2zarr.convert([path], tmp_path / "b.vcz", worker_processes=0)
    theirs = zarr.open_group(tmp_path / "b.vcz", mode="r")
    mine = arrays_of(path)
    for key in theirs.array_keys():
        wanted = np.asarray(theirs[key][...])  # type: ignore[index]
        if key not in mine:
            assert _nothing(wanted), key
            continue
        assert mine[key].shape == wanted.shape, key
        if mine[key].dtype.kind == "T":
            assert mine[key].tolist() == wanted.tolist(), key
        else:
            wide = ("region_index", "variant_position", "variant_length")
            assert mine[key].dtype == (np.dtype(np.int32) if key in wide else wanted.dtype), key
            told = _told(key, mine, len(wanted))
            own, wanted = mine[key][told], wanted[told]
            assert np.array_equal(own, wanted, equal_nan=wanted.dtype.kind == "f"), key


def _nothing(values: np.ndarray) -> bool:
    """Whether an array holds marks of what is missing alone, or nothing."""
    if values.dtype.kind == "f":
        return bool(np.isnan(values).all())
    if values.dtype.kind == "i":
        return bool((values < 0).all())
    if values.dtype.kind == "b":
        return values.size == 0 or not values.any() or bool(values.all())
    return bool(np.isin(values.astype(object), [".", ""]).all())


def view(path: Path) -> list[str]:
    """Records as bcftools shows them, without header."""
    done = subprocess.run(["bcftools", "view", "-H", str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def canonical(line: str) -> tuple[Any, ...]:
    """A record without what VCF leaves to its writer: the order of fields, "." for missing."""
    columns = line.split("\t")
    info = frozenset(
        _clean(part) for part in columns[7].split(";") if part != "." and not part.endswith("=.")
    )
    names = columns[8].split(":") if len(columns) > 8 else []
    calls = []
    for call in columns[9:]:
        values = dict(zip(names, call.split(":"), strict=False))
        calls.append(frozenset((k, _clean(v)) for k, v in values.items() if not _void(v)))
    columns[5] = _clean(columns[5])
    return (*columns[:7], info, tuple(calls))


def _void(value: str) -> bool:
    return set(value) <= {".", ","}


def _clean(text: str) -> str:
    """Numbers in one form: 1e-04 and 0.0001 are the same."""
    head, _, tail = text.rpartition("=")
    parts = []
    for part in tail.split(","):
        try:
            parts.append(f"{np.float32(part):.6g}")
        except ValueError:
            parts.append(part)
    return f"{head}={','.join(parts)}"


VIEWED = [
    "vcf/1kg_chr22_100samples.vcf", "vcf/1kg_chr20_2535samples.vcf.gz",
    "assoc_hail/ldprune.vcf", "assoc_hail/regressionLogisticEpacts.vcf",
    "vcf_odd/bio2zarr/mixed_ploidy.vcf.gz", "vcf_odd/bio2zarr/triploid.vcf.gz",
    "vcf_odd/bio2zarr/sample.vcf.gz",
]  # fmt: skip


def same_records(mine: Sequence[str], theirs: Sequence[str]) -> None:
    assert len(mine) == len(theirs)
    for number, (one, other) in enumerate(zip(mine, theirs, strict=True)):
        assert canonical(one) == canonical(other), f"record {number}"


@pytest.mark.needs("bcftools")
@pytest.mark.parametrize("name", VIEWED)
def test_vcztools_shows_what_bcftools_shows(name: str, data_dir: Path, tmp_path: Path) -> None:
    path = data_dir / "genomics" / name
    samples, refused = read(path, partition=2**18)
    assert not refused
    form = Vcf(Vcf.Options())
    written = list(form.write(samples, tmp_path / "out"))
    shown = [line for each in written for line in view(each)]
    same_records(shown, view(path))


@pytest.mark.drill
@pytest.mark.timeout(900)
@pytest.mark.needs("bcftools")
def test_vcztools_shows_the_whole_gvcf(data_dir: Path, tmp_path: Path) -> None:
    samples, refused = read(data_dir / "genomics/gvcf", partition=2**20)
    assert not refused
    assert sum(one.row["variants"] for one in samples) == 301_778
    write_vcf([part(one) for one in samples], tmp_path / "a.vcf.gz")
    (path,) = (data_dir / "genomics/gvcf").glob("*.vcf.gz")
    same_records(view(tmp_path / "a.vcf.gz"), view(path))


def part(sample: Sample) -> Part:
    assert sample.layout is not None
    return Part(sample.layout, sample.arrays)  # type: ignore[arg-type]


def test_groups_join_into_one_store(data_dir: Path, tmp_path: Path) -> None:
    """Cut into eight, some with more alleles than others, the joined arrays are the whole's."""
    import zarr

    path = data_dir / "genomics/vcf/1kg_chr22_100samples.vcf"
    whole = arrays_of(path)
    samples, _ = read(path, partition=2**18)
    assert len(samples) == 8
    write_vcz([part(one) for one in samples], tmp_path / "a.vcz", (100, 40))
    store = zarr.open_group(tmp_path / "a.vcz", mode="r")
    assert set(store.array_keys()) == set(whole)
    for name, values in whole.items():
        if name == "region_index":
            continue
        got = np.asarray(store[name][...])  # type: ignore[index]
        assert got.shape == values.shape, name
        kind = {"equal_nan": True} if values.dtype.kind == "f" else {}
        assert np.array_equal(got, values, **kind), name
        assert got.dtype == values.dtype, name


def test_shards_hold_calls_and_give_them_back(data_dir: Path, objects: Objects) -> None:
    samples, _ = read(data_dir / "genomics/assoc_hail/ldprune.vcf")
    writer = ShardWriter(objects, "s", LAID)
    for one in samples:
        writer.add(one)
    writer.finish()
    back = Shard(objects, found(objects, "s")).sample(0)
    assert back.layout == samples[0].layout
    for name, values in samples[0].arrays.items():
        assert back.arrays[name].tobytes() == values.tobytes() or np.array_equal(  # type: ignore[union-attr]
            back.arrays[name], values
        )


def test_values_and_marks_of_what_is_missing(tmp_path: Path) -> None:
    got = arrays_of(
        lines(
            tmp_path,
            "1 5 . A C,G 3 PASS N=1,2;F=.;T=x GT:AD:PL 0|1:1,2,3:1,2,3,4,5,6 1/2:.:. 0",
            "1 6 r A T . . F=1,.,3 GT . ./. 1|1|1",
            "1 9 . A T . q;s . AD 1,2 . 3,4",
        )
    )
    assert got["call_genotype"].tolist() == [
        [[0, 1, -2], [1, 2, -2], [0, -2, -2]],
        [[-1, -2, -2], [-1, -1, -2], [1, 1, 1]],
        [[-1, -1, -1]] * 3,
    ]
    assert got["call_genotype_phased"].tolist() == [
        [True, False, True], [True, False, True], [False, False, False]
    ]  # fmt: skip
    assert got["call_AD"].dtype == np.int8
    assert got["call_AD"].tolist() == [
        [[1, 2, 3], [-1, -2, -2], [-1, -2, -2]],
        [[-1, -1, -1]] * 3,
        [[1, 2, -2], [-1, -2, -2], [3, 4, -2]],
    ]
    assert got["variant_N"].tolist() == [[1, 2], [-1, -1], [-1, -1]]
    assert got["variant_F"].view(np.uint32)[1].tolist() == [0x3F800000, 0x7F800001, 0x40400000]
    assert got["variant_F"].view(np.uint32)[2].tolist() == [0x7F800001] * 3
    assert got["variant_T"].tolist() == ["x", ".", "."]
    assert got["variant_allele"].tolist() == [["A", "C", "G"], ["A", "T", ""], ["A", "T", ""]]
    assert got["filter_id"].tolist() == ["PASS", "q", "s"]
    assert got["variant_filter"].tolist() == [
        [True, False, False], [False, False, False], [False, True, True]
    ]  # fmt: skip
    assert got["variant_id_mask"].tolist() == [True, False, True]
    assert got["region_index"].tolist() == [[0, 0, 5, 9, 9, 3]]


BROKEN = {
    "1 5 . A C . . . GT 0/2 0/0 0/0": "bad-genotype",
    "1 5 . A C . . . GT 0/x 0/0 0/0": "bad-genotype",
    "1 5 . A C . . . GT 0/|1 0/0 0/0": "bad-genotype",
    "1 5 . A C . . . GT:AD 0/0:1 0/0 0/0": "wrong-count",
    "1 5 . A C . . . GT:AD 0/0:1,x 0/0 0/0": "bad-call",
    "1 5 . A C . . . GT 0/0:3 0/0 0/0": "bad-call",
    "1 5 . A C . . . GT:PL 0/0:1,2 0/0 0/0": "wrong-count",
    "1 5 . A C . . . AD:GT 1,2:0/0 . .": "bad-format",
    "1 5 . A C . . . GT:GT 0/0:0/0 . .": "bad-format",
    "1 5 . A C . . N=x GT . . .": "bad-info-value",
    "1 5 . A C . . N=1,2 GT . . .": "wrong-count",
    "1 5 . A C . . F=1;F=2 GT . . .": "bad-info",
    "1 5 . A C . . DP=-1 GT . . .": "bad-info-value",
    "1 5 . A C . . N=3000000000 GT . . .": "bad-info-value",
    "1 5 . A C . . . GT . .": "column-count",
}


@pytest.mark.parametrize("record", BROKEN)
def test_a_broken_record_is_refused_by_itself(record: str, tmp_path: Path) -> None:
    path = lines(tmp_path, "1 1 . A C . . N=1 GT 0/1 . .", record, "1 9 . A C . . N=7 GT 1/1 . .")
    (sample,), refused = read(path)
    assert [(one.code, one.sample) for one in refused] == [(BROKEN[record], "line 11")]
    assert sample.arrays["variant_position"].tolist() == [1, 9]  # type: ignore[union-attr]
    assert sample.arrays["variant_N"].tolist() == [[1], [7]]  # type: ignore[union-attr]
    assert sample.arrays["call_genotype"][:, 0].tolist() == [[0, 1], [1, 1]]  # type: ignore[index]


def test_fields_that_are_wanted_are_taken(tmp_path: Path) -> None:
    path = lines(tmp_path, "1 5 . A C . . END=20;N=1 GT:AD 0/1:1,2 0/0:3,4 .")
    fixed = {name for name in arrays_of(path, fields=()) if name.startswith(("variant_", "call_"))}
    assert not any(name.startswith("call_") for name in fixed)

    def more(**options: Any) -> set[str]:
        return {n for n in arrays_of(path, **options) if n.startswith(("call", "var"))} - fixed

    genotypes = {"call_genotype", "call_genotype_phased", "call_genotype_mask"}
    assert more(fields="ml") == genotypes
    assert more() == {*genotypes, "call_AD", "variant_N", "variant_END"}
    assert more(drop=("AD", "INFO/N")) == {*genotypes, "variant_END"}
    assert more(fields=("FORMAT/AD", "N")) == {"call_AD", "variant_N"}
    assert arrays_of(path, fields="ml")["variant_length"].tolist() == [16]


def test_pseudonyms_are_keyed_and_nothing_else_names_samples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = lines(tmp_path, "1 5 . A C . . . GT 0/1 0/0 .")
    text = path.read_text().replace("\ta\tb\tc\n", "\tCANARY1\tb\tc\n")
    path.write_text(text.replace("##contig", "##SAMPLE=<ID=CANARY1>\n##contig"))
    monkeypatch.setenv("MEDRAY_DEID_KEY", "k" * 32)
    (sample,), _ = read(path, samples="pseudonyms")
    names = sample.arrays["sample_id"].tolist()  # type: ignore[union-attr]
    assert len(set(names)) == 3
    assert "CANARY1" not in repr((sample.row, sample.id, sample.layout, names))
    assert read(path, samples="pseudonyms")[0][0].arrays["sample_id"].tolist() == names  # type: ignore[union-attr]
    monkeypatch.setenv("MEDRAY_DEID_KEY", "l" * 32)
    assert read(path, samples="pseudonyms")[0][0].arrays["sample_id"].tolist() != names  # type: ignore[union-attr]
