"""Rules of a mapping at work: rows of a table become events, all rows of a stretch at once."""

import re
from collections.abc import Mapping as Columns
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from medray.errors import DataError
from medray.formats.ehr.mapping import EventRule, TableRule, When, fields_of, is_date, pieces_of
from medray.formats.ehr.tables import Bad, rounded
from medray.formats.events.columns import BIRTH, NEVER, Events
from medray.formats.events.times import MICROSECONDS, duration, moment, moments, numbers, over

_DIGITS = r"\d+(?:[.,' ]\d+)*"  # with what may part thousands
_COMPARED = re.compile(rf"(?:[<>]=?|[≤≥])?\s*-?{_DIGITS}|{_DIGITS}\s*[-:/]\s*{_DIGITS}")
MOST = 1000 * MICROSECONDS["year"]  # between a time and what it is counted from
NO_CODE, NO_TIME, NO_NUMBER = "no code", "no time", "no number"
NOT_ASKED = "no such values"


@dataclass(frozen=True)
class Written:
    """How a source writes values.

    Args:
        form: of times, as of strptime, where a rule has none; empty: ISO 8601.
        decimal: point or comma of numbers.
    """

    form: str = ""
    decimal: str = "."


@dataclass(frozen=True)
class Made:
    """What rows made.

    Args:
        events: of all rows, those of a rule together.
        of_row: position in the stretch of the row of each event, int64 (events,).
        dropped: why a row made no event; "" of one that made some or is bad, (rows,).
        unread: how many events of a row have no number though something stands there, (rows,).
        sound: which rows are not bad, bool (rows,).
        bad: the others: nothing is taken of them.
    """

    events: Events
    of_row: np.ndarray
    dropped: np.ndarray
    unread: np.ndarray
    sound: np.ndarray
    bad: Sequence[Bad]


def made_of(
    rule: TableRule,
    columns: Columns[str, pa.StringArray],
    rows: np.ndarray,
    table: int,
    how: Written,
    lacks: Columns[str, np.ndarray],
) -> Made:
    """Events of rows.

    Args:
        rule: of their table.
        columns: texts by name, joined ones among them, None where nothing stands.
        rows: numbers of the rows, int64 (rows,).
        table: its number.
        how: they are written.
        lacks: whose key is not in a table that is joined, by the key's column, bool (rows,).
    """
    count = len(rows)
    faults = np.full(count, "", object)
    for column, missing in lacks.items():
        _note(faults, missing, f"no-such-key {column}")
    _note(faults, _missing(columns[rule.subject]), "no-subject")
    _note(faults, rounded(columns[rule.subject]), f"float-id {rule.subject}")
    for by in rule.join.values():
        _note(faults, rounded(columns[by]), f"float-id {by}")
    reasons = np.full(count, "", object)
    parts: list[Events] = []
    places: list[np.ndarray] = []
    unread = np.zeros(count, np.int64)
    for event in rule.events:
        one, at, lost = _events(event, columns, rows, table, how, faults, reasons)
        unread += np.bincount(at, lost, count).astype(np.int64)
        parts.append(one)
        places.append(at)
    events, of_row = Events.joined(parts), np.concatenate(places)
    sound = faults[of_row] == ""
    events, of_row = events.take(np.flatnonzero(sound)), of_row[sound]
    reasons[faults != ""] = ""
    reasons[of_row] = ""
    bad = [Bad(int(rows[at]), _fault(str(faults[at]))) for at in np.flatnonzero(faults != "")]
    return Made(events, of_row, reasons, unread, faults == "", bad)


