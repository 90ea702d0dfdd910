"""Quality of calls: equal to scikit-allel and cyvcf2, and to exact arithmetic."""

import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import allel
import dask
import dask.array as da
import numpy as np
import pytest
from scipy.stats import chi2

from medray.engine.quality.variants import (
    Thresholds,
    add_up,
    allele_kinds,
    hwe_exact,
    sample_statistics,
    statistics,
    tally,
)


def counted(genotype: np.ndarray, kinds: np.ndarray, chunks: Any, depth: Any = None) -> Any:
    untyped: Any = da
    lazy = untyped.from_array(genotype, chunks=chunks)
    if depth is not None:
        depth = untyped.from_array(depth, chunks=chunks[:2])
    compute: Any = dask.compute  # type: ignore[attr-defined]
    return compute(tally(lazy, kinds, depth))[0]


def calls(seed: int = 0, variants: int = 60, samples: int = 33) -> np.ndarray:
    generator = np.random.default_rng(seed)
    shares = generator.dirichlet((6, 2, 1), variants)
    drawn = [generator.choice(3, (samples, 2), p=share) for share in shares]
    genotype = np.stack(drawn).astype(np.int8)
    genotype[generator.random((variants, samples)) < 0.1] = -1
    genotype[3] = -1
    return genotype


@pytest.mark.parametrize("chunks", [(60, 33, 2), (7, 33, 2), (16, 10, 2)])
def test_equal_to_scikit_allel(chunks: tuple[int, ...]) -> None:
    genotype = calls()
    kinds = np.array([["ti", "tv"]] * 60)
    counts = counted(genotype, kinds, chunks)
    vector = allel.GenotypeArray(genotype)
    np.testing.assert_array_equal(counts["allele_counts"], vector.count_alleles(max_allele=2))
    for name, wanted in (
        ("calls", vector.is_called()),
        ("hom_ref", vector.is_hom_ref()),
        ("het", vector.is_het()),
        ("hom_alt", vector.is_hom_alt()),
    ):
        np.testing.assert_array_equal(counts[name], wanted.sum(1))
        np.testing.assert_array_equal(counts[f"sample_{name}"], wanted.sum(0))
    found = statistics(counts, 33)
    np.testing.assert_allclose(found["call_rate"], vector.count_called(axis=1) / 33)
    frequencies = vector.count_alleles(max_allele=2).to_frequencies()
    with np.errstate(invalid="ignore"):
        expected = allel.heterozygosity_expected(frequencies, 2, fill=np.nan)
        # It says nan where its frequencies add up to a hair less than 1.
        known = np.isfinite(expected)
        assert known.sum() > 40
        np.testing.assert_allclose(found["het_expected"][known], expected[known])
        np.testing.assert_allclose(
            found["het_observed"], allel.heterozygosity_observed(vector, fill=np.nan)
        )
    np.testing.assert_allclose(found["af"], 1 - frequencies[:, 0])
    single = [
        sum(
            bool(((genotype[v, s] == a).any()) and counts["allele_counts"][v, a] == 1)
            for v in range(60)
            for a in (1, 2)
        )
        for s in range(33)
    ]
    np.testing.assert_array_equal(counts["sample_singletons"], single)
    np.testing.assert_array_equal(counts["sample_ti"], (genotype == 1).any(-1).sum(0))
    np.testing.assert_array_equal(counts["sample_tv"], (genotype == 2).any(-1).sum(0))


def test_lower_ploidy_half_calls_and_depth() -> None:
    genotype = np.array([[[0, -2], [1, -2], [0, 1], [1, 1], [-1, 1], [-2, -2], [-1, -1]]], np.int8)
    depth = np.array([[3, 5, -1, 7, 1, -1, -1]])
    counts = counted(genotype, np.array([["ti"]]), (1, 3, 2), depth)
    picked = ("calls", "hom_ref", "het", "hom_alt", "pairs_ref", "pairs_het", "pairs_alt")
    assert [int(counts[name][0]) for name in picked] == [4, 1, 1, 2, 0, 1, 1]
    assert counts["allele_counts"].tolist() == [[2, 5]]
    assert (counts["depth_sum"][0], counts["depth_calls"][0]) == (16, 4)
    assert counts["sample_depth_sum"].tolist() == [3, 5, 0, 7, 1, 0, 0]


def exact(hets: int, homs: int, others: int) -> Fraction:
    """The test by enumeration: genotypes are drawn by pairing 2n alleles at random."""
    total, rare = hets + homs + others, 2 * homs + hets

    def ways(het: int) -> int:
        left = (rare - het) // 2
        rest = total - het - left
        if left < 0 or rest < 0:
            return 0
        return (
            2**het
            * math.factorial(total)
            // (math.factorial(het) * math.factorial(left) * math.factorial(rest))
        )

    every = [ways(het) for het in range(rare % 2, rare + 1, 2)]
    return Fraction(sum(way for way in every if way <= ways(hets)), sum(every))


