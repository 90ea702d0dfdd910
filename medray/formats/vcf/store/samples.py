"""The samples' columns of a block: genotypes, and one array per FORMAT field."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from medray.formats.vcf.text.fields import RESERVED, Field
from medray.formats.vcf.text.genotypes import genotypes_of
from medray.formats.vcf.text.header import Header
from medray.formats.vcf.text.info import Present, alts_of
from medray.formats.vcf.text.lines import Spans, Table
from medray.formats.vcf.text.records import FORMAT, Verdicts
from medray.formats.vcf.text.values import Lists, alike, expected, lists_of

COLON = ord(":")


@dataclass(frozen=True)
class Called:
    """Genotypes of those records that have GT.

    Args:
        rows: the records, int64 (m,).
        alleles: int8 or int16 (m, samples, ploidy).
        phased: bool (m, samples).
    """

    rows: np.ndarray
    alleles: np.ndarray
    phased: np.ndarray

    def kept(self, sound: np.ndarray, place: np.ndarray) -> "Called":
        """The same without the records that are refused, whose others have new places."""
        kept = sound[self.rows]
        if kept.all():
            return Called(place[self.rows], self.alleles, self.phased)
        alleles = _trimmed(self.alleles[kept])
        return Called(place[self.rows[kept]], alleles, self.phased[kept])

    def reaches(self, start: int, stop: int) -> bool:
        """Whether it is of records from `start` to before `stop`."""
        return bool(len(self.rows)) and int(self.rows[0]) < stop and int(self.rows[-1]) >= start

    def within(self, start: int, stop: int) -> "Called":
        """The same of the records from `start` to before `stop`, which begin at 0."""
        first, last = np.searchsorted(self.rows, (start, stop))
        alleles = _trimmed(self.alleles[first:last])
        return Called(self.rows[first:last] - start, alleles, self.phased[first:last])


def _trimmed(alleles: np.ndarray) -> np.ndarray:
    used = np.flatnonzero((alleles != -2).any(axis=(0, 1)))
    return alleles[..., : int(used[-1]) + 1 if len(used) else 1]


def calls_of(
    table: Table, header: Header, wanted: Callable[[str], bool], verdicts: Verdicts
) -> tuple[list[Called], list[Present]]:
    """Genotypes and FORMAT fields; a field comes once for each FORMAT that has it.

    Fields that the header does not define are read as the specification's reserved ones, else as
    texts. Records whose calls are not what FORMAT, the definitions and the alleles allow are
    refused in `verdicts`; fields that are not wanted are not looked at.

    Args:
        table: the records.
        header: of the file.
        wanted: which names are.
        verdicts: on the records.
    """
    called: list[Called] = []
    fields: list[Present] = []
    if not len(table) or not header.samples:
        return called, fields
    formats = table.columns[FORMAT].strings().dictionary_encode()
    codes, alts = formats.indices.to_numpy(), alts_of(table)
    for code, text in enumerate(formats.dictionary.to_pylist()):
        if text == ".":
            continue
        rows = np.flatnonzero(codes == code)
        keys = list(enumerate(text.split(":")))
        chosen = [(at, key) for at, key in keys if wanted(key)]
        tokens = _tokens(table[rows])
        size = len(header.samples)
        pieces, extra = _pieces(tokens, len(keys), chosen)
        _refuse(verdicts, rows, extra, size, "bad-call")
        ploidy = np.full(len(tokens), 2)
        unsaid = np.zeros(len(tokens), bool)  # a lone "." stands for calls of any ploidy
        here = np.repeat(alts[rows], size)
        for at, key in chosen:
            if key == "GT":
                found = genotypes_of(pieces[at])
                ploidy = found.ploidy
                unsaid = (ploidy == 1) & (found.alleles[:, 0] == -1)
                # Where ALT is ".", some write the allele that was asked for as 1.
                beyond = found.alleles > np.maximum(here, 1)[:, None]
                bad = found.bad | beyond.any(axis=1)
                _refuse(verdicts, rows, bad, size, "bad-genotype")
                small = np.int8 if found.alleles.max(initial=0) < 128 else np.int16
                alleles = found.alleles.astype(small).reshape(len(rows), size, -1)
                called.append(Called(rows, alleles, found.phased.reshape(len(rows), size)))
                continue
            definition = _definition(header, key)
            field = lists_of(pieces[at], definition)
            bad, wrong = _checked(definition, field, here, ploidy, unsaid)
            _refuse(verdicts, rows, bad, size, "bad-call")
            _refuse(verdicts, rows, wrong, size, "wrong-count")
            longest = field.counts.reshape(len(rows), size).max(axis=1)
            for some in alike(longest, size * field.values.itemsize):
                if some is None:
                    values = field.padded().reshape(len(rows), size, -1)
                    fields.append(Present(definition, rows, values))
                else:
                    calls = (some[:, None] * size + np.arange(size)).reshape(-1)
                    values = field.padded(calls).reshape(len(some), size, -1)
                    fields.append(Present(definition, rows[some], values))
    return called, fields


def _tokens(table: Table) -> Spans:
    """Each sample's text, record by record, (records * samples,)."""
    starts = np.concatenate((table.calls.starts[:, None], table.tabs + 1), axis=1)
    stops = np.concatenate((table.tabs, table.calls.stops[:, None]), axis=1)
    return Spans(table.calls.buffer, starts.reshape(-1), stops.reshape(-1))


def _pieces(
    tokens: Spans, keys: int, chosen: list[tuple[int, str]]
) -> tuple[dict[int, Spans], np.ndarray]:
    """Each chosen key's text in every token, empty where it is left out; and who has too many."""
    if keys == 1 and not (tokens.joined[0] == COLON).any():
        return {0: tokens}, np.zeros(len(tokens), bool)
    parts, many = tokens.split(COLON)
    first = np.cumsum(many) - many
    pieces: dict[int, Spans] = {}
    for at, _ in chosen:
        there = many > at
        place = np.where(there, first + at, 0)
        stops = np.where(there, parts.stops[place], parts.starts[place])
        pieces[at] = Spans(parts.buffer, parts.starts[place], stops)
    return pieces, many > keys


def _definition(header: Header, key: str) -> Field:
    if key in header.format:
        return header.format[key]
    number, kind = RESERVED["FORMAT"].get(key, (".", "String"))
    return Field("FORMAT", key, number, kind)


def _checked(
    definition: Field, field: Lists, alts: np.ndarray, ploidy: np.ndarray, unsaid: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Which calls have a value of another type, and which another number of them."""
    none = np.zeros(len(field.bad), bool)
    if definition.type in ("String", "Character") and definition.number.isdecimal():
        return field.bad, none
    count = expected(definition.number, alts, ploidy)
    if count is None:
        return field.bad, none
    right = field.counts == count
    if definition.number == "G" and unsaid.any():
        right |= unsaid & (field.counts == expected("G", alts, np.full(len(alts), 2)))
    return field.bad, ~field.lone & ~right & (alts > 0)


def _refuse(verdicts: Verdicts, rows: np.ndarray, bad: np.ndarray, size: int, code: str) -> None:
    if not bad.any():
        return
    out = np.zeros(len(verdicts), bool)
    out[rows] = bad.reshape(len(rows), size).any(axis=1)
    verdicts.refuse(out, code)
