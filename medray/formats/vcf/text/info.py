"""The INFO column of a block as one array per field."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from medray.formats.vcf.text.fields import RESERVED, Field
from medray.formats.vcf.text.header import Header
from medray.formats.vcf.text.lines import Spans, Table
from medray.formats.vcf.text.records import ALT, INFO, Verdicts
from medray.formats.vcf.text.values import Lists, alike, bits_of, expected, lists_of, marks_of

EQUALS, SEMICOLON, COMMA = ord("="), ord(";"), ord(",")


@dataclass(frozen=True)
class Present:
    """One field in those records that have it.

    Args:
        definition: of the field.
        rows: the records, int64 (m,).
        values: INFO: (m, n). FORMAT: (m, samples, n).
    """

    definition: Field
    rows: np.ndarray
    values: np.ndarray

    def kept(self, sound: np.ndarray, place: np.ndarray) -> "Present":
        """The same without the records that are refused, whose others have new places."""
        kept = sound[self.rows]
        if kept.all():
            return Present(self.definition, place[self.rows], self.values)
        return Present(self.definition, place[self.rows[kept]], self._trimmed(self.values[kept]))

    def reaches(self, start: int, stop: int) -> bool:
        """Whether it is of records from `start` to before `stop`."""
        return bool(len(self.rows)) and int(self.rows[0]) < stop and int(self.rows[-1]) >= start

    def within(self, start: int, stop: int) -> "Present":
        """The same of the records from `start` to before `stop`, which begin at 0."""
        first, last = np.searchsorted(self.rows, (start, stop))
        if last - first == len(self.rows):
            return Present(self.definition, self.rows - start, self.values)
        rows = self.rows[first:last] - start
        return Present(self.definition, rows, self._trimmed(self.values[first:last]))

    def _trimmed(self, values: np.ndarray) -> np.ndarray:
        _, fill, _ = marks_of(self.definition.type)
        empty = bits_of(values) == bits_of(np.array(fill, values.dtype))
        used = np.flatnonzero(~empty.all(axis=tuple(range(values.ndim - 1))))
        return values[..., : int(used[-1]) + 1 if len(used) else 1]


def info_of(
    table: Table, header: Header, wanted: Callable[[str], bool], verdicts: Verdicts
) -> dict[str, list[Present]]:
    """Every INFO field that stands in the records, and is wanted, by name.

    A field comes in several parts where some of its lists are far longer than others.

    Fields that the header does not define are read as the specification's reserved ones, else as
    texts, so that nothing is lost. Records whose values are not of the field's type or number are
    refused in `verdicts`.

    Args:
        table: the records.
        header: of the file.
        wanted: which names are.
        verdicts: on the records.
    """
    if not len(table):
        return {}
    records = np.flatnonzero(~table.columns[INFO].equal(b"."))
    entries, counts = table.columns[INFO][records].split(SEMICOLON)
    owner = np.repeat(records, counts)
    filled = entries.lengths > 0
    entries, owner = entries[filled], owner[filled]
    keys, values, valued = _halves(entries)
    names = keys.strings().dictionary_encode()
    codes = names.indices.to_numpy()
    order = np.argsort(codes, kind="stable")
    bounds = np.searchsorted(codes[order], np.arange(len(names.dictionary) + 1))
    alts = alts_of(table)
    found: dict[str, list[Present]] = {}
    for code, name in enumerate(names.dictionary.to_pylist()):
        rows = order[bounds[code] : bounds[code + 1]]
        places = owner[rows]
        again = np.concatenate(([False], places[1:] == places[:-1]))
        _refuse(verdicts, places[again], "bad-info")
        rows, places = rows[~again], places[~again]
        if not wanted(name):
            continue
        definition = definition_of(header, name, has_values=bool(valued[rows].any()))
        if definition.type == "Flag":
            field = _flag(values[rows], valued[rows])
        else:
            rows, places = rows[valued[rows]], places[valued[rows]]
            field = lists_of(values[rows], definition)
        _check(definition, field, places, alts[places], verdicts)
        given = np.flatnonzero(~field.lone)
        sets = alike(field.counts[given], field.values.itemsize)
        chosen = [given if some is None else given[some] for some in sets]
        found[name] = [Present(definition, places[some], field.padded(some)) for some in chosen]
    return found


def definition_of(header: Header, name: str, *, has_values: bool) -> Field:
    """The header's definition of an INFO field, or the specification's, or a text."""
    if name in header.info:
        return header.info[name]
    reserved = RESERVED["INFO"].get(name)
    if reserved is not None:
        return Field("INFO", name, reserved[0], reserved[1] or "Float")
    return Field("INFO", name, "." if has_values else "0", "String" if has_values else "Flag")


def alts_of(table: Table) -> np.ndarray:
    """Number of ALT alleles of each record, int64 (records,); 0 where it is "."."""
    alts = table.columns[ALT]
    data, offsets = alts.joined
    commas = np.concatenate(([0], np.cumsum(data == COMMA)))
    count: np.ndarray = commas[offsets[1:]] - commas[offsets[:-1]] + 1
    count[alts.equal(b".")] = 0
    return count


def _halves(entries: Spans) -> tuple[Spans, Spans, np.ndarray]:
    """Key, value, and whether there is a value, of each key=value."""
    data, offsets = entries.joined
    marks = np.flatnonzero(data == EQUALS)
    marks = np.append(marks, len(data))
    first = marks[np.searchsorted(marks, offsets[:-1])]
    valued = first < offsets[1:]
    stop = np.where(valued, first, offsets[1:])
    start = np.where(valued, first + 1, offsets[1:])
    return Spans(data, offsets[:-1], stop), Spans(data, start, offsets[1:]), valued


def _flag(values: Spans, valued: np.ndarray) -> Lists:
    ones = np.ones(len(values), np.int64)
    off = valued & values.equal(b"0")
    bad = valued & ~off & ~values.equal(b"1")
    return Lists(~off, ones, bad, np.zeros(len(values), bool))


def _check(
    definition: Field, field: Lists, places: np.ndarray, alts: np.ndarray, verdicts: Verdicts
) -> None:
    _refuse(verdicts, places[field.bad], "bad-info-value")
    text = definition.type in ("String", "Character")
    if (
        definition.type == "Flag"
        or definition.number == "G"
        or (
            # G means nothing without a genotype. Commas in texts of Number=1 lose nothing.
            text and definition.number.isdecimal() and definition.name not in RESERVED["INFO"]
        )
    ):
        return
    count = expected(definition.number, alts, np.full(len(alts), 2))
    if count is not None:
        # Without ALT (".") tools count none or one.
        wrong = ~field.lone & (field.counts != count) & (alts > 0)
        _refuse(verdicts, places[wrong], "wrong-count")


def _refuse(verdicts: Verdicts, rows: np.ndarray, code: str) -> None:
    bad = np.zeros(len(verdicts), bool)
    bad[rows] = True
    verdicts.refuse(bad, code)
