"""Values of INFO and FORMAT fields as arrays, with marks of what is missing.

Missing (".") is -2**31, NaN with the bits 0x7F800001, or "."; places that a shorter list leaves
empty are -2**31 + 1, 0x7F800002, or "". Those are BCF's own. VCF Zarr stores -1 and -2 for the
integers (`calls` does), so there, and there only, a true -1 is lost.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from medray.formats.vcf.text.fields import Field
from medray.formats.vcf.text.lines import Spans
from medray.formats.vcf.text.records import matches

INT_MISSING, INT_FILL = -(2**31), -(2**31) + 1
STORED_MISSING, STORED_FILL = -1, -2
FLOAT_MISSING, FLOAT_FILL = np.array([0x7F800001, 0x7F800002], np.uint32).view(np.float32)
TEXT = np.dtypes.StringDType()
COMMA = ord(",")
PADDING = 16 * 2**20  # bytes that lists of unequal lengths may take more than their values
INT_LEAST = -(2**31) + 8  # BCF keeps the eight values below it for itself
# Reserved fields that count or measure something, and what a reserved text looks like.
COUNTS = frozenset({"AC", "AF", "AN", "DP", "END", "MQ0", "NS"})
PATTERNS = {"CIGAR": r"^(?:\.|(?:[0-9]+[MIDNSHPX=])+)$"}


@dataclass
class Lists:
    """One field where it is present, of m records or of m calls: lists, one after another.

    Args:
        values: (k,): int32, float32, texts, or bool.
        counts: how many values each has, at least 1, int64 (m,).
        bad: whose text is no value of the field's type, bool (m,).
        lone: that have the one value ".", bool (m,).
        fill: stands where a list is shorter than others.
    """

    values: np.ndarray
    counts: np.ndarray
    bad: np.ndarray
    lone: np.ndarray
    fill: Any = False

    def padded(self, rows: np.ndarray | None = None) -> np.ndarray:
        """Some lists, or all, as one array (m, n), n of the longest of them."""
        counts = self.counts if rows is None else self.counts[rows]
        width = int(counts.max(initial=1))
        first = np.cumsum(self.counts) - self.counts
        if rows is not None:
            first = first[rows]
        if width == 1:
            return self.values[:, None] if rows is None else self.values[first, None]
        owner = np.repeat(np.arange(len(counts)), counts)
        place = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
        # NaNs keep their bits: types are equal.
        out = np.full((len(counts), width), self.fill, self.values.dtype)
        out[owner, place] = self.values if rows is None else self.values[first[owner] + place]
        return out


def alike(widths: np.ndarray, unit: int) -> list[np.ndarray | None]:
    """Sets of rows whose lists are padded together; None stands for all of them.

    One list of 5,000 values among 100,000 of three would cost 4 GB; in sets of lengths within a
    factor of two padding costs at most as much as the values. Where it costs little, there is one.

    Args:
        widths: longest list of each row, int64 (rows,).
        unit: bytes that a value of each list of a row takes.
    """
    whole = int(widths.max(initial=1)) * len(widths) * unit
    if whole <= max(PADDING, 2 * unit * int(widths.sum())):
        return [None]
    classes = np.ceil(np.log2(np.maximum(widths, 1))).astype(np.int64)
    return [np.flatnonzero(classes == one) for one in np.unique(classes)]


def marks_of(kind: str) -> tuple[Any, Any, np.dtype[Any]]:
    """Missing, fill and type in memory of a field's type (see `header.TYPES`)."""
    if kind == "Integer":
        return INT_MISSING, INT_FILL, np.dtype(np.int32)
    if kind == "Float":
        return FLOAT_MISSING, FLOAT_FILL, np.dtype(np.float32)
    if kind == "Flag":
        return False, False, np.dtype(bool)
    return ".", "", TEXT


def bits_of(values: np.ndarray) -> np.ndarray:
    """Values to compare with their marks: floats by their bits, since a NaN equals none."""
    return values.view(np.int32) if values.dtype.kind == "f" else values


def lists_of(spans: Spans, definition: Field) -> Lists:
    """Read the texts of one field, (m,)."""
    _, fill, _ = marks_of(definition.type)
    # An empty field is a list of no values (VCF 4.5); what it says is what "." says.
    parts, many = spans.split(COMMA)
    empty = parts.lengths == 0
    dots = parts.equal(b".") | empty
    owner = np.repeat(np.arange(len(spans)), many)
    first = np.cumsum(many) - many
    values, sound = READERS[definition.type](parts, dots)
    sound &= ~(empty & (many[owner] > 1))
    if definition.name in COUNTS and definition.type in ("Integer", "Float"):
        sound &= dots | ~(values < 0)
    if definition.name in PATTERNS:
        sound &= matches(parts, PATTERNS[definition.name])
    bad = np.zeros(len(spans), bool)
    bad[owner[~sound]] = True
    return Lists(values, many, bad, (many == 1) & dots[first], fill)


def _integers(parts: Spans, dots: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    values, good = parts.integers()
    good &= (values >= INT_LEAST) & (values < 2**31)
    return np.where(good, values, INT_MISSING).astype(np.int32), good | dots


def _floats(parts: Spans, dots: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    values, good = parts.floats()
    with np.errstate(over="ignore"):
        out = values.astype(np.float32)
    out[~good] = FLOAT_MISSING
    return out, good | dots


def _texts(parts: Spans, dots: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    values = texts_of(parts)
    values[dots] = "."
    return values, np.ones(len(parts), bool)


def _characters(parts: Spans, dots: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    values, _ = _texts(parts, dots)
    # One letter, which may take several bytes, or an escape such as %3A.
    return values, dots | matches(parts, r"^(?:.|%[0-9A-Fa-f]{2})$")


def texts_of(spans: Spans) -> np.ndarray:
    """The pieces as texts, StringDType (n,); each distinct one is made once."""
    encoded = spans.strings().dictionary_encode()
    if not len(encoded):
        return np.zeros(0, TEXT)
    distinct: np.ndarray = np.array(encoded.dictionary.to_pylist(), TEXT)
    texts: np.ndarray = distinct[encoded.indices.to_numpy()]
    return texts


READERS: dict[str, Callable[[Spans, np.ndarray], tuple[np.ndarray, np.ndarray]]] = {
    "Integer": _integers,
    "Float": _floats,
    "String": _texts,
    "Character": _characters,
}


def expected(number: str, alts: np.ndarray, ploidy: np.ndarray) -> np.ndarray | None:
    """How many values a field must have, int64; None where any number is right.

    Args:
        number: as defined.
        alts: the record's number of ALTs, at each place.
        ploidy: of the genotype, at each place.
    """
    if number == "A":
        return alts
    if number == "R":
        return alts + 1
    if number == "G":
        # Multisets of `ploidy` out of alts + 1 alleles: C(alts + ploidy, ploidy).
        total = np.ones(len(alts), np.float64)
        for at in range(1, int(ploidy.max(initial=1)) + 1):
            total = np.where(at <= ploidy, total * (alts + at) / at, total)
        return np.rint(total).astype(np.int64)
    if number.isdecimal() and int(number) > 0:
        return np.full(len(alts), int(number))
    return None
