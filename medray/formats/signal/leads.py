"""Some channels of a stored recording, by name, at their own rate or another, read bit by bit."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from medray.errors import DataError
from medray.formats.signal.context import physical
from medray.formats.signal.recording import Channel
from medray.formats.signal.resampling import Resampler
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Slabs
from medray.storage.shards.stored import Stored

BLOCK_SAMPLES = 2**18  # that are read at once of all leads together: some MiB as float64
_KEPT = ("record", "subject", "split", "fold")


@dataclass(frozen=True)
class Stretch:
    """A stretch of a recording without a gap.

    Args:
        onset_s: when it begins, in seconds since the start of the recording.
        first: its first sample in the arrays, at the recorded rate of the first lead.
        source: how many samples of that rate it has.
        start: its first sample at the rate that is wanted, of samples that follow each other.
        size: how many samples it has at that rate.
    """

    onset_s: float
    first: int
    source: int
    start: int
    size: int


class Leads:
    """Some channels of a recording.

    Args:
        stored: the recording; see `recording`.
        channels: of it, in the order that is wanted; see `wanted_of`.
        rate: that is wanted; None: as recorded.

    Raises:
        DataError: they are of several rates and none is wanted ("mixed-rates"), rates have no
            simple ratio ("odd-rates"), or what the columns say does not fit the arrays
            ("unlike-arrays").
    """

    def __init__(
        self, stored: Stored, channels: Sequence[Channel], rate: float | None = None
    ) -> None:
        self._stored, self.channels = stored, list(channels)
        rates = {channel.rate for channel in self.channels}
        if len(rates) > 1 and rate is None:
            raise DataError(
                "the leads have several rates",
                code="mixed-rates",
                hint="name leads of one rate, or give the rate that is wanted",
            )
        self.recorded_rate = self.channels[0].rate
        self.rate = self.recorded_rate if rate is None else rate
        self._resamplers = {one: Resampler(one, self.rate) for one in sorted(rates)}
        self._arrays = {
            name: stored.array(name) for name in dict.fromkeys(one.array for one in self.channels)
        }
        self._spans = {
            one.rate: spans(stored.row, one.rate, self._arrays[one.array].shape[1])
            for one in self.channels
        }
        self.stretches = self._stretches()
        kinds = {array.dtype for array in self._arrays.values()}
        self.dtype = max(kinds, key=lambda kind: kind.itemsize)
        self._held: tuple[Stretch, int, np.ndarray] | None = None

    def _stretches(self) -> list[Stretch]:
        onsets = [float(one["onset_s"]) for one in self._stored.row.get("segments") or ()] or [0.0]
        found, start = [], 0
        for number, onset in enumerate(onsets):
            size = min(
                self._resamplers[rate].size(stop - first)
                for rate, several in self._spans.items()
                for first, stop in [several[number]]
            )
            first, stop = self._spans[self.recorded_rate][number]
            found.append(Stretch(onset, first, stop - first, start, size))
            start += size
        return found

    def place(self, onset_s: float) -> tuple[Stretch, int, int] | None:
        """Where a moment lies: its stretch, its sample there, and in the arrays as recorded.

        None: in a gap, or not in the recording.
        """
        for stretch in reversed(self.stretches):
            sample = round((onset_s - stretch.onset_s) * self.recorded_rate)
            if 0 <= sample < stretch.source:
                resampler = self._resamplers[self.recorded_rate]
                at = min(resampler.place(sample), stretch.size - 1)
                return stretch, at, stretch.first + sample
            if sample >= stretch.source:
                return None
        return None

    def read(self, stretch: Stretch, start: int, stop: int) -> np.ndarray:
        """Digital values, float64 (lead, time); NaN: missing. Read in blocks, kept for the next.

        Args:
            stretch: of the recording.
            start: in the stretch, at the rate that is wanted; not below 0.
            stop: not beyond its size.
        """
        held = self._held
        if held and held[0] == stretch and held[1] <= start:
            values = held[2][:, start - held[1] : stop - held[1]]
            if values.shape[1] == stop - start:
                return values
        most = max(stop - start, BLOCK_SAMPLES // len(self.channels))
        end = min(start + most, stretch.size)
        block = self.fresh(stretch, start, end)
        self._held = (stretch, start, block)
        return block[:, : stop - start]

    def fresh(self, stretch: Stretch, start: int, stop: int) -> np.ndarray:
        """As `read`, of what is stored."""
        values = np.empty((len(self.channels), stop - start))
        number = self.stretches.index(stretch)
        for name, array in self._arrays.items():
            rows = [row for row, one in enumerate(self.channels) if one.array == name]
            own = [self.channels[row] for row in rows]
            first, end = self._spans[own[0].rate][number]

            def source(
                low: int, high: int, own: Any = own, first: int = first, array: Any = array
            ) -> np.ndarray:
                taken = array[:, first + low : first + high]
                return holed(taken[[one.index for one in own]], own)

            resampler = self._resamplers[own[0].rate]
            values[rows] = resampler.part(source, end - first, start, stop)
        return values

    def count(self, onset_s: float) -> int:
        """The samples that there would be until a moment, had the recording no gaps."""
        recorded = round(onset_s * self.recorded_rate)
        return self._resamplers[self.recorded_rate].place(recorded)

    def blocks(self, stretch: Stretch) -> Iterator[np.ndarray]:
        """All of a stretch, as `read` gives it."""
        step = max(1, BLOCK_SAMPLES // len(self.channels))
        for start in range(0, stretch.size, step):
            yield self.fresh(stretch, start, min(start + step, stretch.size))

    def slabs(self) -> Slabs:
        """All of it as integers, read while it is written."""
        parts = (self.packed(block) for stretch in self.stretches for block in self.blocks(stretch))
        size = sum(stretch.size for stretch in self.stretches)
        return Slabs((len(self.channels), size), self.dtype, 1, parts)

    def columns(self, *, digital: bool) -> dict[str, Any]:
        """What a part's row says of its leads; how values become physical where they are digital.

        `missing` is there where a lead has a digital value that stands for no sample.
        """
        own = self.channels
        row: dict[str, Any] = {"rate": self.rate}
        row["leads"], row["units"] = [one.name for one in own], [one.unit for one in own]
        if digital:
            row["gain"] = [one.gain for one in own]
            row["baseline"] = [one.baseline for one in own]
            if any(one.missing is not None for one in own):
                row["missing"] = [one.missing for one in own]
        return row

    def packed(self, values: np.ndarray) -> np.ndarray:
        """Digital values as integers again; see `packed`."""
        return packed(values, self.channels, self.dtype)

    def physical(self, values: np.ndarray) -> np.ndarray:
        """In the channels' units, float32."""
        gain = [one.gain for one in self.channels]
        return physical(values, gain, [one.baseline for one in self.channels])


