"""EDF+ and BDF+ files of recordings, field by field: digital values and their scales as they came.

Of what a header says of people only the subject's name, as the dataset has it, is written.
"""

import datetime
import math
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np

from medray.errors import DataError
from medray.formats.edf.header import ANNOTATIONS, FIELDS, MONTHS
from medray.storage.shards.samples import Sample, Slabs

ENDS = "Recording ends"  # EDF+'s own text; what stands behind it in the last record is no sample
BLOCK_BYTES = 2**22
MAX_RECORD_BYTES = 10 * 2**20  # other programs read no larger ones
WIDEST = 2**23
_PLUS = {2: "EDF", 3: "BDF"}
_FLAGS = str.maketrans({"\x14": " ", "\x15": " ", "\0": " "})

Array = np.ndarray[Any, Any]


class _Plan:
    """How a recording is cut into data records.

    Args:
        row: of the sample.
        arrays: of it, (channel, time) each.
    """

    def __init__(self, row: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
        self.channels = [one for one in row.get("channels") or () if one["array"] in arrays]
        self.values = [arrays[one["array"]][one["index"]] for one in self.channels]
        self.rates = [Fraction(one["rate"]).limit_denominator(10**6) for one in self.channels]
        self.segments = [(one["onset_s"], one["duration_s"]) for one in row.get("segments") or ()]
        wide = any(one.dtype.itemsize > 2 for one in self.values)
        self.width = 3 if wide else 2
        if wide and any((abs(one.astype(np.int64)) >= WIDEST).any() for one in self.values):
            raise DataError("a value is beyond 24 bits", code="value-out-of-range")
        self.duration, self.count = Fraction(0), 1
        lengths = {Fraction(len(v)) / rate for v, rate in zip(self.values, self.rates, strict=True)}
        self.length = max(lengths, default=Fraction(0))
        if self.length:
            self._cut()
        self.samples = [int(self.duration * rate) for rate in self.rates]
        self.padded = any(
            len(values) != self.count * many
            for values, many in zip(self.values, self.samples, strict=True)
        )

    def _cut(self) -> None:
        """The duration of a data record: one that fits all, of those the nearest to a second."""
        pieces = [Fraction(d).limit_denominator(10**6) for _, d in self.segments] or [self.length]
        whole = math.lcm(*(rate.denominator for rate in self.rates))
        shared = math.gcd(*(len(one) for one in self.values))
        fitting = [self.length / k for k in _divisors(shared)]
        size = sum(self.rates) * self.width
        fitting = [
            one
            for one in fitting
            if one * size <= MAX_RECORD_BYTES
            and _exact(one)
            and all((piece / one).denominator == 1 for piece in pieces)
        ]
        if fitting:
            self.duration = min(fitting, key=lambda d: (abs(math.log(d)), d))
        elif self.segments:
            raise DataError("no data record fits all of its stretches", code="no-record-duration")
        else:
            self.duration = Fraction(whole)
        self.count = math.ceil(self.length / self.duration)

    def begins(self) -> Iterator[Fraction]:
        """When each data record begins, from the first on."""
        if not self.segments:
            yield from (self.duration * number for number in range(self.count))
            return
        for onset, length in self.segments:
            many = round(Fraction(length).limit_denominator(10**6) / self.duration)
            start = Fraction(Decimal(repr(onset)))
            yield from (start + self.duration * number for number in range(many))


def file_of(sample: Sample) -> tuple[str, Iterator[bytes]]:
    """The ending of a sample's file, and its bytes in blocks.

    Raises:
        DataError: a value has more than 24 bits ("value-out-of-range"), a number does not fit a
            field of 8 characters ("long-number"), or gaps fit no records ("no-record-duration").
    """
    arrays = {
        name: np.concatenate(list(one.parts), one.axis) if isinstance(one, Slabs) else one
        for name, one in sample.arrays.items()
    }
    plan = _Plan(sample.row, arrays)
    start = sample.row.get("start_time") or ""
    moment = datetime.datetime.fromisoformat(start) if start else None
    part = Decimal(moment.microsecond) / 10**6 if moment else Decimal(0)
    lists = _lists(plan, sample.row.get("annotations") or (), part)
    told = math.ceil(max(map(len, lists)) / plan.width)
    head = _head(plan, sample.row, moment, told)
    return (".edf" if plan.width == 2 else ".bdf"), _blocks(plan, head, lists, told)


def _lists(plan: _Plan, notes: Sequence[Mapping[str, Any]], part: Decimal) -> list[bytes]:
    """Annotations of each data record, in order, as many in each."""
    made = []
    for note in notes:
        text = (note["text"] or note["symbol"] or "?").translate(_FLAGS)
        made.append(_list(Decimal(repr(float(note["onset_s"]))) + part, note["duration_s"], text))
    if plan.padded:
        made.append(_list(_decimal(plan.length) + part, None, ENDS))
    each = math.ceil(len(made) / plan.count)
    return [
        _list(_decimal(begin) + part, None, "") + b"".join(made[each * n : each * (n + 1)])
        for n, begin in enumerate(plan.begins())
    ]


def _list(onset: Decimal, duration: float | None, text: str) -> bytes:
    length = "" if duration is None else f"\x15{_plain(Decimal(repr(float(duration))))}"
    sign = "" if onset < 0 else "+"
    return f"{sign}{_plain(onset)}{length}\x14{text}\x14\0".encode()


def _head(
    plan: _Plan, row: Mapping[str, Any], moment: datetime.datetime | None, told: int
) -> bytes:
    many = len(plan.channels) + 1
    day = f"{moment.day:02}-{MONTHS[moment.month - 1]}-{moment.year}" if moment else "X"
    date = moment.strftime("%d.%m.%y") if moment else "01.01.85"
    if moment and not 1985 <= moment.year < 2085:
        date = f"{date[:6]}yy"
    name = _PLUS[plan.width]
    subject = "_".join(str(row.get("subject") or "X").split()) or "X"
    fields = (
        (8, b"0" if plan.width == 2 else b"\xffBIOSEMI"),
        (80, f"{subject} X X X"),
        (80, f"Startdate {day} X X X"),
        (8, date),
        (8, moment.strftime("%H.%M.%S") if moment else "00.00.00"),
        (8, 256 * (1 + many)),
        (44, f"{name}+D" if plan.segments else f"{name}+C"),
        (8, plan.count),
        (8, _plain(_decimal(plan.duration))),
        (4, many),
    )
    columns = [_cells(one, many, plan.width) for one, many in zip(
        plan.channels, plan.samples, strict=True)]  # fmt: skip
    most = 2 ** (8 * plan.width - 1)
    columns.append([ANNOTATIONS[plan.width], "", "", -1, 1, -most, most - 1, "", told, ""])
    head = [_field(value, width) for width, value in fields]
    for width, cells in zip(FIELDS, zip(*columns, strict=True), strict=True):
        head += [_field(cell, width) for cell in cells]
    return b"".join(head)


def _cells(channel: Mapping[str, Any], samples: int, width: int) -> list[Any]:
    most = 2 ** (8 * width - 1)
    low, high = channel["low"], channel["high"]
    if low is None or high is None or low == high:
        low, high = -most, most - 1
    ends = [_eight((end - channel["baseline"]) / channel["gain"]) for end in (low, high)]
    free = channel["transducer"], channel["unit"]
    return [channel["name"], *free, *ends, low, high, channel["prefilter"], samples, ""]


def _blocks(plan: _Plan, head: bytes, lists: list[bytes], told: int) -> Iterator[bytes]:
    yield head
    sizes = [*(many * plan.width for many in plan.samples), told * plan.width]
    edges = np.cumsum([0, *sizes])
    many = max(1, BLOCK_BYTES // int(edges[-1]))
    for first in range(0, plan.count, many):
        last = min(plan.count, first + many)
        block: Array = np.zeros((last - first, int(edges[-1])), np.uint8)
        for at, (values, samples) in enumerate(zip(plan.values, plan.samples, strict=True)):
            part = values[first * samples : last * samples]
            rest = (last - first) * samples - len(part)
            raw = np.pad(part, (0, rest)).astype("<i4").view(np.uint8).reshape(last - first, -1, 4)
            block[:, edges[at] : edges[at + 1]] = raw[..., : plan.width].reshape(last - first, -1)
        for number in range(first, last):
            data = np.frombuffer(lists[number], np.uint8)
            block[number - first, edges[-2] : edges[-2] + len(data)] = data
        yield block.tobytes()


def _field(value: object, width: int) -> bytes:
    """A field in ASCII, as EDF wants it; what is too long is cut."""
    if isinstance(value, bytes):
        return value.ljust(width)
    text = str(value).replace("\xb5", "u").replace("\u03bc", "u")
    return text.encode("ascii", "replace")[:width].ljust(width)


def _eight(value: float) -> str:
    """A number in 8 characters, the nearest that there is.

    Raises:
        DataError: it has more digits before its point (code "long-number").
    """
    for digits in range(15, 0, -1):
        text = _plain(Decimal(f"{value:.{digits}g}"))
        if len(text) > 8 and text.lstrip("-").startswith("0."):
            text = text.replace("0.", ".", 1)
        if len(text) <= 8:
            return text
    raise DataError("a scale does not fit a field of 8 characters", code="long-number")


def _decimal(value: Fraction) -> Decimal:
    return Decimal(value.numerator) / Decimal(value.denominator)


def _plain(value: Decimal) -> str:
    """Without an exponent, and without zeros at the end."""
    text = f"{value:f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"


def _exact(value: Fraction) -> bool:
    text = _plain(_decimal(value))
    return len(text) <= 8 and Fraction(Decimal(text)) == value


def _divisors(number: int) -> Iterator[int]:
    for low in range(1, math.isqrt(number) + 1):
        if number % low == 0:
            yield low
            if low * low != number:
                yield number // low