def _events(
    rule: EventRule,
    columns: Columns[str, pa.StringArray],
    rows: np.ndarray,
    table: int,
    how: Written,
    faults: np.ndarray,
    reasons: np.ndarray,
) -> tuple[Events, np.ndarray, np.ndarray]:
    """Events of one rule, the position of the row of each, and whether its number is not read."""
    wanted = np.ones(len(rows), bool)
    for column, values in rule.where.items():
        given = pa.array([values] if isinstance(values, str) else values, pa.string())
        wanted &= pc.is_in(columns[column], value_set=given).to_numpy(zero_copy_only=False)
    reasons[~wanted & (reasons == "")] = NOT_ASKED
    times, blank = _times(rule.time, columns, len(rows), how, faults, wanted)
    reasons[wanted & blank & (reasons == "")] = NO_TIME
    if rule.number is not None and not fields_of(rule.code):
        # Of a table with a column for each thing that is measured: nothing was.
        unmeasured = _missing(columns[rule.number])
        reasons[wanted & unmeasured & (reasons == "")] = NO_NUMBER
        blank = blank | unmeasured
    at = np.flatnonzero(wanted & ~blank)
    codes = _filled(rule.code, columns).take(pa.array(at))
    coded = codes.is_valid().to_numpy(zero_copy_only=False)
    reasons[at[~coded]] = np.where(reasons[at[~coded]] == "", NO_CODE, reasons[at[~coded]])
    at, codes = at[coded], codes.drop_null()
    if rule.split:
        at, codes = _parted(rule, at, codes)
    if rule.vocabularies:
        codes = _named(rule.vocabularies, codes)
    available = times if rule.code == BIRTH else _over(rule.time, columns, times, how)
    for one in reversed(rule.available):
        known, unknown = _times(one, columns, len(rows), how, faults, wanted)
        known = _over(one, columns, known, how)
        available = np.maximum(np.where(unknown, available, known), times)
    where = pa.array(at)
    value, number, unread = _numbers(rule, columns, where, how)
    unit = pa.array([""] * len(at), pa.string())
    if rule.unit is not None:
        unit = pc.fill_null(_filled(rule.unit, columns).take(where), "")
    words = unit.slice(0, 0)
    if rule.text is not None:
        words = pc.fill_null(columns[rule.text].take(where), "")
    events = Events(
        time=times[at],
        available_at=available[at],
        numeric_value=value,
        origin=np.full(len(at), table, np.int16),
        row=rows[at],
        code=codes,
        unit=unit,
        number=number,
        words=words if len(words) else pa.array([""] * len(at), pa.string()),
    )
    return events, at, unread


