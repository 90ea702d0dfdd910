"""Records written: a folder with header, signal files and annotation files, digitally as they are.

The storage format of a channel is the one whose value for "no sample" is the channel's, as long as
it holds all samples; so a record that was read in one of them is written in it again.
"""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from math import lcm
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medray.errors import DataError
from medray.formats.signal.recording import Channel
from medray.formats.wfdb.encoding import LIMITS, encode
from medray.formats.wfdb.header import MAX_FRAME, Header, Signal

Values = npt.NDArray[Any]
BY_MISSING = {-(2**7): 80, -(2**9): 310, -(2**11): 212, -(2**15): 16, -(2**23): 24, -(2**31): 32}
MAX_RATIO = 1000  # of the fastest rate to that of the frames, where nobody says what it is


@dataclass(frozen=True)
class Written:
    """A record's signals, ready to be written.

    Args:
        header: of the record, but for sums and first samples.
        values: samples of each signal.
    """

    header: Header
    values: tuple[Values, ...]


def written(name: str, row: Mapping[str, Any], arrays: Mapping[str, Values]) -> Written:
    """The signals of a recording under a record's name.

    Raises:
        DataError: rates are no multiples of one ("unwritable-rates"), channels differ in length
            ("length-mismatch"), or samples need more than 32 bits ("unwritable-samples").
    """
    channels = [Channel(**one) for one in row["channels"]]
    rate = frame_rate(row)
    values = tuple(arrays[one.array][one.index] for one in channels)
    per_frame = [round(one.rate / rate) for one in channels]
    lengths = {len(one) / width for one, width in zip(values, per_frame, strict=True)}
    if len(lengths) != 1 or any(length % 1 for length in lengths):
        raise DataError("channels differ in length", code="length-mismatch")
    codings = [_coding(one, own) for one, own in zip(channels, values, strict=True)]
    signals, files = list[Signal](), 0
    for number, channel in enumerate(channels):
        if number and codings[number] != codings[number - 1]:
            files += 1
        file = f"{name}.dat" if files == 0 else f"{name}_{files}.dat"
        signals.append(_signal(channel, file, codings[number], per_frame[number], rate))
    start = datetime.datetime.fromisoformat(row["start_time"]) if row.get("start_time") else None
    header = Header(
        rate=rate,
        frames=int(lengths.pop()),
        start=start,
        count=len(signals),
        signals=tuple(signals),
    )
    return Written(header, values)


def frame_rate(row: Mapping[str, Any]) -> float:
    """Frames a second: as the row says, else the greatest rate that all rates are multiples of.

    Raises:
        DataError: there is none (code "unwritable-rates").
    """
    if row.get("frame_rate"):
        return float(row["frame_rate"])
    rates = [Fraction(one["rate"]).limit_denominator(10**6) for one in row.get("channels") or ()]
    if not rates or min(rates) <= 0:
        raise DataError("the sample has no channels with rates", code="unwritable-rates")
    whole = lcm(*(rate.denominator for rate in rates))
    common = Fraction(int(np.gcd.reduce([int(rate * whole) for rate in rates])), whole)
    if max(rates) / common > MAX_RATIO or sum(rate / common for rate in rates) > MAX_FRAME:
        raise DataError("the rates are no multiples of one", code="unwritable-rates")
    return float(common)


def write_signals(made: Written, folder: Path, name: str) -> None:
    """Header and signal files, below a folder that is there."""
    header, signals = made.header, list[Signal]()
    files: dict[str, list[int]] = {}
    for number, signal in enumerate(header.signals):
        own = made.values[number]
        total = int(np.add.reduce(own, dtype=np.int64)) % 2**16
        checksum = total - 2**16 if total >= 2**15 else total
        signals.append(replace(signal, initial=int(own[0]), checksum=checksum))
        files.setdefault(signal.file, []).append(number)
    for file, numbers in files.items():
        with (folder / file).open("wb") as handle:
            parts = [made.values[number] for number in numbers]
            widths = [header.signals[number].per_frame for number in numbers]
            for block in encode(header.signals[numbers[0]].coding, parts, widths):
                handle.write(block)
    text = head_of(replace(header, signals=tuple(signals)), name)
    (folder / f"{name}.hea").write_text(text, encoding="utf-8")


def head_of(header: Header, name: str) -> str:
    """The text of a header file."""
    first = f"{name} {header.count} {_plain(header.rate)} {header.frames}"
    if header.start is not None:
        time = header.start.strftime("%H:%M:%S.%f").removesuffix(".000000")
        first += f" {time} {header.start.strftime('%d/%m/')}{header.start.year:04d}"
    lines = [first]
    for one in header.signals:
        coding = f"{one.coding}" + f"x{one.per_frame}" * (one.per_frame > 1)
        coding += f":{one.skew}" * bool(one.skew)
        gain = _plain(one.gain) if one.calibrated else "0"
        scale = f"{gain}({round(one.baseline)})/{one.unit}"
        numbers = f"{one.bits} {one.zero} {one.initial} {one.checksum} 0"
        lines.append(f"{one.file} {coding} {scale} {numbers} {one.name}")
    return "\n".join(lines) + "\n"


def _coding(channel: Channel, values: Values) -> int:
    if not len(values):
        raise DataError("the recording has no samples", code="no-signals")
    low, high = int(values.min()), int(values.max())
    wanted = BY_MISSING.get(channel.missing or -(2**15), 16)
    fits = (number for number in (wanted, 16, 24, 32) if LIMITS[number][0] <= low)
    found = next((number for number in fits if high <= LIMITS[number][1]), None)
    if found is None:
        raise DataError("samples need more than 32 bits", code="unwritable-samples")
    return found


def _signal(channel: Channel, file: str, coding: int, per_frame: int, rate: float) -> Signal:
    bits = zero = 0
    if channel.low is not None and channel.high is not None:
        bits = max(0, channel.high - channel.low).bit_length()
        zero = (channel.low + channel.high + 1) // 2
    return Signal(
        file=file,
        coding=coding,
        per_frame=per_frame,
        skew=max(0, round(channel.skew_s * rate)),
        gain=channel.gain,
        baseline=channel.baseline,
        calibrated=channel.calibrated,
        unit="_".join(channel.unit.split()) or "NU",
        bits=bits,
        zero=zero,
        name=" ".join(channel.name.split()),
    )


def _plain(number: float) -> str:
    return repr(float(number)).removesuffix(".0")
