"""Dates in text: found in the forms that notes have, read, and written shifted in the same form."""

import datetime
import re
from collections.abc import Callable

MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september",
    "october", "november", "december",
)  # fmt: skip
MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|"
    r"sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?"
)
_DAY = r"(?P<day>[0-3]?\d)(?P<ordinal>st|nd|rd|th)?"
_YEAR = r"(?P<year>(?:19|20)\d\d)"
_NAMED = rf"(?P<month>{MONTH})"
_ANY_YEAR = r"(?P<year>(?:18|19|20)?\d\d)"
_SHORT_YEAR = r"(?P<year>\d\d)"
_TWO = r"(?P<first>\d{1,2})(?P<mark>[-/.])(?P<second>\d{1,2})"
PATTERNS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"\b(?P<year>(?:18|19|20)\d\d)[-/.](?P<month>\d{1,2})[-/.](?P<day>\d{1,2})(?!\d)",
        rf"\b{_TWO}(?P=mark)(?P<year>(?:18|19|20)?\d\d)\b",
        rf"\b{_DAY}(?P<mark>[-/.]){_NAMED}(?P=mark){_ANY_YEAR}\b",
        rf"\b{_NAMED}[-/]{_ANY_YEAR}\b",
        rf"\b{_DAY}-{_NAMED}(?=[^\w-]|$)",
        rf"\b{_DAY}\s+(?:of\s+)?{_NAMED}\s+['\u2019]{_SHORT_YEAR}\b",
        rf"\b{_DAY}\s+(?:of\s+)?{_NAMED}\s+{_SHORT_YEAR}(?=\s*(?:[,;)\n]|\.(?!\d)|$))",
        r"\b(?P<year>(?:19|20)\d\d)[-/](?P<month>0?[1-9]|1[0-2])(?![-/.\d]*\d)\b",
        rf"\b{_NAMED}\s+{_DAY}(?:\s*,\s*|\s+){_YEAR}\b",
        rf"\b{_DAY}\s+(?:of\s+)?{_NAMED}(?:\s*,\s*|\s+){_YEAR}\b",
        rf"\b{_NAMED}(?:\s*,\s*|\s+)(?:of\s+)?{_YEAR}\b",
        rf"\b{_NAMED}\s+{_DAY}\b(?![%.]?\d|\s*(?:mg|ml|mcg|kg|cm|mm)\b)",
        rf"\b{_DAY}\s+(?:of\s+)?{_NAMED}(?=\W|$)",
        r"(?<=\bon )(?P<first>[01]?\d)/(?P<second>[0-3]?\d)(?![/\d])",
        r"(?<=\bsince )(?P<first>[01]?\d)/(?P<second>[0-3]?\d)(?![/\d])",
        r"(?<=\buntil )(?P<first>[01]?\d)/(?P<second>[0-3]?\d)(?![/\d])",
    )
)
UNKNOWN_YEAR = 2001  # of a date without one: no leap year, so that the 29th of February is none
MIDDLE = 15  # day of a month that is named without one
PIVOT = 50  # two digits below it are of the 21st century, others of the 20th
Shift = Callable[[datetime.date], datetime.date]


def shifted(found: re.Match[str], day_first: bool, shift: Shift) -> str | None:
    """A date in the form that it was written in, so many days away; None: it is no day.

    Args:
        found: of one of PATTERNS.
        day_first: how numbers are read that could be either.
        shift: of the document's subject.
    """
    parts = found.groupdict()
    day, month, year = parts.get("day"), parts.get("month"), parts.get("year")
    if parts.get("first"):
        one, other = int(parts["first"]), int(parts["second"])
        turned = day_first if max(one, other) <= len(MONTHS) else one > len(MONTHS)
        day, month = map(str, (one, other) if turned else (other, one))
    else:
        turned = False
    try:
        moved = shift(
            datetime.date(_whole_year(year), _month(month), MIDDLE if day is None else int(day))
        )
    except (ValueError, OverflowError):
        return None
    return _written(found, moved, turned)


def _whole_year(year: str | None) -> int:
    if year is None:
        return UNKNOWN_YEAR
    number = int(year)
    return number if len(year) > 2 else number + (2000 if number < PIVOT else 1900)


def _month(month: str | None) -> int:
    text = str(month).lower().rstrip(".")
    if text.isdecimal():
        return int(text)
    return 1 + next(at for at, name in enumerate(MONTHS) if name.startswith(text[:3]))


def _written(found: re.Match[str], moved: datetime.date, turned: bool) -> str:
    """Parts of the date in their old places, as wide as they were."""
    parts, new = found.groupdict(), dict[str, str]()
    day, month = str(moved.day), str(moved.month)
    if parts.get("year"):
        new["year"] = f"{moved.year:04d}"[-len(parts["year"]) :]
    if parts.get("first"):
        new |= {"first": day, "second": month} if turned else {"first": month, "second": day}
    else:
        new["month"] = month if parts["month"].isdecimal() else MONTHS[moved.month - 1].title()
        if parts.get("day"):
            new["day"] = day
        if parts.get("ordinal"):
            new["ordinal"] = _ordinal(moved.day)
    text, offset = found[0], found.start()
    for name in sorted(new, key=found.start, reverse=True):
        begin, end = found.start(name) - offset, found.end(name) - offset
        value = new[name].zfill(end - begin) if text[begin:end].isdecimal() else new[name]
        text = text[:begin] + value + text[end:]
    return text


def _ordinal(day: int) -> str:
    if day in (11, 12, 13):
        return "th"
    return {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
