"""Quality of genotype calls: counts by dask over chunks, statistics and masks from the counts.

Calls are int8 (variants, samples, ploidy) as VCF Zarr has them: an allele's number, -1 missing, -2
no call there at all (lower ploidy). A call is missing if one of its alleles is. Nothing is copied:
what comes out are counts, per variant and per sample, and masks over them. Thresholds have plink's
names.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import gammaln

Array = np.ndarray[Any, Any]

MISSING, FILL = -1, -2
HOM_REF, HET, HOM_ALT = "hom_ref", "het", "hom_alt"
TABLE = 2**22  # entries of the table that exact tests are computed in: 32 MiB
TIE = 1e-7  # relative: as probable as what was seen, as plink 1.9 has it
ROUNDING = 1e-12  # a share that is equal to its threshold keeps to it
_PURINES, _PYRIMIDINES = frozenset("AG"), frozenset("CT")


def tally(genotype: Any, kinds: Array, depth: Any = None) -> dict[str, Any]:
    """Lazy counts of calls, to be computed together: every chunk is read once.

    Args:
        genotype: dask array, int8 (variants, samples, ploidy).
        kinds: (variants, alleles - 1) of `allele_kinds`, the kind of each ALT.
        depth: dask array (variants, samples), negative where it is not known; or None.

    Returns:
        Per variant: `allele_counts` (variants, alleles), `calls`, `hom_ref`, `het`, `hom_alt`, and
        of the diploid calls alone `pairs_ref`, `pairs_het`, `pairs_alt` (REF against the rest), and
        `depth_sum`, `depth_calls`. Per sample, over these variants: `sample_calls`,
        `sample_hom_ref`, `sample_het`, `sample_hom_alt`, `sample_singletons`, `sample_ti`,
        `sample_tv`, `sample_depth_sum`, `sample_depth_calls`. All int64.
    """
    import dask.array

    da: Any = dask.array
    alleles = kinds.shape[1] + 1
    there = genotype >= 0
    called = ~(genotype == MISSING).any(-1) & there.any(-1)
    first = genotype[..., :1]
    # A call of lower ploidy is compared over the alleles that it has.
    het = called & ((genotype != first) & (genotype != FILL)).any(-1)
    hom = called & ~het
    reference = hom & (first[..., 0] == 0)
    other = hom & (first[..., 0] > 0)
    pair = called & (there.sum(-1) == 2)
    mixed = pair & het & (genotype == 0).any(-1)
    counts = [(genotype == number).sum((1, 2)) for number in range(alleles)]
    made = {
        "allele_counts": da.stack(counts, axis=1),
        "calls": called.sum(1),
        HOM_REF: reference.sum(1),
        HET: het.sum(1),
        HOM_ALT: other.sum(1),
        "pairs_ref": (pair & reference).sum(1),
        "pairs_het": mixed.sum(1),
        "pairs_alt": (pair & ~reference & ~mixed).sum(1),
        "sample_calls": called.sum(0),
        f"sample_{HOM_REF}": reference.sum(0),
        f"sample_{HET}": het.sum(0),
        f"sample_{HOM_ALT}": other.sum(0),
    }
    own: list[Any] = []
    ti: list[Any] = []
    tv: list[Any] = []
    rows = genotype.chunks[0]
    for number in range(1, alleles):
        carried = (genotype == number).any(-1)
        own.append((carried & (counts[number] == 1)[:, None]).sum(0))
        for found, kind in ((ti, "ti"), (tv, "tv")):
            chosen = da.from_array(kinds[:, number - 1] == kind, chunks=(rows,))
            found.append((carried & chosen[:, None]).sum(0))
    made |= {
        "sample_singletons": sum(own),
        "sample_ti": sum(ti),
        "sample_tv": sum(tv),
    }
    if depth is not None:
        known = depth >= 0
        held = da.where(known, depth, 0).astype(np.int64)
        made |= {
            "depth_sum": held.sum(1),
            "depth_calls": known.sum(1),
            "sample_depth_sum": held.sum(0),
            "sample_depth_calls": known.sum(0),
        }
    return made


def allele_kinds(alleles: Array) -> Array:
    """What each ALT is: "ti", "tv", "other" or "" (there is none); (variants, alleles - 1).

    Args:
        alleles: texts (variants, alleles), REF first, "" where there are fewer.
    """
    texts = alleles.tolist()
    return np.array([[_kind(row[0].upper(), alt.upper()) for alt in row[1:]] for row in texts])


def statistics(counts: Mapping[str, Array], samples: int) -> dict[str, Array]:
    """Per variant, from its counts.

    Args:
        counts: as `tally` computes them.
        samples: of the data.

    Returns:
        float64 (variants,), NaN where nothing is called: `call_rate`; `af`, of all ALT together;
        `maf`, of all alleles but the most frequent; `het_observed`; `het_expected`, 1 - Σ p²;
        `hwe`, the exact p-value of REF against the rest; `depth`, the mean where it is known.
    """
    allele_counts = counts["allele_counts"].astype(np.float64)
    total = allele_counts.sum(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = allele_counts / total[:, None]
        made = {
            "call_rate": counts["calls"] / max(1, samples),
            # Of counts, not of shares: 1 - 0.9 would be below a threshold of 0.1.
            "af": (total - allele_counts[:, 0]) / total,
            "maf": (total - allele_counts.max(1)) / total,
            "het_observed": counts[HET] / counts["calls"],
            "het_expected": 1 - (shares**2).sum(1),
            "hwe": hwe_exact(counts["pairs_het"], counts["pairs_ref"], counts["pairs_alt"]),
        }
        if "depth_sum" in counts:
            made["depth"] = counts["depth_sum"] / counts["depth_calls"]
    return made


def sample_statistics(counts: Mapping[str, Array], variants: int) -> dict[str, Array]:
    """Per sample: `call_rate`, `het_rate`, `het_hom` (het over hom-alt), `ti_tv`, `singletons`, and
    `depth` where it is known; float64, NaN or infinite where a denominator is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        made = {
            "call_rate": counts["sample_calls"] / max(1, variants),
            "het_rate": counts["sample_het"] / counts["sample_calls"],
            "het_hom": counts["sample_het"] / counts["sample_hom_alt"],
            "ti_tv": counts["sample_ti"] / counts["sample_tv"],
            "singletons": counts["sample_singletons"].astype(np.float64),
        }
        if "sample_depth_sum" in counts:
            made["depth"] = counts["sample_depth_sum"] / counts["sample_depth_calls"]
    return made


