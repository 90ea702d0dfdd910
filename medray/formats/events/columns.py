"""Events by column: how they are held, stored and read back.

An event is what MEDS (Medical Event Data Standard 0.4) has, and besides when it could be known.
Stored, a sample is what is known of a subject; its events lie in ragged arrays: numbers as they
are, texts as UTF-8 end to end, each ended by a NUL.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
import pyarrow as pa
from xxhash import xxh3_64_intdigest

from medray.storage.shards.reader import Shard
from medray.storage.shards.rows import EndToEnd
from medray.storage.shards.schema import Arrays, ArraySpec, Axis
from medray.storage.store.compute import call

NEVER = int(np.iinfo(np.int64).min)
"""As a time: none, of what is always so, and always known. It sorts before all times."""
BIRTH = "MEDS_BIRTH"
"""The code of a birth, which is known from then on, however roughly its date is told."""
NUMBERS = {
    "time": "int64",
    "available_at": "int64",
    "numeric_value": "float64",
    "origin": "int16",
    "row": "int64",
}
TEXTS = ("code", "unit", "number", "words")
EVENT_ARRAYS: Arrays = {
    **{name: ArraySpec((Axis("event"),), (dtype,), ragged=True) for name, dtype in NUMBERS.items()},
    **{name: ArraySpec((Axis("byte"),), ("uint8",), ragged=True) for name in TEXTS},
}
_END = pa.scalar("\0")


@dataclass(frozen=True)
class Events:
    """Events of any number of subjects.

    Args:
        time: when, int64 microseconds since 1970, or NEVER (events,).
        available_at: when it could first be known, int64 as `time` (events,).
        numeric_value: float64, NaN where there is none (events,).
        origin: number of the source's table, int16 (events,).
        row: number of the table's row, from 0, or of another source what names it (events,).
        code: what, such as "ICD9CM//99591".
        unit: of the number; empty where there is none.
        number: the number as text, where float32 would change it or it is none, such as "<0.1".
        words: what else stands there; empty where there is nothing.
    """

    time: np.ndarray
    available_at: np.ndarray
    numeric_value: np.ndarray
    origin: np.ndarray
    row: np.ndarray
    code: pa.StringArray
    unit: pa.StringArray
    number: pa.StringArray
    words: pa.StringArray

    def __len__(self) -> int:
        return len(self.time)

    def take(self, at: np.ndarray) -> Self:
        """Some of them, in the order asked for."""
        where = pa.array(at)
        values = (getattr(self, field.name) for field in fields(self))
        return type(self)(
            *(one[at] if isinstance(one, np.ndarray) else one.take(where) for one in values)
        )

    @classmethod
    def joined(cls, several: Sequence["Events"]) -> "Events":
        """All of them, in order."""
        if not several:
            numbers = [np.zeros(0, dtype) for dtype in NUMBERS.values()]
            return cls(*numbers, *(pa.array([], pa.string()) for _ in TEXTS))
        columns = []
        for field in fields(cls):
            values = [getattr(one, field.name) for one in several]
            text = field.name in TEXTS
            columns.append(pa.concat_arrays(values) if text else np.concatenate(values))
        return cls(*columns)

    def packed(self, lengths: np.ndarray) -> dict[str, EndToEnd]:
        """As ragged arrays of samples.

        Args:
            lengths: events of each sample, which follow one another, int64 (samples,).
        """
        made = {name: EndToEnd(getattr(self, name), lengths) for name in NUMBERS}
        ends = np.concatenate([[0], np.cumsum(lengths)])
        for name in TEXTS:
            values, offsets = _ended(getattr(self, name))
            made[name] = EndToEnd(values, np.diff(offsets[ends]))
        return made


def ordered(subjects: Sequence[str]) -> np.ndarray:
    """What subjects are put in order by: hashes of their names, int64 (subjects,), not below 0.

    So those of a share of all hashes lie together in every shard (`steps.gather`).
    """
    hashes = (xxh3_64_intdigest(one.encode()) >> 1 for one in subjects)
    return np.fromiter(hashes, np.int64, len(subjects))


def read_events(
    shard: Shard, start: int, stop: int, names: Iterable[str] | None = None
) -> tuple[dict[str, Any], np.ndarray]:
    """Events of rows [start, stop) of a shard: columns by name, and how many each row has.

    Args:
        shard: that holds them.
        start: number of the first row.
        stop: one past the last.
        names: of the columns; `time` comes in any case. None: all of them.

    Raises:
        DataError: the samples are no subjects (code "no-such-array").
        DamageError: stored bytes are damaged.
    """
    wanted = (*NUMBERS, *TEXTS) if names is None else ("time", *names)
    lengths = shard.ragged("time").lengths[start:stop]
    columns: dict[str, Any] = {}
    for name in dict.fromkeys(wanted):
        held = shard.ragged(name)
        values = held.values[held.span(start)[0] : held.span(stop - 1)[1]]
        columns[name] = texts_of(values) if name in TEXTS else values
    return columns, lengths


def events_of(columns: Mapping[str, Any]) -> Events:
    """All columns of `read_events` as one."""
    return Events(**columns)


def _ended(texts: pa.StringArray) -> tuple[np.ndarray, np.ndarray]:
    """Bytes of texts, each with a NUL behind it, and where each begins, int64 (texts + 1,)."""
    if not len(texts):
        return np.zeros(0, np.uint8), np.zeros(1, np.int64)
    ended = call("binary_join_element_wise", texts, pa.scalar(""), _END)
    _, ends, data = ended.buffers()
    offsets = np.frombuffer(ends, np.int32)[ended.offset :][: len(ended) + 1].astype(np.int64)
    values = np.frombuffer(data, np.uint8)[offsets[0] : offsets[-1]]
    if np.count_nonzero(values == 0) > len(texts):  # one that holds a NUL would come back as two
        return _ended(pa.array([text.replace("\0", "") for text in texts.to_pylist()], pa.string()))
    return values, offsets - offsets[0]


def texts_of(values: np.ndarray) -> pa.StringArray:
    """Texts of their bytes, uint8 (bytes,), each text ended by a NUL."""
    ends = np.flatnonzero(values == 0)
    offsets = np.concatenate([[0], ends - np.arange(len(ends))]).astype(np.int32)
    data = values[values != 0]
    return pa.StringArray.from_buffers(len(ends), pa.py_buffer(offsets), pa.py_buffer(data))
