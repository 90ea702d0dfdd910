"""ROUGE (Lin 2004) of a text against a reference, and whether its quantities are the reference's.

Words are runs of a-z and 0-9 in lower case, without stemming, as the package rouge-score 0.1.2 has
them by default; such words know no sign and no unit: "50 µg" scores 1.0 against "50 g". So numbers
with their units, and with what compares them, are counted beside.
"""

import re
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from typing import NamedTuple

_WORD = re.compile(r"[a-z0-9]+")
_UNITS = (
    r"%|°\s?[cf]\b|(?:m|k|d|c|u|µ|μ|mc|n)?(?:g|l|m|mol|eq|iu|u)(?:/(?:kg|ml|dl|l|day|h|hr|min))?\b|mmhg\b|"
    r"bpm\b|units?\b|(?:years?|months?|weeks?|days?|hours?|minutes?|seconds?)\b|"
    r"(?:pounds?|lbs?|ounces?|oz|feet|foot|ft|inch(?:es)?)\b|(?:tablets?|pills?|packs?)\b"
)
_QUANTITY = re.compile(
    rf"(?:(?P<sign><=|>=|[<>≤≥±]|(?<![\w)])-)\s*)?(?P<number>(?<![\w.])\d+(?:,\d{{3}})*(?:\.\d+)?)"
    rf"(?:[ -]?(?P<unit>{_UNITS}))?",
    re.IGNORECASE,
)
_ALIKE = {"mcg": "µg", "μg": "µg", "ug": "µg", "lbs": "lb", "pounds": "lb", "pound": "lb"}


class Rouge(NamedTuple):
    """F-measures: of words, of pairs of words, of the longest common subsequence."""

    one: float
    two: float
    longest: float


def words(text: str) -> list[str]:
    """Words as ROUGE counts them."""
    return _WORD.findall(text.lower())


def rouge(reference: str, text: str) -> Rouge:
    """ROUGE-1, -2 and -L of a text."""
    wanted, given = words(reference), words(text)
    return Rouge(
        _overlap(wanted, given),
        _overlap([*pairwise(wanted)], [*pairwise(given)]),
        _measure(_common(wanted, given), len(wanted), len(given)),
    )


def quantities(text: str) -> Counter[tuple[str, str, str]]:
    """Numbers of a text with what compares them and their unit; equal numbers are equal however
    they are written (1,000 and 1000.0)."""
    found = Counter[tuple[str, str, str]]()
    for one in _QUANTITY.finditer(text):
        try:
            number = Decimal(one["number"].replace(",", "")).normalize()
        except InvalidOperation:
            continue
        unit = (one["unit"] or "").lower().replace(" ", "")
        sign = {"<=": "≤", ">=": "≥"}.get(one["sign"] or "", one["sign"] or "")
        found[sign, f"{number:f}", _ALIKE.get(unit, _plain(unit))] += 1
    return found


def agreement(reference: str, text: str) -> tuple[int, int, int]:
    """Quantities that both have, that the reference has, and that the text has."""
    wanted, given = quantities(reference), quantities(text)
    return (wanted & given).total(), wanted.total(), given.total()


def _plain(unit: str) -> str:
    long = len(unit) > 3 and "/" not in unit and unit.endswith("s")
    return unit.removesuffix("s") if long else unit


def _overlap(wanted: Sequence[object], given: Sequence[object]) -> float:
    shared = (Counter(wanted) & Counter(given)).total()
    return _measure(shared, len(wanted), len(given))


def _measure(shared: int, wanted: int, given: int) -> float:
    if not shared:
        return 0.0
    precision, recall = shared / given, shared / wanted
    return 2 * precision * recall / (precision + recall)


def _common(wanted: Sequence[str], given: Sequence[str]) -> int:
    """Length of the longest common subsequence, row by row."""
    row = [0] * (len(given) + 1)
    for one in wanted:
        left = 0
        for at, other in enumerate(given, start=1):
            above, row_at = row[at], row[at - 1]
            if one == other:
                row[at] = left + 1
            elif row_at > above:
                row[at] = row_at
            left = above
    return row[-1]