def channels_of(row: dict[str, Any]) -> list[Channel]:
    """The channels that the row of a recording tells of.

    Raises:
        DataError: it is none of a recording (code "no-recording").
    """
    known = [field.name for field in fields(Channel)]
    try:
        return [Channel(**{name: one[name] for name in known}) for one in row["channels"]]
    except (KeyError, TypeError) as error:
        raise DataError(
            "the sample is no recording",
            code="no-recording",
            hint="ingest recordings by a format of signals",
        ) from error


def kept(row: dict[str, Any], more: Sequence[str] = ()) -> dict[str, Any]:
    """What of a recording's row goes to each of its parts.

    Args:
        row: of the recording.
        more: further columns.
    """
    return {name: row[name] for name in (*_KEPT, *more) if name in row}


def told(record: str, passed: Counter[str]) -> Iterator[Refusal]:
    """What became of parts of a record that are no sample: a line for each reason.

    Args:
        record: the recording's id.
        passed: how many were passed over, by reason.
    """
    for reason, count in sorted(passed.items()):
        code = reason.replace(" ", "-")
        yield Refusal(
            record, code, f"{count} {reason}", sample=f"{record}:{code}", kind="passed-over"
        )


def spans(row: dict[str, Any], rate: float, size: int) -> list[tuple[int, int]]:
    """Where the stretches of a recording lie in the array of a rate.

    Raises:
        DataError: they are longer than it (code "unlike-arrays").
    """
    segments = row.get("segments") or ()
    if not segments:
        return [(0, size)]
    found, start = [], 0
    for one in segments:
        stop = start + round(float(one["duration_s"]) * rate)
        found.append((start, stop))
        start = stop
    if start > size:
        raise DataError("the segments are longer than the samples", code="unlike-arrays")
    return found


def holed(values: np.ndarray, channels: Sequence[Channel]) -> np.ndarray:
    """Digital values as float64, what stands for no sample as NaN."""
    found = values.astype(np.float64)
    for row, channel in enumerate(channels):
        if channel.missing is not None:
            found[row, values[row] == channel.missing] = np.nan
    return found


def packed(values: np.ndarray, channels: Sequence[Channel], dtype: Any) -> np.ndarray:
    """Digital values as integers: rounded (halves to even), kept to the type's range.

    A value that would come to stand for no sample goes one step towards zero. NaN become what
    stands for no sample.

    Args:
        values: float64 (channel, time).
        channels: of the rows.
        dtype: "int16" or "int32".
    """
    limits = np.iinfo(dtype)
    found = np.clip(np.rint(values), limits.min, limits.max)
    for row, channel in enumerate(channels):
        if channel.missing is not None:
            step = 1 if channel.missing < 0 else -1
            found[row, found[row] == channel.missing] += step
            found[row, np.isnan(found[row])] = channel.missing
    return np.asarray(found, dtype)


def wanted_of(row: dict[str, Any], wanted: Sequence[str | Sequence[str]]) -> list[Channel]:
    """Channels of a recording by name.

    Args:
        row: of the recording.
        wanted: names; a list of names is one channel, the first that is there, and has the first
            name, whichever it was, for records to be alike. None: all.

    Raises:
        DataError: one is not there (code "no-such-lead"), or the row is none of a recording
            ("no-recording").
    """
    channels = channels_of(row)
    by_name: dict[str, Channel] = {}
    for channel in channels:
        by_name.setdefault(channel.name, channel)
    found = []
    for lead in wanted:
        names = [lead] if isinstance(lead, str) else list(lead)
        there = [by_name[name] for name in names if name in by_name]
        if not there:
            raise DataError(
                "a lead is not there",
                code="no-such-lead",
                hint="name others that may stand for it: leads: [[MLII, II]]",
            )
        found.append(replace(there[0], name=names[0]))
    if not channels:
        raise DataError("the recording has no channels", code="no-channels")
    return found or channels
