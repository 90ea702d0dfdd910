"""FASTA: records found by index or by a pass, large ones in slabs: only nucleotides are taken."""

import gzip
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pysam
import pytest

from medray.errors import DataError, SpecError
from medray.formats import fasta as module
from medray.formats.base import Found, Input, Source
from medray.formats.fasta import Fasta, same_contig
from medray.formats.genomics.alphabet import decode, encode
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Sample, Slabs


def planned(root: Path, **options: Any) -> tuple[Fasta, Found]:
    form = Fasta(Fasta.Options.model_validate(options))
    return form, form.plan(Source(root))


def items(plan: Found) -> list[Input]:
    return [item for group in plan.groups for item in group]


def read(root: Path, **options: Any) -> dict[str, Sample]:
    form, plan = planned(root, **options)
    found = [one for item in items(plan) for one in form.read(Source(root), item)]
    assert not [one for one in found if isinstance(one, Refusal)]
    return {one.id: one for one in found if isinstance(one, Sample)}


def letters(sample: Sample) -> str:
    value = sample.arrays["sequence"]
    if isinstance(value, Slabs):
        value = np.concatenate(list(value.parts))
    return decode(value)


@pytest.mark.parametrize("packing", ["plain", "gzip", "bgzip"])
@pytest.mark.parametrize("run", [1, 4 * 2**20], ids=["slabs", "together"])
@pytest.mark.parametrize("block", [3, 2**20])
def test_records_of_every_shape(
    packing: str, run: int, block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RUN_BYTES", run)
    monkeypatch.setattr("medray.formats.tabular.text.BLOCK", block)
    monkeypatch.setattr("medray.formats.fasta.records.BLOCK", block)
    text = b">one a>b\nACGT\nacgu\nNN\n>two\r\nRYKM\r\nAC GT\r\nAAAAAAAA\r\n\r\n>three\nA"
    path = tmp_path / "a.fa"
    path.write_bytes(gzip.compress(text) if packing == "gzip" else text)
    if packing == "bgzip":
        pysam.tabix_compress(str(path), str(tmp_path / "b.fa.gz"))
        path.unlink()
    found = read(tmp_path)
    assert {name: letters(one) for name, one in found.items()} == {
        "one": "ACGTACGTNN",
        "two": "NNNNACGTAAAAAAAA",
        "three": "A",
    }
    row = found["two"].row
    assert (row["length"], row["bases"], row["ambiguous"]) == (16, [9, 1, 1, 1, 4], 4)
    assert row["sha256"] == hashlib.sha256(encode("NNNNACGTAAAAAAAA").tobytes()).hexdigest()


@pytest.mark.parametrize("packed", [False, True])
def test_an_index_spares_the_pass_and_is_held_to(packed: bool, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    text = ""
    for name, length in (("chr1", 130), ("chr2", 60), ("chr3", 1)):
        sequence = "".join(rng.choice(list("ACGT"), length))
        text += f">{name} {'x' * 5000}\n"
        text += "".join(f"{sequence[at : at + 60]}\n" for at in range(0, length, 60))
    path = tmp_path / "a.fa"
    path.write_text(text)
    without = read(tmp_path)
    if packed:
        pysam.tabix_compress(str(path), str(tmp_path / "a.fa.gz"))
        path.unlink()
        path = tmp_path / "a.fa.gz"
    pysam.faidx(str(path))
    assert Path(f"{path}.fai").exists()
    found = read(tmp_path)
    assert {one.id: one.row for one in found.values()} == {
        one.id: one.row for one in without.values()
    }
    index = Path(f"{path}.fai")
    for old, new in (("chr1\t130", "chr1\t131"), ("chr1\t130", "chr1\t129"), ("chr2", "chr9")):
        original = index.read_text()
        index.write_text(original.replace(old, new))
        form, plan = planned(tmp_path)
        codes = [one.code for one in plan.refused]
        for item in items(plan):
            try:
                codes += [
                    o.code for o in form.read(Source(tmp_path), item) if isinstance(o, Refusal)
                ]
            except DataError as error:
                codes.append(error.code)
        # A header longer than is looked at can't tell its name: then only the bases can.
        assert set(codes) == ({"bad-index"} if old != "chr2" else set())
        index.write_text(original)


def test_large_records_are_slabs_and_hold_little(tmp_path: Path) -> None:
    import tracemalloc

    sequence = np.random.default_rng(0).choice(np.frombuffer(b"ACGT", np.uint8), 20_000_000)
    rows = np.concatenate([sequence.reshape(-1, 50), np.full((400_000, 1), 10, np.uint8)], axis=1)
    (tmp_path / "a.fa").write_bytes(b">chr1\n" + rows.tobytes())
    form, plan = planned(tmp_path)
    tracemalloc.start()
    (sample,) = form.read(Source(tmp_path), items(plan)[0])
    assert isinstance(sample, Sample)
    value = sample.arrays["sequence"]
    assert isinstance(value, Slabs)
    assert value.shape == (20_000_000,)
    whole = hashlib.sha256()
    for part in value.parts:
        whole.update(part.data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert whole.hexdigest() == sample.row["sha256"]
    assert whole.hexdigest() == hashlib.sha256(encode(sequence.tobytes()).data).hexdigest()
    assert peak < 24 * 2**20


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b"", "empty-file"),
        (b"ACGT\n", "no-header"),
        (b">p\nMKVLEFILPQ\n", "protein"),
        (b">p\nMKVHKMRSVWYDMKVHKMRSVWYD\n", "protein"),
        (b">p\nACGT1\n", "bad-letter"),
        (b">p\nAC-GT\n", "bad-letter"),
        (b">p\n\n", "empty-sequence"),
        (b">\nACGT\n", "no-name"),
        (b">p\n" + b"A" * 9 + b"\0", "bad-letter"),
    ],
)
def test_what_is_refused(text: bytes, code: str, tmp_path: Path) -> None:
    (tmp_path / "a.fa").write_bytes(text)
    form, plan = planned(tmp_path)
    codes = [one.code for one in plan.refused]
    for item in items(plan):
        with pytest.raises(DataError) as caught:
            list(form.read(Source(tmp_path), item))
        codes.append(caught.value.code)
    assert codes == [code]


