"""GT of many samples at once: alleles, phase, ploidy."""

from dataclasses import dataclass

import numpy as np

from medray.formats.vcf.text.lines import Spans

PIPE, SLASH, DOT, ZERO = ord("|"), ord("/"), ord("."), ord("0")
MAX_PLOIDY = 64


@dataclass
class Genotypes:
    """Genotypes of a block.

    Args:
        alleles: int32 (calls, ploidy): -1 missing, -2 where a call has less alleles than others.
        phased: bool (calls,): no "/" in it, so also every haploid call.
        ploidy: of each call, int64 (calls,).
        bad: calls that are no genotype, bool (calls,).
    """

    alleles: np.ndarray
    phased: np.ndarray
    ploidy: np.ndarray
    bad: np.ndarray


def genotypes_of(texts: Spans) -> Genotypes:
    """Read GT texts such as 0|1, ./., 1 and 0/1/2; empty ones count as "."."""
    size = len(texts)
    diploid = texts.lengths == 3
    places = texts.starts[diploid]
    first, mark, second = (texts.buffer[places + at] for at in range(3))
    plain = _single(first) & _single(second) & ((mark == PIPE) | (mark == SLASH))
    if plain.all() and diploid.all():
        alleles = np.stack([_allele(first), _allele(second)], axis=1)
        return Genotypes(alleles, mark == PIPE, np.full(size, 2), np.zeros(size, bool))
    rows = np.flatnonzero(diploid)[plain]
    rest = np.ones(size, bool)
    rest[rows] = False
    other = _any(texts[rest])
    out = Genotypes(
        np.full((size, max(2 if len(rows) else 1, other.alleles.shape[1])), -2, np.int32),
        np.zeros(size, bool),
        np.full(size, 2),
        np.zeros(size, bool),
    )
    if len(rows):
        out.alleles[rows, 0] = _allele(first[plain])
        out.alleles[rows, 1] = _allele(second[plain])
    out.phased[rows] = mark[plain] == PIPE
    where = np.flatnonzero(rest)
    out.alleles[where, : other.alleles.shape[1]] = other.alleles
    out.phased[where], out.ploidy[where], out.bad[where] = other.phased, other.ploidy, other.bad
    return out


def _single(byte: np.ndarray) -> np.ndarray:
    single: np.ndarray = ((byte >= ZERO) & (byte <= ZERO + 9)) | (byte == DOT)
    return single


def _allele(byte: np.ndarray) -> np.ndarray:
    return np.where(byte == DOT, -1, byte.astype(np.int32) - ZERO).astype(np.int32)


def _any(texts: Spans) -> Genotypes:
    """Genotypes of any ploidy."""
    data, offsets = texts.joined
    slashes = np.concatenate(([0], np.cumsum(data == SLASH)))
    phased = slashes[offsets[1:]] == slashes[offsets[:-1]]
    starts, stops = offsets[:-1].copy(), offsets[1:]
    # VCF 4.4: a leading mark says how the first allele is phased.
    leading = (stops > starts) & np.isin(
        data[np.minimum(starts, max(0, len(data) - 1))]
        if len(data)
        else np.zeros(len(starts), np.uint8),
        (PIPE, SLASH),
    )
    starts += leading
    clean = np.where(data == SLASH, PIPE, data).astype(np.uint8)
    parts, ploidy = Spans(clean, starts, stops).split(PIPE)
    owner = np.repeat(np.arange(len(texts)), ploidy)
    values, good = parts.integers()
    empty = (parts.lengths == 0) & (ploidy[owner] == 1) & ~leading[owner]
    missing = parts.equal(b".") | empty
    good &= (values >= 0) & (values < 2**15) & (parts.lengths < 6)
    bad = np.zeros(len(texts), bool)
    bad[owner[~good & ~missing]] = True
    bad |= ploidy > MAX_PLOIDY
    width = int(min(ploidy.max(initial=1), MAX_PLOIDY))
    alleles = np.full((len(texts), width), -2, np.int32)
    rank = np.arange(len(owner)) - np.repeat(np.cumsum(ploidy) - ploidy, ploidy)
    within = rank < width
    kept = np.where(good & ~missing, values, -1)
    alleles[owner[within], rank[within]] = kept[within]
    return Genotypes(alleles, phased, ploidy, bad)