def _times(
    when: When | str,
    columns: Columns[str, pa.StringArray],
    count: int,
    how: Written,
    faults: np.ndarray,
    wanted: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Times of rows, and which have none; what can't be read is a fault of its row."""
    if isinstance(when, str):  # static
        return np.full(count, NEVER, np.int64), np.zeros(count, bool)
    form = when.format or how.form
    cells = _filled(when.column, columns) if "{" in when.column else columns[when.column]
    if when.unit is None:
        read = moments(cells, form)
        values, blank = read.values.copy(), _missing(cells)
        _note(faults, read.bad & wanted, f"bad-time {when.column}")
    else:
        steps = numbers(_replaced(cells, when.values, how))
        if is_date(when.since):
            since, none = np.full(count, moment(when.since), np.int64), np.zeros(count, bool)
        else:
            start = moments(columns[when.since], form)
            since, none = start.values, _missing(columns[when.since])
            _note(faults, start.bad & wanted, f"bad-time {when.since}")
        far = np.abs(np.nan_to_num(steps.values)) > MOST / MICROSECONDS[when.unit]
        _note(faults, (steps.bad | far) & wanted, f"bad-number {when.column}")
        blank = _missing(cells) | none
        moved = np.where(far, 0, np.nan_to_num(steps.values)) * MICROSECONDS[when.unit]
        values = since + np.rint(moved).astype(np.int64) * (-1 if when.back else 1)
    values[blank] = NEVER
    if when.plus is not None:
        values[~blank] += duration(when.plus)
    return values, blank | (faults != "")


def _over(
    when: When | str, columns: Columns[str, pa.StringArray], times: np.ndarray, how: Written
) -> np.ndarray:
    """When times are over that are read as they stand: those counted from others are, at once."""
    if isinstance(when, str) or when.unit is not None or when.plus is not None:
        return times
    cells = _filled(when.column, columns) if "{" in when.column else columns[when.column]
    return over(cells, times, when.format or how.form)


def _numbers(
    rule: EventRule, columns: Columns[str, pa.StringArray], where: pa.Array, how: Written
) -> tuple[np.ndarray, pa.StringArray, np.ndarray]:
    """Numbers of events, their texts where float32 would change them or they are none, and where
    something stands that is none."""
    if rule.number is None:
        blank = pa.array([""] * len(where), pa.string())
        return np.full(len(where), np.nan), blank, np.zeros(len(where), bool)
    cells = _replaced(columns[rule.number].take(where), rule.values, how)
    read = numbers(cells)
    with np.errstate(over="ignore"):
        single = read.values.astype(np.float32).astype(np.float64)
    changed = np.isfinite(read.values) & (single != read.values)
    texts = np.full(len(where), "", object)
    for at in np.flatnonzero(changed | read.bad):
        cell = cells[int(at)].as_py()
        if changed[at] or _COMPARED.fullmatch(cell):  # other words may be anything
            texts[at] = cell
    return read.values, pa.array(texts, pa.string()), read.bad


def _replaced(cells: pa.StringArray, values: Columns[str, float], how: Written) -> pa.StringArray:
    """Numbers with a decimal point, and those that some texts stand for."""
    known = cells.dictionary_encode()
    stand = {text: repr(value) for text, value in values.items()}
    # Where a comma is the decimal point, a point is none: 2.000 is two thousand, or a mistake.
    turn = str.maketrans(".,", ",.") if how.decimal == "," else {}
    made = [stand.get(text, text.translate(turn)) for text in known.dictionary.to_pylist()]
    return pa.array(made, pa.string()).take(known.indices)


def _filled(template: str, columns: Columns[str, pa.StringArray]) -> pa.StringArray:
    """A text with {columns} in it, of each row; None where a column is blank."""
    parts: list[pa.StringArray | pa.Scalar] = []
    for words, column in pieces_of(template):
        if words:
            parts.append(pa.scalar(words))
        if column:
            parts.append(columns[column])
    if all(isinstance(part, pa.Scalar) for part in parts):
        count = len(next(iter(columns.values())))
        return pa.array([template] * count, pa.string())
    return pc.binary_join_element_wise(*parts, "")


def _parted(
    rule: EventRule, at: np.ndarray, codes: pa.StringArray
) -> tuple[np.ndarray, pa.StringArray]:
    """Several codes of a cell, each an event of its own."""
    ((before, _), (behind, _)) = pieces_of(rule.code)
    places, made = [], []
    for place, code in zip(at.tolist(), codes.to_pylist(), strict=True):
        inner = code[len(before) : len(code) - len(behind)]
        for one in dict.fromkeys(map(str.strip, inner.split(rule.split))):
            if one:
                places.append(place)
                made.append(f"{before}{one}{behind}")
    return np.array(places, np.int64), pa.array(made, pa.string())


def _named(vocabularies: Columns[str, str], codes: pa.StringArray) -> pa.StringArray:
    """Codes, each with the vocabulary before // that its other part is of; UNKNOWN where none."""
    known = codes.dictionary_encode()
    texts = known.dictionary.to_pylist()
    inner = pa.array([text.rpartition("//")[2] for text in texts], pa.string())
    names = np.full(len(texts), "UNKNOWN", object)
    for name, pattern in reversed(list(vocabularies.items())):
        fits = pc.match_substring_regex(inner, f"^(?:{pattern})$")
        names[fits.to_numpy(zero_copy_only=False)] = name
    made = [f"{name}//{one}" for name, one in zip(names, inner.to_pylist(), strict=True)]
    return pa.array(made, pa.string()).take(known.indices)


def _missing(cells: pa.StringArray) -> np.ndarray:
    found: np.ndarray = cells.is_null().to_numpy(zero_copy_only=False)
    return found


def _note(faults: np.ndarray, bad: np.ndarray, what: str) -> None:
    """What is wrong with rows, unless something is already."""
    faults[bad & (faults == "")] = what


def _fault(what: str) -> DataError:
    code, _, column = what.partition(" ")
    said = {
        "no-subject": "the row names no subject",
        "no-such-key": f"the row's key in {column!r} is not in the table that is joined",
        "bad-time": f"column {column!r} holds no time",
        "float-id": f"the id in {column!r} was rounded (1.2E+15): two may have become one",
        "bad-number": f"column {column!r} holds no number that a time is so many units of",
    }
    return DataError(said[code], code=code)
