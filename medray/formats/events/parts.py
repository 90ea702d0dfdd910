"""What one input of a format says, by subject: rows of a dataset, and what became of its source."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from medray.formats.events.columns import NEVER, Events, ordered
from medray.formats.events.times import MICROSECONDS
from medray.formats.signal.deidentify import Pseudonyms
from medray.storage.shards.rows import Rows

PART_COLUMNS = ("subject", "order", "told")
"""Of a row besides its id: whose events they are, by what rows are sorted, and a JSON text: name of
a table → [rows read, events made, {why a row made none, or UNREAD: how many}]."""
UNREAD = "number not read"  # of events, where a cell has something else


@dataclass(frozen=True)
class Accounted:
    """Rows of a source, each of which names a subject.

    Args:
        subjects: whose it is, by row.
        tables: name of the table that it stands in, by row.
        dropped: why it made no event, by row; empty of one that made some.
        unread: how many of its events have no number, though something stands there, by row.
    """

    subjects: pa.StringArray
    tables: Sequence[str]
    dropped: Sequence[str]
    unread: np.ndarray | None = None


def parts_of(
    source: Accounted,
    events: Events,
    of_row: np.ndarray,
    *,
    key: str,
    pseudonyms: Pseudonyms,
    keep_text: bool,
) -> Rows | None:
    """A row for each subject with its events in order of time; None where there is no subject.

    Ids of subjects leave as pseudonyms, and all times of a subject are shifted by as many days.

    Args:
        source: every row that is accounted for here.
        events: that they made.
        of_row: which row made each, int64 (events,).
        key: of the input.
        pseudonyms: how ids leave.
        keep_text: whether words stay.
    """
    known = source.subjects.dictionary_encode()
    given = known.dictionary.to_pylist()
    if not given:
        return None
    leaving = [pseudonyms.name("subject", one) for one in given]
    order = ordered(leaving)
    by_order = np.lexsort((np.array(leaving, object), order))
    place = np.empty(len(given), np.int64)
    place[by_order] = np.arange(len(given))
    of_subject = place[known.indices.to_numpy(zero_copy_only=False)]
    owners = of_subject[of_row]
    at = np.lexsort((events.available_at, events.time, owners))
    made, owners = events.take(at), owners[at]
    days = np.array([pseudonyms.days(one) for one in given], np.int64)[by_order]
    shift = days[owners] * MICROSECONDS["day"]
    blank = pa.array([""] * len(made), pa.string())
    shifted = Events(
        time=np.where(made.time == NEVER, NEVER, made.time - shift),
        available_at=np.where(made.available_at == NEVER, NEVER, made.available_at - shift),
        numeric_value=made.numeric_value,
        origin=made.origin,
        row=made.row,
        code=made.code,
        unit=made.unit,
        number=made.number,
        words=made.words if keep_text else blank,
    )
    told = _told(source, of_subject, np.bincount(of_row, minlength=len(source.dropped)), len(given))
    table = pa.table(
        {
            "sample_id": pa.array([f"{key}#{at:06d}" for at in range(len(given))], pa.string()),
            "subject": pa.array([leaving[at] for at in by_order.tolist()], pa.string()),
            "order": pa.array(order[by_order], pa.int64()),
            "told": pa.array(told, pa.string()),
        }
    )
    return Rows(table, shifted.packed(np.bincount(owners, minlength=len(given))))


def _told(source: Accounted, of_subject: np.ndarray, made: np.ndarray, count: int) -> list[str]:
    """What became of the rows of each subject."""
    found: list[dict[str, list[Any]]] = [{} for _ in range(count)]
    tables, of_table = _numbered(source.tables)
    reasons, why = _numbered(source.dropped)
    keys = (of_subject * len(tables) + of_table) * len(reasons) + why
    kinds, place, rows = np.unique(keys, return_inverse=True, return_counts=True)
    events = np.bincount(place, made, len(kinds)).astype(np.int64)
    lost = np.zeros(len(why), np.int64) if source.unread is None else source.unread
    unread = np.bincount(place, lost, len(kinds)).astype(np.int64)
    each = zip(kinds.tolist(), rows.tolist(), events.tolist(), unread.tolist(), strict=True)
    for key, number, of_them, unreadable in each:
        rest, reason = divmod(key, len(reasons))
        subject, table = divmod(rest, len(tables))
        held = found[subject].setdefault(tables[table], [0, 0, {}])
        held[0] += number
        held[1] += of_them
        if reasons[reason]:
            held[2][reasons[reason]] = number
        if unreadable:
            held[2][UNREAD] = held[2].get(UNREAD, 0) + unreadable
    return [json.dumps(one, sort_keys=True) for one in found]


def _numbered(texts: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """The different texts, and the number of each."""
    numbers = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    return list(numbers), np.fromiter(map(numbers.__getitem__, texts), np.int64, len(texts))
