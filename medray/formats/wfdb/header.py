"""Headers of records by the WFDB header format: text into numbers, each held to its limits.

What the format lets a header leave out has the format's default here. Comments are not read.
"""

import datetime
import math
import re
from dataclasses import dataclass, field

from medray.errors import DataError

MAX_HEADER = 16 * 2**20  # bytes; one with 100,000 segments has 2.5 MB
MAX_SIGNALS, MAX_PARTS, MAX_FRAME = 4096, 200_000, 2**16  # MAX_FRAME: samples of all signals in one
MAX_FRAMES = 2**40
GAP = "~"  # instead of a segment's or a file's name
DEFAULT_RATE, DEFAULT_GAIN, DEFAULT_UNIT = 250.0, 200.0, "mV"

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,3})?"
_RATE = re.compile(rf"({_NUMBER})(?:/({_NUMBER})(?:\(({_NUMBER})\))?)?")
_CODING = re.compile(r"(\d{1,4})(?:x(\d{1,9}))?(?::(\d{1,9}))?(?:\+(\d{1,15}))?")
_GAIN = re.compile(rf"({_NUMBER})?(?:\(({_NUMBER})\))?(?:/(\S+))?")
_WHOLE = re.compile(r"[-+]?\d{1,15}")
_NAME = re.compile(r"[^\s/\\.][^\s/\\]{0,199}")
_TIME = re.compile(r"(?:(\d{1,2}):)?(\d{1,2}):(\d{1,2}(?:\.\d{1,9})?)")
_DATE = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{1,4})")


@dataclass(frozen=True, slots=True)
class Signal:
    """One line of a signal.

    Args:
        file: that holds it, beside the header; "~": none does.
        coding: number of the storage format, e.g. 212; 0: nothing is stored.
        per_frame: samples in a frame.
        skew: frames by which its samples come late in the file.
        offset: bytes of the file before the first sample.
        gain: digital steps in one unit.
        baseline: the digital value of physical zero.
        calibrated: whether the line has a gain.
        unit: of physical values.
        bits: resolution of the converter; 0: not said.
        zero: the digital value in the middle of the converter's range.
        initial: the first sample; None: not said, as `checksum` then is.
        checksum: sum of all samples, modulo 2**16.
        block: size of the file's blocks, of devices that know no other reads.
        name: the description; "" where there is none.
    """

    file: str
    coding: int
    per_frame: int = 1
    skew: int = 0
    offset: int = 0
    gain: float = DEFAULT_GAIN
    baseline: float = 0.0
    calibrated: bool = False
    unit: str = DEFAULT_UNIT
    bits: int = 0
    zero: int = 0
    initial: int | None = None
    checksum: int | None = None
    block: int = 0
    name: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """One line of a segment.

    Args:
        name: of the record that it is; "~": a gap.
        frames: how long it is; 0 of the first one: it is the layout of the others.
    """

    name: str
    frames: int


@dataclass(frozen=True, slots=True)
class Header:
    """What a header says.

    Args:
        rate: frames a second.
        counter_rate: ticks of the counter a second; None: as `rate`.
        base_counter: the counter's value at the first sample.
        frames: length of the record; None: not said.
        start: when it began; None: time or date is not said.
        clock: when it began, of a day that nobody knows, in seconds; None: not said.
        count: of signals.
        signals: none, where there are segments.
        parts: segments.
    """

    rate: float = DEFAULT_RATE
    counter_rate: float | None = None
    base_counter: float = 0.0
    frames: int | None = None
    start: datetime.datetime | None = None
    clock: float | None = None
    count: int = 0
    signals: tuple[Signal, ...] = ()
    parts: tuple[Part, ...] = field(default=())

    @property
    def files(self) -> list[str]:
        """Names of the files with samples, each once, in order."""
        return list(dict.fromkeys(one.file for one in self.signals if one.coding))

    @property
    def layout(self) -> bool:
        """Whether its segments have a layout of their own, and each some of its signals."""
        return bool(self.parts) and self.parts[0].frames == 0 and self.parts[0].name != GAP


