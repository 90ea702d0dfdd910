"""Which rows of which tables make one sample, cut into slices of `PIECE_ROWS` samples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from medray.errors import DataError
from medray.formats.table.sheets import Start, Survey
from medray.formats.tabular.delimited import PIECE_ROWS, fingerprint

# A row of a packed file is reached by unpacking all before it: so often at most.
MAX_SEQUENTIAL = 16


@dataclass(frozen=True)
class Slice:
    """Samples that are read together.

    Args:
        start: number of the first in its part, from 0.
        rows: table → for each sample the row it has there, or None.
        starts: table → where reading may begin.
        fingerprint: of the rows.
    """

    start: int
    rows: dict[str, list[int | None]]
    starts: dict[str, Start]
    fingerprint: str


BLANK = "blank-row"
WHY = {
    BLANK: "the row is blank",
    "no-id": "the row has no id",
    "duplicate-id": "an earlier row has its id",
    "not-in-rows": "the table of samples does not name the row's id",
}


@dataclass(frozen=True)
class LeftOver:
    """A row that makes no sample.

    Args:
        table: that it stands in.
        row: from 0.
        code: of `WHY`.
    """

    table: str
    row: int
    code: str


def join(
    surveys: Mapping[str, Survey], *, by_id: bool, leading: bool, seen: set[str]
) -> tuple[list[Slice], list[LeftOver]]:
    """Cut tables that belong together.

    Args:
        surveys: of each table.
        by_id: rows are one sample if their keys are equal, else as they come.
        leading: the first table says which samples there are; else all do, in order.
        seen: ids of the source so far; grows.

    Raises:
        DataError: tables joined by order are of several lengths ("uneven-tables").
    """
    left: list[LeftOver] = []
    if by_id:
        return _cut(surveys, _by_id(surveys, seen, left, leading=leading)), left
    counts = {survey.rows for survey in surveys.values()}
    if len(counts) > 1:
        raise DataError(
            f"tables that go row by row have {', '.join(map(str, sorted(counts)))} rows",
            code="uneven-tables",
        )
    rows = list(range(max(counts)))
    keyed = next((name for name, survey in surveys.items() if survey.keys), None)
    if keyed is not None:
        rows = list(_places(keyed, surveys[keyed], seen, left).values())
    return _cut(surveys, {name: list(rows) for name in surveys}), left


def encode(rows: Sequence[int | None]) -> dict[str, list[int | None]]:
    """Row numbers as JSON: first and last + 1 where they follow each other."""
    first = rows[0]
    if first is not None and list(rows) == list(range(first, first + len(rows))):
        return {"range": [first, first + len(rows)]}
    return {"list": list(rows)}


def decode(encoded: Mapping[str, Any]) -> list[int | None]:
    """What `encode` was given."""
    return list(range(*encoded["range"])) if "range" in encoded else list(encoded["list"])


def _by_id(
    surveys: Mapping[str, Survey], seen: set[str], left: list[LeftOver], *, leading: bool
) -> dict[str, list[int | None]]:
    before = frozenset(seen)
    places = {}
    for name, survey in surveys.items():
        mine = set(before)
        places[name] = _places(name, survey, mine, left)
        seen |= mine
    first, *others = places
    order = dict.fromkeys(places[first])
    for name in others:
        if leading:
            left += [
                LeftOver(name, row, "not-in-rows")
                for key, row in places[name].items()
                if key not in order
            ]
        else:
            order |= dict.fromkeys(places[name])
    return {name: [place.get(key) for key in order] for name, place in places.items()}


def _cut(surveys: Mapping[str, Survey], rows: Mapping[str, list[int | None]]) -> list[Slice]:
    total = len(next(iter(rows.values())))
    step = PIECE_ROWS
    if any(survey.sequential for survey in surveys.values()):
        step *= max(1, -(-total // (PIECE_ROWS * MAX_SEQUENTIAL)))
    made = []
    for start in range(0, total, step):
        chosen = {name: row[start : start + step] for name, row in rows.items()}
        pieces = {name: _pieces(part) for name, part in chosen.items()}
        digests = [
            surveys[name].digests[piece]
            for name, those in pieces.items()
            for piece in sorted(those)
        ]
        parts = [*digests, *(str(part) for part in chosen.values())]
        starts = {
            name: surveys[name].starts[min(those, default=0)] for name, those in pieces.items()
        }
        made.append(Slice(start, chosen, starts, fingerprint(parts)))
    return made


def _pieces(rows: Sequence[int | None]) -> set[int]:
    return {row // PIECE_ROWS for row in rows if row is not None}


def _places(name: str, survey: Survey, seen: set[str], left: list[LeftOver]) -> dict[str, int]:
    """The row of each key; rows without a key of their own go to `left`."""
    found: dict[str, int] = {}
    for row, key in enumerate(survey.keys):
        if key and key not in seen:
            found[key] = row
        else:
            blank = BLANK if row in survey.blank else "no-id"
            left.append(LeftOver(name, row, "duplicate-id" if key else blank))
        seen.add(key)
    return found
