"""Variant windows: against an implementation by strings, over real variants, and their speed."""

import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medray.formats.base import Source
from medray.formats.fasta import Fasta
from medray.formats.genomics.alphabet import decode, encode, reverse_complement
from medray.steps.variants.genome import Genome
from medray.steps.variants.windows import STATUSES, Alleles, Stretch, VariantWindows, reach
from medray.storage.catalog.commit import Commit
from medray.storage.catalog.commits import Commits
from medray.storage.catalog.datasets import Dataset
from medray.storage.catalog.ledger import Ledger
from medray.storage.catalog.publish import publish
from medray.storage.shards.samples import Sample
from medray.storage.shards.writer import ShardWriter
from medray.storage.store.objects import Objects
from tests.declared import DECLARED

Variant = tuple[int, str, str]


def windows_of(contig: str, variants: list[Variant], length: int) -> VariantWindows:
    """The windows as a worker builds them: from the stretch of the contig that they need."""
    positions = np.array([variant[0] for variant in variants], np.int64)
    ref, alt = (Alleles.of(pa.array([v[n] for v in variants], pa.string())) for n in (1, 2))
    low, high = reach(positions, ref, length)
    codes = np.full(max(0, high - low), 4, np.uint8)
    first, last = max(low, 0), max(0, min(high, len(contig)), low)
    if last > first:
        codes[first - low : last - low] = encode(contig[first:last])
    return VariantWindows(Stretch(codes, low, len(contig)), positions, ref, alt, length)


@lru_cache(maxsize=64)
def plain_letters(letters: str) -> str:
    return re.sub("[^ACGT]", "N", letters.upper())


def by_strings(contig: str, variant: Variant, length: int) -> tuple[str, str, str]:
    """Status, reference window and window with ALT, letter by letter."""
    position, ref, alt = variant
    begin, left = position - 1, length // 2
    if not set(ref + alt) <= set("ACGTNRYacgtn") or not ref or not alt:
        return "symbolic", "", ""
    if max(len(ref), len(alt)) > length - left:
        return "too_long", "", ""
    plain, said, new = plain_letters(contig), plain_letters(ref), plain_letters(alt)
    if begin < 0 or plain[begin : begin + len(ref)] != said:
        return "ref_mismatch", "", ""
    padded = "N" * length + plain + "N" * 2 * length
    at = begin + length
    reference = padded[at - left : at - left + length]
    changed = padded[at - left : at] + new + padded[at + len(ref) :]
    end = begin - left + length + max(0, len(ref) - len(alt))
    if begin - left < 0 or end > len(contig):
        return "edge", reference, changed[:length]
    status = "contains_n" if "N" in plain[begin - left : end] + new else "ok"
    return status, reference, changed[:length]


def agree(contig: str, variants: list[Variant], length: int) -> VariantWindows:
    """Compare all windows with those made of strings; returns them."""
    made = windows_of(contig, variants, length)
    expected = [by_strings(contig, variant, length) for variant in variants]
    assert [STATUSES[code] for code in made.status] == [status for status, _, _ in expected]
    scored = [(ref, alt) for _, ref, alt in expected if ref]
    references, alternatives = made.reference(slice(None)), made.alternative(slice(None))
    assert [decode(references[n]) for n in made.reference_of] == [ref for ref, _ in scored]
    assert [decode(window) for window in alternatives] == [alt for _, alt in scored]
    assert len({window.tobytes() for window in references}) <= len(references)
    return made


@st.composite
def cases(draw: Any) -> tuple[str, list[Variant], int]:
    contig = draw(st.text("ACGTN", min_size=1, max_size=60))
    length = draw(st.integers(1, 24))
    variants = []
    for _ in range(draw(st.integers(0, 12))):
        position = draw(st.integers(0, len(contig) + 2))
        true = contig[max(0, position - 1) : position - 1 + draw(st.integers(1, 14))] or "A"
        ref = draw(st.sampled_from([true, true, true, true.lower(), "G", "R", "<X>"]))
        alt = draw(
            st.one_of(
                st.text("ACGT", min_size=1, max_size=14),
                st.sampled_from(["N", "*", "<DEL>", ".", "", "G]17:198982]", ref[:1]]),
            )
        )
        variants.append((position, ref, alt))
    return contig, variants, length