def test_one_bad_record_among_many_and_one_name_twice(tmp_path: Path) -> None:
    (tmp_path / "a.fa").write_bytes(b">a\nACGT\n>b\nEFI\n>a\nGG\n>c\nTT\n")
    form, plan = planned(tmp_path)
    assert [(one.source, one.code) for one in plan.refused] == [("a.fa:3", "duplicate-id")]
    found = [one for item in items(plan) for one in form.read(Source(tmp_path), item)]
    assert [one.id for one in found if isinstance(one, Sample)] == ["a", "c"]
    refused = [one for one in found if isinstance(one, Refusal)]
    assert [(one.sample, one.code) for one in refused] == [("a.fa:2", "protein")]


def test_a_file_that_changed_since_it_was_planned(tmp_path: Path) -> None:
    path = tmp_path / "a.fa"
    path.write_bytes(b">a\nACGT\n>b\nGG\n")
    form, plan = planned(tmp_path)
    path.write_bytes(b">a\nACGTA\n>b\nGG\n")
    found = list(form.read(Source(tmp_path), items(plan)[0]))
    assert {one.code for one in found if isinstance(one, Refusal)} == {"changed-file"}


def test_aliases_and_offsets(tmp_path: Path) -> None:
    (tmp_path / "a.fa").write_bytes(b">chr22\nACGT\n>MT\nAC\n")
    (tmp_path / "alias.txt").write_text("# ucsc\trefseq\nchr22\tNC_000022.11\n")
    found = read(
        tmp_path, alias_table="alias.txt", aliases={"MT": ["rCRS"]}, offsets={"chr22": 32_000_000}
    )
    assert found["chr22"].row["aliases"] == ["22", "NC_000022.11"]
    assert found["MT"].row["aliases"] == ["M", "chrM", "chrMT", "rCRS"]
    assert [one.row["offset"] for one in found.values()] == [32_000_000, 0]
    assert same_contig("scaffold_7") == ()
    with pytest.raises(SpecError, match="unknown-contig"):
        planned(tmp_path, offsets={"chr2": 1})
    with pytest.raises(SpecError, match="bad-alias-table"):
        planned(tmp_path, alias_table="none.txt")


