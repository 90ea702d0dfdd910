"""Times and durations as texts say them, by column; microseconds since 1970."""

import datetime
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import pyarrow as pa
from pydantic import AfterValidator

from medray.formats.events.columns import NEVER
from medray.storage.store.compute import cast

MICROSECONDS = {
    "second": 10**6,
    "minute": 60 * 10**6,
    "hour": 3600 * 10**6,
    "day": 86400 * 10**6,
    "year": 31_557_600 * 10**6,  # of 365.25 days
}
_OFFSET = r"(Z|[+-]\d\d:?\d\d)$"
_DATE = 10  # letters of 2020-01-31
_CLOCK, _DAY, _MONTH = (re.compile(f"%-?[{of}]") for of in ("HIMSpfXcTsR", "djxDaAuw", "mbBhUW"))
_SHORT = {"s": "second", "m": "minute", "h": "hour", "d": "day"}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd])")
_EPOCH = datetime.datetime(1970, 1, 1)  # noqa: DTZ001 - records tell the time of their place
# Within what Python's calendar has, with room for shifts of dates by ten years.
OLDEST, LATEST = -12219292800 * 10**6, 253370764800 * 10**6 - 1  # 1582-10-15 and the end of 9998


def duration(text: str) -> int:
    """Microseconds of a duration such as "24h", "90m", "1.5d" or "30 s".

    Raises:
        ValueError: it is none.
    """
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no duration; such as 30s, 90m, 24h or 7d")
    return round(float(found[1]) * MICROSECONDS[_SHORT[found[2]]])


def _checked(text: str) -> str:
    duration(text)
    return text


Duration = Annotated[str, AfterValidator(_checked)]
"""A duration in a job: a number and s, m, h or d."""


@dataclass(frozen=True)
class Read:
    """What a column of texts says.

    Args:
        values: int64 or float64 (rows,); NEVER or NaN where nothing is read.
        bad: where something stands that can't be read, bool (rows,).
    """

    values: np.ndarray
    bad: np.ndarray


def moment(text: str, form: str = "") -> int:
    """Microseconds of a date, or of a date and a time.

    An offset from UTC that the text has is kept to; without one it is the time of the place.

    Args:
        text: ISO 8601; a year or a month stands for its first day.
        form: of strptime, where it is another.

    Raises:
        ValueError: it is none, or lies before 1582 or behind 9998.
    """
    if form:
        found = datetime.datetime.strptime(text, form)  # noqa: DTZ007
    elif len(text) == 4:
        found = datetime.datetime(int(text), 1, 1)  # noqa: DTZ001
    else:
        found = datetime.datetime.fromisoformat(f"{text}-01" if len(text) == 7 else text)
    if found.tzinfo is not None:
        found = found.astimezone(datetime.UTC).replace(tzinfo=None)
    value = (found - _EPOCH) // datetime.timedelta(microseconds=1)
    if not OLDEST <= value <= LATEST:
        raise ValueError(text)
    return value


def moments(texts: pa.StringArray, form: str = "") -> Read:
    """Times of texts, each looked at once; see `moment`."""
    read = None if form else _plain(texts)
    return read or _each(texts, lambda text: moment(text, form), NEVER, np.int64)


def over(texts: pa.StringArray, values: np.ndarray, form: str = "") -> np.ndarray:
    """When what texts tell is over: of a date alone when its day is, of a month or a year when that
    is; other times are over at once.

    Args:
        texts: as of `moments`.
        values: what `moments` has read of them, int64 (n,).
        form: of strptime, where it is no ISO 8601.

    Returns:
        int64 (n,).
    """
    import pyarrow.compute as pc

    found = values.copy()
    if form:
        if not _CLOCK.search(form):
            unit = "D" if _DAY.search(form) else "M" if _MONTH.search(form) else "Y"
            _end(found, texts.is_valid().to_numpy(zero_copy_only=False), unit)
        return found
    long = pc.fill_null(pc.utf8_length(pc.utf8_trim_whitespace(texts)), _DATE + 1)
    letters = long.to_numpy(zero_copy_only=False)
    for unit, which in (("Y", letters == 4), ("M", letters == 7), ("D", letters <= _DATE)):
        _end(found, which & (found == values), unit)
    return found


def _end(values: np.ndarray, which: np.ndarray, unit: str) -> None:
    """Put the end of their day, month or year in place of some times."""
    which = which & (values != NEVER)
    if which.any():
        days = values[which].astype("datetime64[us]").astype(f"datetime64[{unit}]")
        values[which] = (days + 1).astype("datetime64[us]").astype(np.int64)


def _plain(texts: pa.StringArray) -> Read | None:
    """Times that all are ISO 8601, read by Arrow in a fifth of the time."""
    import pyarrow.compute as pc

    zoned = pc.fill_null(pc.match_substring_regex(texts, _OFFSET), False)
    none = pa.scalar(None, pa.string())
    try:
        here = cast(cast(pc.if_else(zoned, none, texts), pa.timestamp("us")), pa.int64())
        utc = pa.timestamp("us", "UTC")
        there = cast(cast(pc.if_else(zoned, texts, none), utc), pa.int64())
    except pa.ArrowInvalid:
        return None
    values = pc.coalesce(here, there)
    found = values.fill_null(NEVER).to_numpy(zero_copy_only=False)
    inside = (found == NEVER) | ((found >= OLDEST) & (found <= LATEST))
    return Read(found, np.zeros(len(found), bool)) if inside.all() else None


def numbers(texts: pa.StringArray) -> Read:
    """Finite numbers of texts, each looked at once: as floats of 64 bits."""
    return _each(texts, _number, np.nan, np.float64)


def _number(text: str) -> float:
    value = float(text)
    if "_" in text or not np.isfinite(value):
        raise ValueError(text)
    return value


def _each(texts: pa.StringArray, read: Callable[[str], float], missing: float, dtype: type) -> Read:
    known = texts.dictionary_encode()
    values: np.ndarray = np.full(len(known.dictionary) + 1, missing, dtype)
    bad = np.zeros(len(values), bool)
    for at, text in enumerate(known.dictionary.to_pylist()):
        try:
            values[at] = read(text.strip())
        except (ValueError, OverflowError):
            bad[at] = True
    # A missing text has the last place.
    places = known.indices.fill_null(len(values) - 1).to_numpy(zero_copy_only=False)
    return Read(values[places], bad[places])


def iso(value: int) -> str:
    """A time as ISO 8601, to the second, or to the microsecond where it has some."""
    return (_EPOCH + datetime.timedelta(microseconds=value)).isoformat()
