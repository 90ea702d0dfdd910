"""A record on one timeline: its channels, and which signals of which segment fill them when.

A record without segments is one stretch. Of a record with segments signals are the same channel
where they have the same name; what no segment has of a channel is `missing`.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from medray.errors import DataError
from medray.formats.signal.recording import Channel, placed
from medray.formats.wfdb.header import GAP, Header, Signal
from medray.formats.wfdb.packing import WIDE, missing_of

Load = Callable[[str], Header]
"""From a segment's name to its header; raises DataError where there is none."""
MAX_BITS = 32


@dataclass(frozen=True)
class Stretch:
    """A segment that holds samples.

    Args:
        start: its first frame in the record.
        frames: None: as many as its files hold.
        signals: in files.
        places: of each the number of its channel.
    """

    start: int
    frames: int | None
    signals: tuple[Signal, ...]
    places: tuple[int, ...]


@dataclass(frozen=True)
class Timeline:
    """A record.

    Args:
        rate: frames a second.
        frames: in all; None: as many as the files hold.
        channels: as `recording.placed` gives them.
        per_frame: samples of each channel in a frame.
        dtypes: of the arrays, by name.
        stretches: in order.
    """

    rate: float
    frames: int | None
    channels: tuple[Channel, ...]
    per_frame: tuple[int, ...]
    dtypes: dict[str, str]
    stretches: tuple[Stretch, ...]


def timeline(header: Header, load: Load) -> Timeline:
    """The whole record.

    Raises:
        DataError: segments do not fit ("bad-segments"), or have other gains than each other
            ("mixed-gains"); what `load` raises.
    """
    if not header.parts:
        return _made(header, [_stretch(0, header.frames, header.signals, range(header.count))])
    parts = header.parts[1:] if header.layout else header.parts
    columns = _Columns()
    if header.layout:
        for signal, key in _keyed(load(header.parts[0].name).signals):
            columns.add(key, signal, fixed=False)
    stretches, start = list[Stretch](), 0
    for part in parts:
        if part.name != GAP and part.frames:
            own = load(part.name)
            if own.parts or own.rate != header.rate or own.frames not in (None, part.frames):
                raise _unfit("a segment has another rate or length than the record says")
            known = header.layout or bool(stretches)
            places = [columns.place(key, signal, known) for signal, key in _keyed(own.signals)]
            if not header.layout and len(places) != len(columns.signals):
                raise _unfit("a segment lacks a signal that others have")
            stretches.append(_stretch(start, part.frames, own.signals, places))
        start += part.frames
    if header.frames not in (None, start):
        raise _unfit("the segments are not as long as the record")
    return _made(replace(header, frames=start), stretches, columns.signals)


def whole(header: Header, load: Load) -> tuple[str, int, Timeline]:
    """The record as `apart` gives its segments."""
    return "", 0, timeline(header, load)


def apart(header: Header, load: Load) -> Iterable[tuple[str, int, Timeline]]:
    """Each segment as a record of its own: what is added to the name, its first frame in the
    record, itself.

    Raises:
        DataError: as of `timeline`.
    """
    start = 0
    for number, part in enumerate(header.parts):
        if part.name != GAP and part.frames:
            own = load(part.name)
            if own.parts or own.rate != header.rate or own.frames not in (None, part.frames):
                raise _unfit("a segment has another rate or length than the record says")
            yield f"-{number:04d}", start, timeline(replace(own, frames=part.frames), load)
        start += part.frames


class _Columns:
    """The channels of a record with segments, by name."""

    def __init__(self) -> None:
        self.signals: list[Signal] = []
        self._fixed: list[bool] = []  # whether some segment has it
        self._at: dict[tuple[str, int], int] = {}

    def add(self, key: tuple[str, int], signal: Signal, *, fixed: bool) -> int:
        """A channel more; its number."""
        self._at[key] = len(self.signals)
        self.signals.append(signal)
        self._fixed.append(fixed)
        return self._at[key]

    def place(self, key: tuple[str, int], signal: Signal, known: bool) -> int:
        """Which channel a segment's signal is.

        Args:
            key: its name, and how many signals before it have the same.
            signal: of the segment.
            known: all channels of the record are known.
        """
        at = self._at.get(key)
        if at is None:
            if known:
                raise _unfit("a segment has a signal that the record does not have")
            return self.add(key, signal, fixed=True)
        before = self.signals[at]
        if not self._fixed[at]:  # the layout's own word, which segments need not keep to
            self.signals[at], self._fixed[at] = signal, True
        elif _scale(before) != _scale(signal):
            raise DataError(
                "segments have other gains, baselines, units or rates of one channel",
                code="mixed-gains",
                hint="`segments: apart` takes each as a sample",
            )
        elif missing_of(before.coding) != missing_of(signal.coding):
            self.signals[at] = min((before, signal), key=lambda one: missing_of(one.coding) or 0)
        return at


def _stretch(
    start: int, frames: int | None, signals: Sequence[Signal], places: Sequence[int]
) -> Stretch:
    held = [(one, at) for one, at in zip(signals, places, strict=True) if one.coding]
    return Stretch(start, frames, tuple(one for one, _ in held), tuple(at for _, at in held))


def _keyed(signals: Sequence[Signal]) -> Iterable[tuple[Signal, tuple[str, int]]]:
    seen: Counter[str] = Counter()
    for number, signal in enumerate(signals):
        name = signal.name or default_name(number)
        yield signal, (name, seen[name])
        seen[name] += 1


def _scale(signal: Signal) -> tuple[object, ...]:
    return signal.gain, signal.baseline, signal.calibrated, signal.unit, signal.per_frame


def _made(
    header: Header, stretches: Sequence[Stretch], signals: Sequence[Signal] | None = None
) -> Timeline:
    signals = header.signals if signals is None else signals
    if not signals:
        raise DataError("the record has no signals", code="no-signals")
    channels = placed(
        _channel(number, signal, header.rate) for number, signal in enumerate(signals)
    )
    wide = {channels[at].array for one in stretches for signal, at in
            zip(one.signals, one.places, strict=True) if signal.coding in WIDE}  # fmt: skip
    return Timeline(
        rate=header.rate,
        frames=header.frames,
        channels=tuple(channels),
        per_frame=tuple(signal.per_frame for signal in signals),
        dtypes={one.array: "int32" if one.array in wide else "int16" for one in channels},
        stretches=tuple(one for one in stretches if one.signals),
    )


def _channel(number: int, signal: Signal, rate: float) -> Channel:
    half = 2 ** (signal.bits - 1) if 0 < signal.bits <= MAX_BITS else None
    return Channel(
        name=signal.name or default_name(number),
        unit=signal.unit,
        rate=rate * signal.per_frame,
        gain=signal.gain,
        baseline=signal.baseline,
        calibrated=signal.calibrated,
        missing=missing_of(signal.coding),
        low=None if half is None else signal.zero - half,
        high=None if half is None else signal.zero + half - 1,
        skew_s=signal.skew / rate,
    )


def default_name(number: int) -> str:
    """What a signal without a description is called."""
    return f"signal {number}"


def _unfit(reason: str) -> DataError:
    return DataError(reason, code="bad-segments")