def test_written_files_are_read_again(tmp_path: Path) -> None:
    codes = np.random.default_rng(0).integers(0, 5, 150).astype(np.uint8)
    form = Fasta(Fasta.Options())
    (path,) = form.write([Sample("chr1", {}, {"sequence": codes})], tmp_path)
    assert path.name == "chr1.fa"
    assert [len(line) for line in path.read_text().splitlines()] == [5, 60, 60, 30]
    assert letters(read(tmp_path)["chr1"]) == decode(codes)
    rows = [Sample("a", {"sequence": "ACGTR"}), Sample("b", {"sequence": "gg"})]
    many = Fasta(Fasta.Options.model_validate({"one_file_per": "unit"}))
    assert many.many
    (path,) = many.write(rows, tmp_path / "rows")
    assert path.read_text() == ">a\nACGTR\n>b\nGG\n"
    with pytest.raises(DataError, match="bad-letter"):
        list(form.write([Sample("x", {"sequence": "A\n>y\nC"})], tmp_path))
    with pytest.raises(DataError, match="unsafe-name"):
        list(form.write([Sample("x y", {"sequence": "A"})], tmp_path))


def test_real_genomes(data_dir: Path) -> None:
    genomics = data_dir / "genomics"
    (mito,) = read(genomics / "mtdna", contig="chrM").values()
    assert (mito.id, mito.row["length"], mito.row["bases"][4]) == ("chrM", 16_569, 1)
    # rCRS: the N stands at 3107, where the first reference had a base too many.
    assert letters(mito)[3106] == "N"
    found = read(genomics / "fasta", offsets={"chr22": 32_000_000})
    assert (found["chr22"].row["length"], found["chr22"].row["offset"]) == (300_000, 32_000_000)
    assert found["chr8:11496144-11627216"].row["length"] == 131_072
    phages = read(genomics / "phage_phix174")
    assert len(phages) == 17
    assert phages["NC_001422.1"].row["length"] == 5386


def test_real_indices(data_dir: Path) -> None:
    root = data_dir / "genomics" / "vcf_normalize"
    plain, packed = (
        read(root / name) for name in ("20_altered.fasta", "20_altered_bgzip.fasta.gz")
    )
    assert plain["20"].row == packed["20"].row
    assert plain["20"].row["length"] == 38_994


@pytest.mark.parametrize("run", [1, 4 * 2**20], ids=["slabs", "together"])
def test_a_record_without_letters_hides_no_other(
    run: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RUN_BYTES", run)
    (tmp_path / "a.fa").write_bytes(b">a\n>b x\nACG\n>c\n\n \n>d\r\n>e\nT\n>f")
    form, plan = planned(tmp_path)
    taken, empty = {}, []
    for item in items(plan):
        try:
            for one in form.read(Source(tmp_path), item):
                if isinstance(one, Refusal):
                    empty.append((one.sample, one.code))
                else:
                    assert isinstance(one, Sample)
                    taken[one.id] = letters(one)
        except DataError as error:
            empty.append((item.key, error.code))
    assert taken == {"b": "ACG", "e": "T"}
    assert empty == [(f"a.fa:{number}", "empty-sequence") for number in (1, 3, 4, 6)]


@pytest.mark.parametrize("block", [3, 2**20])
@pytest.mark.parametrize("before", [b"\xef\xbb\xbf", b"\r\n \n", b"\xef\xbb\xbf\n\n"])
def test_a_mark_and_blanks_before_the_first_header(
    before: bytes, block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medray.formats.tabular.text.BLOCK", block)
    monkeypatch.setattr("medray.formats.fasta.records.BLOCK", block)
    (tmp_path / "a.fa").write_bytes(before + b">a\r\nAC\tGT \r\nTT\r\n\r\n>b\r\nA\r\n")
    assert {name: letters(one) for name, one in read(tmp_path).items()} == {"a": "ACGTTT", "b": "A"}


def test_an_index_with_blanks_between_its_cells(tmp_path: Path) -> None:
    (tmp_path / "a.fa").write_bytes(b">a x\nACGT\nAC\n>b\nTT\n")
    (tmp_path / "a.fa.fai").write_bytes(b"\xef\xbb\xbfa  6 5\t4 5\r\n\r\nb 2 16 2 3\r\n")
    found = read(tmp_path)
    assert [letters(found[name]) for name in "ab"] == ["ACGTAC", "TT"]