@settings(deadline=None)  # the first example pays for imports
@given(cases())
def test_windows_equal_those_made_of_strings(case: tuple[str, list[Variant], int]) -> None:
    agree(*case)


CONTIG = "AACCGGTTACGTACGTNACGTTGCA"


@pytest.mark.parametrize(
    ("variant", "reference", "changed", "status"),
    [
        ((9, "A", "C"), "GGTTACGT", "GGTTCCGT", "ok"),
        ((9, "AC", "GT"), "GGTTACGT", "GGTTGTGT", "ok"),
        ((9, "A", "ATTT"), "GGTTACGT", "GGTTATTT", "ok"),
        ((9, "ACG", "A"), "GGTTACGT", "GGTTATAC", "ok"),
        ((9, "C", "A"), "", "", "ref_mismatch"),
        ((2, "A", "C"), "NNNAACCG", "NNNACCCG", "edge"),
        ((20, "G", "T"), "TNACGTTG", "TNACTTTG", "contains_n"),
        ((9, "A", "<DEL>"), "", "", "symbolic"),
        ((9, "A", "*"), "", "", "symbolic"),
        ((9, "A", "ACCCC"), "", "", "too_long"),
        ((26, "A", "C"), "", "", "ref_mismatch"),
        ((0, "A", "C"), "", "", "ref_mismatch"),
    ],
)
def test_each_kind(variant: Variant, reference: str, changed: str, status: str) -> None:
    made = agree(CONTIG, [variant], 8)
    assert STATUSES[made.status[0]] == status
    assert [decode(one) for one in made.reference(slice(None))] == ([reference] if changed else [])
    assert [decode(one) for one in made.alternative(slice(None))] == ([changed] if changed else [])


def test_alleles_of_one_position_share_a_window() -> None:
    made = agree(CONTIG, [(9, "A", "C"), (9, "A", "G"), (9, "ACG", "A"), (10, "C", "T")], 8)
    assert made.references.tolist() == [4, 5]
    assert made.reference_of.tolist() == [0, 0, 0, 1]


def test_flags_stand_beside_the_status() -> None:
    made = windows_of(CONTIG, [(20, "G", "T"), (20, "A", "G"), (24, "C", "G")], 8)
    assert made.ref_match.tolist() == [True, False, True]
    assert made.contains_n.tolist() == [True, True, False]
    assert made.edge.tolist() == [False, False, True]


def test_the_other_strand() -> None:
    made = windows_of(CONTIG, [(9, "A", "ATTT")], 8)
    assert decode(reverse_complement(made.alternative(slice(None)))[0]) == "AAATAACC"


def brca1(data_dir: Path) -> tuple[str, int, list[Variant]]:
    """The reference that the file implies (N in its gaps), where it begins, and its variants."""
    import openpyxl

    path = data_dir / "genomics" / "brca1_sge" / "findlay2018_brca1.xlsx"
    book = openpyxl.load_workbook(path, read_only=True)
    cells = book.active.iter_rows(min_row=4, min_col=3, max_col=5, values_only=True)
    rows = [row for row in cells if row[0]]
    book.close()
    variants = [(int(position), str(ref), str(alt)) for position, ref, alt in rows]
    start = min(position for position, _, _ in variants)
    contig = ["N"] * (max(position for position, _, _ in variants) - start + 1)
    for position, ref, _ in variants:
        contig[position - start] = ref
    return "".join(contig), start, variants


def test_saturation_editing_of_brca1(data_dir: Path) -> None:
    contig, start, variants = brca1(data_dir)
    assert len(variants) == 3893
    shifted = [(position - start + 1, ref, alt) for position, ref, alt in variants]
    made = agree(contig, shifted, 200)
    assert len(made.scored) == 3893
    assert len(made.references) == 1326, "and so 5,219 windows instead of 7,786"
    assert made.ref_match.all()


def records(path: Path) -> list[Variant]:
    """Position, REF and ALT of every allele of a VCF."""
    lines = [line.split("\t") for line in path.read_text().splitlines() if line[:1] != "#"]
    return [(int(f[1]), f[3], alt) for f in lines for alt in f[4].split(",")]