def test_hardy_weinberg_equals_exact_arithmetic() -> None:
    generator = np.random.default_rng(0)
    triples = generator.integers(0, 40, (300, 3))
    triples = np.concatenate([triples, [[0, 0, 9], [1, 0, 0], [5, 0, 95], [57, 14, 50]]])
    got = hwe_exact(*triples.T)
    wanted = [float(exact(*map(int, triple))) if triple.sum() else np.nan for triple in triples]
    np.testing.assert_allclose(got, wanted, rtol=1e-9)
    # The example of Wigginton's own program: 100 people, 21 rare alleles.
    assert hwe_exact(*np.array([[5, 8, 87], [21, 0, 79]]).T)[1] == pytest.approx(0.593645, abs=1e-6)
    assert np.isnan(hwe_exact(np.array([0]), np.array([0]), np.array([0])))[0]


def test_hardy_weinberg_of_a_biobank() -> None:
    got = hwe_exact(np.array([24_000, 1]), np.array([3_200, 0]), np.array([44_000, 500_000]))
    seen, share = np.array([44_000, 24_000, 3_200]), 30_400 / 142_400
    wanted = seen.sum() * np.array([(1 - share) ** 2, 2 * share * (1 - share), share**2])
    assert got[0] == pytest.approx(chi2.sf(((seen - wanted) ** 2 / wanted).sum(), 1), rel=0.02)
    assert got[1] == 1


def test_kinds_of_alleles() -> None:
    alleles = np.array([["A", "G", "C"], ["c", "T", ""], ["AC", "A", "<DEL>"], ["G", "*", "N"]])
    assert allele_kinds(alleles).tolist() == [
        ["ti", "tv"], ["ti", ""], ["other", "other"], ["other", "other"]
    ]  # fmt: skip


def test_masks_and_partial_sums() -> None:
    genotype = calls(1)
    kinds = np.array([["ti", "tv"]] * 60)
    whole = counted(genotype, kinds, (60, 33, 2))
    parts = [
        counted(genotype[at : at + 13], kinds[at : at + 13], (13, 33, 2)) for at in range(0, 60, 13)
    ]
    for name, total in add_up(parts).items():
        np.testing.assert_array_equal(total, whole[name])
    found = statistics(whole, 33)
    masks = Thresholds(geno=0.1, maf=0.2, hwe=0.2).variants(found)
    np.testing.assert_array_equal(masks["geno"], whole["calls"] >= 0.9 * 33)
    np.testing.assert_array_equal(masks["maf"], found["maf"] >= 0.2)
    assert masks["hwe"].sum() == (~(found["hwe"] < 0.2)).sum() < 60
    assert masks["hwe"][3]  # nothing is called there: not Hardy-Weinberg's to say
    assert not masks["maf"][3]
    rates = sample_statistics(whole, 60)["call_rate"]
    mask = Thresholds(mind=0.12).samples({"call_rate": rates})["mind"]
    np.testing.assert_array_equal(mask, whole["sample_calls"] >= 0.88 * 60)


@pytest.mark.parametrize("name", ["1kg_chr22_100samples.vcf", "1kg_chr20_2535samples.vcf.gz"])
def test_equal_to_cyvcf2_on_real_calls(name: str, data_dir: Path) -> None:
    import cyvcf2

    reader = cyvcf2.VCF(str(data_dir / "genomics/vcf" / name), gts012=True, strict_gt=True)
    records = list(reader)
    most = max(len(one.ALT) for one in records) + 1
    genotype = np.array([[call[:2] for call in one.genotypes] for one in records], np.int8)
    alleles = np.array([[one.REF, *one.ALT, *[""] * (most - 1 - len(one.ALT))] for one in records])
    counts = counted(genotype, allele_kinds(alleles), (100, 50, 2))
    found = statistics(counts, genotype.shape[1])
    for at, one in enumerate(records):
        assert counts["hom_ref"][at] == one.num_hom_ref
        assert counts["het"][at] == one.num_het
        assert counts["hom_alt"][at] == one.num_hom_alt
        assert found["call_rate"][at] == pytest.approx(one.call_rate)
        assert (counts["allele_counts"][at, 1:].sum() > 0) == (found["af"][at] > 0)
        if len(one.ALT) == 1:
            assert found["af"][at] == pytest.approx(one.aaf)
            if one.is_snp:
                assert (allele_kinds(alleles[at : at + 1])[0, 0] == "ti") == one.is_transition
    golden = {"1kg_chr22_100samples.vcf": (48265, 10015, 4992, 10228)}
    if name in golden:
        missing = genotype.shape[0] * genotype.shape[1] - int(counts["calls"].sum())
        sums = tuple(int(counts[kind].sum()) for kind in ("hom_ref", "het", "hom_alt"))
        assert (*sums, missing) == golden[name]