def parse(data: bytes) -> Header:
    """A header file.

    Raises:
        DataError: it is none (code "bad-header"), or names files elsewhere ("unsafe-path").
    """
    if len(data) > MAX_HEADER:
        raise _bad(f"it has more than {MAX_HEADER} bytes")
    if b"\0" in data:
        raise _bad("it is no text")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    lines = (line.strip() for line in re.split(r"\r\n|\n|\r", text))
    told = [line for line in lines if line and not line.startswith("#")]
    if not told:
        raise _bad("it has no line of a record")
    first = told[0].split()
    name, _, parts = first[0].partition("/")
    if not _NAME.fullmatch(name) or len(first) < 2:
        raise _bad("its first line is none of a record")
    count = _whole(first[1], "number of signals", 0, MAX_SIGNALS)
    rate, ticks, base = _rate(first[2]) if len(first) > 2 else (DEFAULT_RATE, None, 0.0)
    frames = _whole(first[3], "number of samples", 0, MAX_FRAMES) if len(first) > 3 else 0
    start, clock = _start(first[4:6])
    segments = _whole(parts, "number of segments", 1, MAX_PARTS) if "/" in first[0] else 0
    if len(told) - 1 < (segments or count):
        raise _bad("lines are missing")
    head = (rate, ticks, base, frames or None, start, clock, count)
    if segments:
        return Header(*head, parts=tuple(map(_part, told[1 : segments + 1])))
    signals = tuple(map(_signal, told[1 : count + 1]))
    if sum(signal.per_frame for signal in signals) > MAX_FRAME:
        raise _bad(f"a frame has more than {MAX_FRAME} samples")
    return Header(*head, signals=signals)


def _rate(text: str) -> tuple[float, float | None, float]:
    match = _RATE.fullmatch(text)
    if match is None:
        raise _bad("the sampling frequency is no number")
    rate = float(match[1])
    ticks = float(match[2]) if match[2] else None
    base = float(match[3]) if match[3] else 0.0
    if not 1e-9 < rate < 1e9 or not math.isfinite(base) or not 0 <= (ticks or 0) < 1e12:
        raise _bad("the sampling frequency is out of range")
    return rate, ticks or None, base


def _start(words: list[str]) -> tuple[datetime.datetime | None, float | None]:
    """When it began. A date that no calendar has is not known, as "00/00/0000" says."""
    if not words:
        return None, None
    time = _TIME.fullmatch(words[0])
    if time is None:
        raise _bad("the time of the start is none")
    clock = int(time[1] or 0) * 3600 + int(time[2]) * 60 + float(time[3])
    if len(words) < 2:
        return None, clock
    date = _DATE.fullmatch(words[1])
    if date is None:
        raise _bad("the date of the start is none")
    try:
        day = datetime.datetime(int(date[3]), int(date[2]), int(date[1]))  # noqa: DTZ001
        return day + datetime.timedelta(microseconds=round(clock * 1e6)), clock
    except (ValueError, OverflowError):
        return None, clock


def _part(line: str) -> Part:
    words = line.split()
    if len(words) < 2:
        raise _bad("the line of a segment has no length")
    if words[0] != GAP:
        _safe(words[0])
    return Part(words[0], _whole(words[1], "length of a segment", 0, MAX_FRAMES))


def _signal(line: str) -> Signal:
    words = line.split(None, 8)
    coding = _CODING.fullmatch(words[1]) if len(words) > 1 else None
    if coding is None:
        raise _bad("the line of a signal has no storage format")
    if words[0] != GAP:
        _safe(words[0])
    number, per_frame, skew, offset = (int(one or 0) for one in coding.groups())
    gain = _GAIN.fullmatch(words[2]) if len(words) > 2 else None
    if gain is None and len(words) > 2:
        raise _bad("the gain of a signal is no number")
    steps = float(gain[1]) if gain and gain[1] else 0.0
    numbers: list[int | None] = [
        _whole(word, "number of a signal", -(10**15), 10**15) for word in words[3:8]
    ]
    numbers += [None] * (5 - len(numbers))
    bits, zero, initial, checksum, block = numbers
    baseline = float(gain[2]) if gain and gain[2] else float(zero or 0)
    if not math.isfinite(steps) or not math.isfinite(baseline):
        raise _bad("the gain of a signal is out of range")
    return Signal(
        file=words[0],
        coding=number,
        per_frame=max(1, per_frame),
        skew=skew,
        offset=offset,
        gain=steps or DEFAULT_GAIN,
        baseline=baseline,
        calibrated=bool(steps),
        unit=(gain[3] if gain else None) or DEFAULT_UNIT,
        bits=bits or 0,
        zero=zero or 0,
        initial=initial,
        checksum=checksum,
        block=block or 0,
        name=words[8].strip() if len(words) > 8 else "",
    )


def _safe(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise DataError(
            "a name in the header leads elsewhere",
            code="unsafe-path",
            hint="files of a record lie beside its header",
        )


def _whole(text: str, what: str, least: int, most: int) -> int:
    if not _WHOLE.fullmatch(text) or not least <= int(text) <= most:
        raise _bad(f"the {what} is none, or out of range")
    return int(text)


def _bad(why: str) -> DataError:
    return DataError(f"the header cannot be read: {why}", code="bad-header")
