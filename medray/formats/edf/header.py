"""The header of an EDF or BDF file: what its fields say, or by which code it is refused.

EDF as Kemp and others (1992), EDF+ as Kemp and Olivan (2003) have it; of BDF what differs is the
first field and the width of a sample, 24 bits. Fields that many recorders write in a form of their
own are taken where they can mean one thing only: decimal commas, other separators in dates and
times, zero bytes in place of blanks.
"""

import datetime
import re
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from typing import Literal

from medray.errors import DataError

FIXED = 256  # bytes of the header before its signals, and of each signal
MAX_RECORD_BYTES = 2**31
MIN_RATE, MAX_RATE = 1e-6, 1e9  # samples a second
MIN_YEAR = 1850
MAX_PHYSICAL = 1e30
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
FIELDS = (16, 80, 8, 8, 8, 8, 8, 80, 8, 32)  # widths, of each signal
ANNOTATIONS = {2: "EDF Annotations", 3: "BDF Annotations"}
_NUMBER = re.compile(r"[+-]?(\d+[.,]?\d*|[.,]\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_WHOLE = re.compile(r"[+-]?\d+", re.ASCII)
_CLOCK = re.compile(r"(\d{1,2})([.:\-/ ])(\d{1,2})\2(\d\d|yy)", re.ASCII | re.IGNORECASE)
_STARTDATE = re.compile(r"(?i)startdate (\d{1,2})-([a-z]{3})-(\d{4})( |$)", re.ASCII)
_PATIENT = re.compile(r"(\S+) [MFX] (X|\d{1,2}-[A-Za-z]{3}-\d{4})( |$)", re.ASCII)


@dataclass(frozen=True)
class Signal:
    """What the header says of one signal.

    Args:
        label: e.g. "EEG Fpz-Cz".
        transducer: free text.
        unit: e.g. "uV".
        physical: what the digital minimum and maximum stand for.
        digital: minimum and maximum.
        prefilter: free text.
        samples: in a data record.
        at: where they begin in a data record, in samples.
        told: whether it holds annotations, and no samples.
    """

    label: str
    transducer: str
    unit: str
    physical: tuple[float, float]
    digital: tuple[int, int]
    prefilter: str
    samples: int
    at: int
    told: bool


@dataclass(frozen=True)
class Header:
    """What the header of a file says.

    Args:
        width: bytes of a sample: 2 of EDF, 3 of BDF.
        gaps: whether there may be time between data records (EDF+D, BDF+D).
        patient: the field of the patient, free text.
        recording: the field of the recording, free text.
        start: when it begins, in whole seconds; None: the header says that this is not known.
        records: data records; -1: it does not say.
        duration: seconds of a data record.
        signals: in the order of the file.
    """

    width: int
    gaps: bool
    patient: str
    recording: str
    start: datetime.datetime | None
    records: int
    duration: Decimal
    signals: tuple[Signal, ...]

    @property
    def size(self) -> int:
        """Bytes of the header."""
        return FIXED * (1 + len(self.signals))

    @cached_property
    def record_bytes(self) -> int:
        """Bytes of a data record."""
        return self.width * sum(signal.samples for signal in self.signals)

    @property
    def patient_code(self) -> str:
        """By which the hospital knows the patient; "" where the field says none.

        Of a field that is not in the form of EDF+ it is all of it.
        """
        formed = _PATIENT.match(self.patient)
        code = formed[1] if formed else self.patient
        return "" if code.upper() == "X" else code

    def rate(self, samples: int) -> float:
        """Samples a second of signals with so many samples in a data record."""
        return float(Fraction(samples) / Fraction(self.duration))

    def count(self, size: int, *, by_file: bool = False) -> int:
        """Data records of a file.

        Args:
            size: of the file, in bytes.
            by_file: as many as are whole in the file, whatever the header says.

        Raises:
            DataError: the file holds fewer ("truncated-edf") or more ("trailing-data") bytes than
                its header says, or no record ("empty-recording").
        """
        whole, rest = divmod(size - self.size, self.record_bytes)
        count = whole if by_file or self.records < 0 else self.records
        hint = "`records: file` takes all that are whole"
        if count > whole:
            raise DataError(
                "the file ends before its last data record", code="truncated-edf", hint=hint
            )
        if self.records >= 0 and not by_file and (whole > count or rest):
            raise DataError(
                "the file goes on behind its last data record", code="trailing-data", hint=hint
            )
        if not count:
            raise DataError("the file holds no data record", code="empty-recording")
        return count


def parse(data: bytes, *, start: Literal["header", "ignore"] = "header") -> Header:
    """What a header says.

    Args:
        data: the first bytes of a file, all of its header among them.
        start: what becomes of the date and the time; those that are ignored may say anything.

    Raises:
        DataError: it is none of EDF or BDF ("not-edf"), is cut ("truncated-edf"), or has a field
            that cannot be read ("bad-header") or a date or time that can mean two ("bad-date").
    """
    if len(data) < FIXED:
        raise DataError("the file is shorter than a header", code="truncated-edf")
    if data[:8] == b"\xffBIOSEMI":
        width = 3
    elif data[:8].strip(b" \0") == b"0":
        width = 2
    else:
        raise DataError("the file does not begin as EDF or BDF does", code="not-edf")
    many = _whole(_text(data[252:256]), "number of signals")
    if not 0 < many < 10_000:
        raise DataError("the header has no signals", code="bad-header")
    if _whole(_text(data[184:192]), "size") != FIXED * (1 + many):
        raise DataError("the header is not as long as it says", code="bad-header")
    if len(data) < FIXED * (1 + many):
        raise DataError("the file ends within its header", code="truncated-edf")
    patient, recording, kind = _text(data[8:88]), _text(data[88:168]), _text(data[192:236])
    duration = _decimal(_text(data[244:252]), "duration of a data record")
    signals = _signals(data[FIXED : FIXED * (1 + many)], many, width)
    if duration < 0 or (not duration and not all(signal.told for signal in signals)):
        raise DataError("data records have no duration", code="bad-header")
    records = _whole(_text(data[236:244]), "number of data records")
    if records < -1:
        raise DataError("the number of data records is negative", code="bad-header")
    begin = None
    if start == "header":
        begin = _start(_text(data[168:176]), _text(data[176:184]), recording)
    header = Header(
        width,
        kind[:5] in ("EDF+D", "BDF+D"),
        patient,
        recording,
        begin,
        records,
        duration,
        signals,
    )
    if header.record_bytes > MAX_RECORD_BYTES:
        raise DataError("a data record is beyond 2 GiB", code="record-too-large")
    if not all(one.told or MIN_RATE <= header.rate(one.samples) <= MAX_RATE for one in signals):
        raise DataError("a signal has an impossible rate", code="bad-header")
    return header


def header_bytes(data: bytes) -> int:
    """How long the header is that begins so, as far as it can be told; else that of its start."""
    text = data[252:256].strip(b" \0")
    return FIXED * (1 + int(text)) if text.isdigit() else FIXED


def _signals(data: bytes, many: int, width: int) -> tuple[Signal, ...]:
    columns, begin = [], 0
    for size in FIELDS:
        cells = [data[begin + size * n : begin + size * (n + 1)] for n in range(many)]
        columns.append([_text(cell) for cell in cells])
        begin += size * many
    made, at = [], 0
    for label, transducer, unit, low, high, least, most, prefilter, count, _ in zip(
        *columns, strict=True
    ):
        samples = _whole(count, "samples in a data record")
        if samples < 1:
            raise DataError("a signal has no samples", code="bad-header")
        told = label == ANNOTATIONS[width]
        # Nobody scales annotations, and some recorders leave their fields empty.
        physical = (0.0, 0.0) if told else (_number(low, "minimum"), _number(high, "maximum"))
        digital = (0, 0) if told else (_whole(least, "minimum"), _whole(most, "maximum"))
        free = transducer, unit, physical, digital, prefilter
        made.append(Signal(label, *free, samples, at, told))
        at += samples
    return tuple(made)


def _start(date: str, clock: str, recording: str) -> datetime.datetime | None:
    """When a recording begins; of two-digit years 85 to 99 are of the 20th century."""
    told = _STARTDATE.match(recording)
    if recording.lower().startswith("startdate x"):
        return None
    found = _CLOCK.fullmatch(date)
    time = _CLOCK.fullmatch(clock)
    if found is None or time is None or not time[4].isdigit():
        raise _bad_date()
    try:
        if told:
            month = MONTHS.index(told[2].upper()) + 1
            day = datetime.datetime(int(told[3]), month, int(told[1]))  # noqa: DTZ001 - local
            same = (int(found[1]), int(found[3])) == (day.day, day.month)
            if not same or found[4].lower() not in ("yy", f"{day.year % 100:02}"):
                raise _bad_date()
        else:
            if found[2] == "/" and found[1] != found[3]:
                raise _bad_date()  # some write the month first
            year = int(found[4])
            year += 1900 if year >= 85 else 2000
            day = datetime.datetime(year, int(found[3]), int(found[1]))  # noqa: DTZ001 - local
        if day.year < MIN_YEAR:
            raise _bad_date()
        return day.replace(hour=int(time[1]), minute=int(time[3]), second=int(time[4]))
    except ValueError as error:
        raise _bad_date() from error


def _bad_date() -> DataError:
    return DataError(
        "the header's date or time cannot be told",
        code="bad-date",
        hint="`start: ignore` does without",
    )


def _text(field: bytes) -> str:
    """A field's text, blanks at its end taken off: UTF-8, else Latin-1, in which many write µV."""
    raw = field.strip(b" \0")
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    if not text.isprintable():
        raise DataError("a field of the header is no text", code="bad-header")
    return text


def _decimal(text: str, what: str) -> Decimal:
    if not _NUMBER.fullmatch(text):
        raise DataError(f"the {what} is no number", code="bad-header")
    return Decimal(text.replace(",", "."))


def _number(text: str, what: str) -> float:
    value = float(_decimal(text, f"physical {what}"))
    if abs(value) > MAX_PHYSICAL:
        raise DataError(f"the physical {what} is beyond any unit", code="bad-header")
    return value


def _whole(text: str, what: str) -> int:
    """A whole number; "-2048.0" is one, as some write the digital minimum."""
    if _WHOLE.fullmatch(text):
        return int(text)
    value = _decimal(text, what)
    if value != value.to_integral_value() or abs(value) > 2**31:
        raise DataError(f"the {what} is no whole number", code="bad-header")
    return int(value)