MOVED = {"biallelic": 80, "multiallelic": 13}


@pytest.mark.parametrize("kind", sorted(MOVED))
def test_normalised_variants_have_the_same_haplotype(data_dir: Path, kind: str) -> None:
    folder = data_dir / "genomics" / "vcf_normalize"
    contig = "".join((folder / "20_altered.fasta").read_text().split("\n")[1:])
    name = f"01_IN_altered_{kind}_vtdecompose"
    before = records(folder / f"{name}.vcf")
    after = records(folder / f"{name}_bcftoolsnormalized.vcf")
    assert len(before) == len(after) > 20
    length = 2000
    one, two = agree(contig, before, length), agree(contig, after, length)
    assert len(one.scored) == len(before)
    assert len(two.scored) == len(after)
    haplotypes = [_haplotype(contig, variant) for variant in after]
    moved = 0
    for variant, window in zip(before, one.alternative(slice(None)), strict=True):
        # The normalised files are sorted by the new position: find the partner by what it means.
        partner = haplotypes.index(_haplotype(contig, variant))
        apart = variant[0] - after[partner][0]
        other = two.alternative(np.array([partner]))[0]
        if apart < 0:
            window, other = other, window
        assert np.array_equal(window[: length - abs(apart)], other[abs(apart) :])
        moved += apart != 0
    assert moved == MOVED[kind]


def _haplotype(contig: str, variant: Variant) -> str:
    position, ref, alt = variant
    return contig[: position - 1] + alt + contig[position - 1 + len(ref) :]


def stored(root: Path, samples: list[Sample]) -> Dataset:
    objects = Objects(str(root))
    ledger = Ledger(objects, "g")
    attempt = ledger.begin("u")
    writer = ShardWriter(objects, ledger.shard_path(attempt), DECLARED)
    for sample in samples:
        writer.add(sample)
    commit = ledger.commit(attempt, Commit("u", attempt.id, writer.finish(), 1, []))
    made = Commits.of([commit])
    return publish(objects, "g", kind="test", spec="", commits=made, refused=[], parents=[])


@pytest.mark.parametrize("run", [1, 4 * 2**20], ids=["slabs", "together"])
def test_letters_for_several_bases_are_their_first_in_ref(
    run: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medray.formats.fasta.RUN_BYTES", run)
    letters, first = "RYMKWSBDHV", "ACAGACCAAA"
    contig = "".join(f"ACGTTGCA{letter}GATTACA" for letter in letters + letters.lower() + "Nn")
    (tmp_path / "g.fa").write_text(f">c\n{contig}\n>plain\nACGTNACGT\n")
    form, source = Fasta(Fasta.Options()), Source(tmp_path)
    items = [item for group in form.plan(source).groups for item in group]
    samples = [one for item in items for one in form.read(source, item)]
    genome = Genome(stored(tmp_path / "s", samples))
    assert genome.find("plain").iupac is None
    at = [16 * number + 9 for number in range(22)]
    variants = [(place, base, "T") for place, base in zip(at, first * 2 + "NN", strict=True)]
    variants += [(place - 1, f"A{base}G", "A") for place, base, _ in variants]  # amid others
    variants += [(place, "N", "T") for place in at]
    wrong = [(place, "T", "A") for place in at] + [(at[-1], "A", "T"), (at[0], "G", "T")]
    positions = np.array([one[0] for one in variants + wrong])
    ref, alt = (Alleles.of(pa.array([v[n] for v in variants + wrong])) for n in (1, 2))
    stretch = genome.stretch(genome.find("c"), *reach(positions, ref, 6))
    windows = VariantWindows(stretch, positions, ref, alt, 6)
    said = [STATUSES[status] for status in windows.status]
    assert said == ["contains_n"] * len(variants) + ["ref_mismatch"] * len(wrong)
    changed = contig.replace("R", "Y").replace("r", "y")  # the codes stay
    (tmp_path / "g.fa").write_text(f">c\n{changed}\n>plain\nACGTNACGT\n")
    items = [item for group in form.plan(source).groups for item in group]
    other = [one for item in items for one in form.read(source, item)]
    assert other[0].row["sha256"] == genome.find("c").sha256
    assert Genome(stored(tmp_path / "t", other)).digest != genome.digest
