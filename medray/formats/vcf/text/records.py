"""The fixed columns of records held to the specification, a column of a block at a time.

The rules are those of VCF 4.3, section 1.6.1, except where the world's files are wider and nothing
is lost by it: a contig's name may have colons and stars (HLA alleles), a value of INFO blanks.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from medray.formats.vcf.text.lines import NO_NUMBER, NUMBER, Spans, Table, bytes_of

CHROM, POS, ID, REF, ALT, QUAL, FILTER, INFO, FORMAT = range(9)
MAX_POS = 2**31 - 1
FEW = (CHROM, FILTER, FORMAT)  # columns of few different texts

_BASES = r"[ACGTNacgtn]+"
_MATE = r"[^\s,<>\[\]:]+(?::[^\s,<>\[\]:]+)*:[0-9]+"
_BRACKETS = rf"\[(?:{_MATE}|<[^\s,<>]+>(?::[0-9]+)?)\[|\](?:{_MATE}|<[^\s,<>]+>(?::[0-9]+)?)\]"
_ALLELE = (
    rf"(?:{_BASES}|\*|<[^\s,<>]+>|<\*>|\.{_BASES}|{_BASES}\.|"
    rf"(?:{_BRACKETS})(?:{_BASES}|\.)|(?:{_BASES}|\.)(?:{_BRACKETS}))"
)
_KEY = r"[A-Za-z_][0-9A-Za-z_.]*"
RULES: tuple[tuple[int, str, str], ...] = (
    (CHROM, "bad-chrom", r"^(?:<[^\s<>]+>|[^\s<>,=*][^\s<>,]*)$"),
    (ID, "bad-id", r"^[^\s;]+(?:;[^\s;]+)*$"),
    (REF, "bad-ref", rf"^{_BASES}$"),
    (ALT, "bad-alt", _ALLELE),  # of each of the alleles
    (QUAL, "bad-qual", rf"^(?:\.|\+?{NUMBER}|[-+]?{NO_NUMBER})$"),
    (FILTER, "bad-filter", r"^(?:\.|PASS|[^\s;,]+(?:;[^\s;,]+)*)$"),
    (INFO, "bad-info", r"^(?:\.|[^\s;=,]+(?:=[^;]*)?(?:;[^\s;=,]+(?:=[^;]*)?)*;?)$"),
    (FORMAT, "bad-format", rf"^(?:\.|{_KEY}(?::{_KEY})*)$"),
)
_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_"
_NAMES = bytes_of(_LETTERS + b"0123456789.-")
# Bytes of which any text of the column keeps all its rules, so that most blocks need no expression:
# Arrow compiles it for each, which takes as long as several hundred records.
PLAIN = {
    CHROM: _NAMES,
    ID: bytes_of(_LETTERS + b"0123456789.-:"),
    REF: bytes_of(b"ACGTNacgtn"),
    ALT: bytes_of(b"ACGTNacgtn"),
    QUAL: bytes_of(b"0123456789"),
    FILTER: _NAMES,
    INFO: _NAMES,
    FORMAT: bytes_of(_LETTERS),
}
REASONS = {
    "column-count": "not as many columns as the header names",
    "not-utf8": "not UTF-8",
    "bad-chrom": "CHROM is no contig's name",
    "bad-pos": "POS is no position",
    "bad-id": "ID is no list of identifiers, each once",
    "bad-ref": "REF is not of A, C, G, T and N",
    "bad-alt": "ALT is no list of alleles",
    "bad-qual": "QUAL is no number, or below 0",
    "bad-filter": "FILTER is no list of filters, each once",
    "bad-info": "INFO is no list of key=value, each key once",
    "bad-format": "FORMAT is no list of keys, each once, GT first",
    "bad-info-value": "a value of INFO is not of its field's type",
    "bad-genotype": "a GT is no genotype of the record's alleles",
    "bad-call": "a sample's values are not of their fields' types, or more than FORMAT names",
    "wrong-count": "a field has not as many values as its definition says",
    "unsorted": "before the record above it, or apart from its contig's others",
    "no-final-newline": "the file ends within it",
}


@dataclass
class Verdicts:
    """Which records of a block are refused, and why; the first reason stands.

    Args:
        size: number of records.
        allow: codes that are passed over.
        codes: of each refused record, by its place in the block.
    """

    size: int
    allow: frozenset[str]
    codes: dict[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.size

    def refuse(self, bad: np.ndarray, code: str) -> None:
        """Refuse the records where `bad`, bool (records,)."""
        if code in self.allow:
            return
        for row in np.flatnonzero(bad).tolist():
            self.codes.setdefault(row, code)

    @property
    def sound(self) -> np.ndarray:
        """Which records stand, bool (records,)."""
        stand = np.ones(self.size, bool)
        stand[list(self.codes)] = False
        return stand


@dataclass
class Order:
    """The order of the records seen so far: contigs in one piece, positions not decreasing."""

    seen: set[str]
    contig: str = ""
    position: int = -1


def check_fixed(table: Table, order: Order, allow: frozenset[str]) -> Verdicts:
    """Hold the fixed columns of a block's records to the specification.

    Args:
        table: the records.
        order: of what came before in this stretch; moved on.
        allow: codes that are passed over.
    """
    verdicts = Verdicts(len(table), allow)
    for column, code, pattern in RULES:
        if column < len(table.columns) and not _is_plain(table, column):
            verdicts.refuse(~_sound(table.columns[column], column, pattern), code)
    positions, good = table.positions
    verdicts.refuse(~good | (positions < 0) | (positions > MAX_POS), "bad-pos")
    for column, separator, code in ((ID, ";", "bad-id"), (FILTER, ";", "bad-filter")):
        _each(table, column, separator, _once(separator), verdicts, code)
    if len(table.columns) > FORMAT:
        _each(table, FORMAT, ":", _format_sound, verdicts, "bad-format")
    if "unsorted" not in allow:
        _check_order(table, positions, order, verdicts)
    return verdicts


def matches(spans: Spans, pattern: str, *, few: bool = False) -> np.ndarray:
    """Which pieces match a regular expression, bool (n,); of `few` texts each is looked at once."""
    text = spans.strings()
    encoded = text.dictionary_encode() if few else None
    distinct = text if encoded is None else encoded.dictionary
    good: np.ndarray = pc.match_substring_regex(distinct, pattern).to_numpy(zero_copy_only=False)
    return good if encoded is None else good[encoded.indices.to_numpy()]


def _is_plain(table: Table, column: int) -> bool:
    """Whether every text of a column is of its plain bytes; the first is looked at alone."""
    data, offsets = table.columns[column].joined
    first, letters = data[: offsets[1] if len(table) else 0], PLAIN[column]
    return bool(letters[first].all() and letters[data].all() and np.diff(offsets).all())


def _sound(spans: Spans, column: int, pattern: str) -> np.ndarray:
    """Which texts of a column match its pattern, bool (n,)."""
    if column != ALT:
        return matches(spans, pattern, few=column in FEW)
    parts, counts = spans.split(ord(","))
    good = parts.within(PLAIN[ALT])
    odd = np.flatnonzero(~good)
    if len(odd):
        texts = parts[odd].strings().dictionary_encode()
        known = [re.fullmatch(pattern, one, re.ASCII) for one in texts.dictionary.to_pylist()]
        good[odd] = np.array([one is not None for one in known])[texts.indices.to_numpy()]
    first = np.cumsum(counts) - counts
    whole: np.ndarray = np.logical_and.reduceat(good, first) | spans.equal(b".")
    return whole


def _each(
    table: Table,
    column: int,
    mark: str,
    sound: Callable[[str], bool],
    verdicts: Verdicts,
    code: str,
) -> None:
    """Apply a rule to each distinct text of a column that has a separator."""
    spans = table.columns[column]
    if not (spans.joined[0] == ord(mark)).any():
        return
    encoded = spans.strings().dictionary_encode()
    bad = np.array([not sound(text) for text in encoded.dictionary.to_pylist()], bool)
    verdicts.refuse(bad[encoded.indices.to_numpy()], code)


def _once(separator: str) -> Callable[[str], bool]:
    def sound(text: str) -> bool:
        parts = text.split(separator)
        lone = len(parts) > 1 and bool({".", "0"} & set(parts))
        return len(set(parts)) == len(parts) and not lone

    return sound


def _format_sound(text: str) -> bool:
    keys = text.split(":")
    return len(set(keys)) == len(keys) and "GT" not in keys[1:]


def _check_order(table: Table, positions: np.ndarray, order: Order, verdicts: Verdicts) -> None:
    rows = np.flatnonzero(verdicts.sound)
    if not len(rows):
        return
    names = table.columns[CHROM][rows].strings()
    runs = pc.run_end_encode(names)
    begin = 0
    bad = np.zeros(len(table), bool)
    ends = runs.run_ends.to_pylist()
    for name, end in zip(runs.values.to_pylist(), ends, strict=True):
        part = rows[begin:end]
        begin = end
        name = name.removeprefix("<").removesuffix(">")  # 1 and <1> are one contig
        if name != order.contig:
            if name in order.seen:
                bad[part] = True
                continue
            order.seen.add(name)
            order.contig, order.position = name, -1
        here = positions[part]
        reached = np.maximum.accumulate(np.concatenate(([order.position], here)))
        bad[part] = here < reached[:-1]
        order.position = int(reached[-1])
    verdicts.refuse(bad, "unsorted")


def text_of(spans: Spans) -> pa.Array:
    """A column as Arrow strings, "." as missing."""
    return spans.strings(spans.equal(b"."))