@dataclass(frozen=True)
class Thresholds:
    """What a variant or sample must keep to; plink's names, None: not looked at.

    Args:
        geno: largest share of a variant's calls that may be missing.
        mind: largest share of a sample's calls that may be missing.
        maf: smallest minor allele frequency.
        hwe: smallest p-value of Hardy-Weinberg equilibrium.
    """

    geno: float | None = None
    mind: float | None = None
    maf: float | None = None
    hwe: float | None = None

    def variants(self, found: Mapping[str, Array]) -> dict[str, Array]:
        """For each threshold that is set, which variants keep to it: bool (variants,)."""
        masks = {}
        if self.geno is not None:
            masks["geno"] = 1 - found["call_rate"] <= self.geno + ROUNDING
        if self.maf is not None:
            masks["maf"] = found["maf"] >= self.maf
        if self.hwe is not None:
            masks["hwe"] = ~(found["hwe"] < self.hwe)
        return masks

    def samples(self, found: Mapping[str, Array]) -> dict[str, Array]:
        """For each threshold that is set, which samples keep to it: bool (samples,)."""
        return {} if self.mind is None else {"mind": 1 - found["call_rate"] <= self.mind + ROUNDING}


def add_up(parts: Iterable[Mapping[str, Array]]) -> dict[str, Array]:
    """The per-sample counts of several stretches of variants, pairwise in a tree.

    Of n parts about log2(n) are held at a time.

    Raises:
        ValueError: there is no part.
    """
    held: list[tuple[int, dict[str, Array]]] = []
    for part in parts:
        size, total = 1, {name: part[name] for name in part if name.startswith("sample_")}
        while held and held[-1][0] == size:
            more, before = held.pop()
            size, total = size + more, {name: before[name] + total[name] for name in total}
        held.append((size, total))
    if not held:
        raise ValueError("nothing to add up")
    whole = held.pop()[1]
    while held:
        before = held.pop()[1]
        whole = {name: before[name] + whole[name] for name in whole}
    return whole


def hwe_exact(hets: Array, homs: Array, others: Array) -> Array:
    """Exact test of Hardy-Weinberg equilibrium (Wigginton, Cutler and Abecasis 2005), two-sided.

    The p-value is the probability of all genotype counts that are at most as probable as those
    seen, given the allele counts. Equal counts are computed once.

    Args:
        hets: heterozygous calls, (n,).
        homs: homozygous calls of one allele.
        others: homozygous calls of the other.

    Returns:
        float64 (n,); NaN where there is no call.
    """
    rare_homs, common_homs = np.minimum(homs, others), np.maximum(homs, others)
    triples = np.stack([hets, rare_homs, common_homs], 1).astype(np.int64)
    distinct, places = np.unique(triples, axis=0, return_inverse=True)
    found = np.full(len(distinct), np.nan)
    rare = 2 * distinct[:, 1] + distinct[:, 0]
    order = np.argsort(rare, kind="stable")
    order = order[distinct[order].sum(1) > 0]
    start = 0
    while start < len(order):
        # Rows of similar length share a table.
        stop = start + 1
        while stop < len(order) and (stop + 1 - start) * (rare[order[stop]] // 2 + 1) <= TABLE:
            stop += 1
        chosen = order[start:stop]
        found[chosen] = _exact(distinct[chosen])
        start = stop
    answer: Array = found[places.reshape(-1)]
    return answer


def _exact(triples: Array) -> Array:
    """P-values of (het, rare hom, common hom) counts, by all het counts of equal parity."""
    hets, total = triples[:, 0], triples.sum(1)
    rare = 2 * triples[:, 1] + hets
    steps = np.arange(int(rare.max()) // 2 + 1)
    possible = 2 * steps[None] + (rare % 2)[:, None]
    valid = possible <= rare[:, None]
    possible = np.where(valid, possible, rare[:, None])
    rare_left = (rare[:, None] - possible) // 2
    common_left = total[:, None] - possible - rare_left
    # P(het) ~ 2^het / (het! rare! common!); the rest is the same for all.
    logs = possible * np.log(2) - gammaln(possible + 1)
    logs -= gammaln(rare_left + 1) + gammaln(common_left + 1)
    logs = np.where(valid, logs, -np.inf)
    chances = np.exp(logs - logs.max(1, keepdims=True))
    seen = chances[np.arange(len(triples)), (hets - rare % 2) // 2]
    least = chances <= seen[:, None] * (1 + TIE)
    answer: Array = (chances * least).sum(1) / chances.sum(1)
    return np.minimum(answer, 1.0)


def _kind(ref: str, alt: str) -> str:
    if not alt or alt == ".":
        return ""
    if len(ref) != 1 or len(alt) != 1 or ref == alt or not {ref, alt} <= set("ACGT"):
        return "other"
    pair = {ref, alt}
    return "ti" if pair <= _PURINES or pair <= _PYRIMIDINES else "tv"
