"""Recordings through filters: bands, notches, baselines; digital as they were."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from medray.formats.signal import filters
from medray.formats.signal.leads import Leads, Stretch, channels_of, wanted_of
from medray.formats.signal.recording import DTYPES, Channel
from medray.steps.transform.transforms.base import Transformation, TransformOptions
from medray.storage.shards.holds import Holds, Needs, names
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Sample, Slabs
from medray.storage.shards.schema import ANY, Arrays, ArraySpec, Axis
from medray.storage.shards.stored import Stored

Stage = Callable[[filters.Reader, int], Iterator[np.ndarray]]
CHUNK_SAMPLES = 8192  # of arrays of any rate
_AXES = (Axis("channel", "channel"), Axis("time", "time", "second"))


class FilterOptions(TransformOptions):
    """What goes, of which leads; first the baseline, then what is outside of the band."""

    low: float | None = Field(None, gt=0, description="Hz; what is slower goes")
    high: float | None = Field(None, gt=0, description="Hz; what is faster goes")
    order: int = Field(2, ge=1, le=8, description="of the Butterworth filter")
    notch: list[float] = Field([], max_length=16, description="Hz; each of these goes, as of mains")
    notch_q: float = Field(30.0, gt=0, le=1000, description="of a notch: frequency over width")
    baseline: Literal["keep", "median"] = Field(
        "keep", description="median: less the median over 0.6 s of medians over 0.2 s"
    )
    phase: Literal["zero", "causal"] = Field(
        "zero", description="zero: forward and backward, nothing is shifted; causal: with delay"
    )
    leads: list[str | list[str]] = Field(
        [], description="those that are filtered, others stay; none: all"
    )

    @model_validator(mode="after")
    def _something(self) -> "FilterOptions":
        if self.baseline == "median" and self.phase == "causal":
            raise ValueError("medians look ahead: take `phase: zero`")
        if not self.bands and self.baseline == "keep":
            raise ValueError("give `low`, `high`, `notch` or `baseline: median`")
        return self

    @property
    def bands(self) -> bool:
        """Whether anything goes by its frequency."""
        return self.low is not None or self.high is not None or bool(self.notch)


class Filter(Transformation):
    """A recording to one whose leads are filtered, stretch by stretch.

    Values are digital still, with the same gain and baseline, rounded to the nearest step; the row
    is that of the recording.
    """

    name: ClassVar[str] = "filter"
    Options: ClassVar[type[TransformOptions]] = FilterOptions
    options: FilterOptions

    @classmethod
    def needs(cls, options: FilterOptions, role: str = "") -> Needs:
        """Recordings."""
        return Needs(columns=names("channels"), hint="ingest recordings by a format of signals")

    @classmethod
    def arrays(cls, options: FilterOptions, using: frozenset[str]) -> Arrays:
        """Those of the recording, of which only the data know the rates."""
        return {ANY: ArraySpec(_AXES, DTYPES, chunk=(None, CHUNK_SAMPLES), packing="smooth")}

    @classmethod
    def holds(cls, options: FilterOptions, using: frozenset[str]) -> Holds:
        """Recordings."""
        return Holds()

    def apply(self, sample: Stored) -> Iterator[Sample | Refusal]:
        """The recording, filtered while it is written.

        Raises:
            DataError: the band does not fit a rate ("bad-band"), or the filter is too slow
                ("slow-filter"); see medray.formats.signal.leads too.
        """
        wanted = wanted_of(sample.row, self.options.leads)
        chosen = {(one.array, one.index) for one in wanted}  # names stay those that were recorded
        by_array: dict[str, list[Channel]] = {}
        for channel in channels_of(sample.row):
            by_array.setdefault(channel.array, []).append(channel)
        made: dict[str, Any] = {}
        for name, several in by_array.items():
            leads = Leads(sample, sorted(several, key=lambda one: one.index))
            rows = [at for at, one in enumerate(leads.channels) if (name, one.index) in chosen]
            stages = self._stages(leads.rate) if rows else []
            made[name] = Slabs(
                (len(leads.channels), sum(one.size for one in leads.stretches)),
                leads.dtype,
                1,
                _parts(leads, rows, stages),
            )
        yield Sample(sample.id, sample.row, made)

    def _stages(self, rate: float) -> list[Stage]:
        """What is done to the leads of a rate, in order."""
        options = self.options
        made: list[Stage] = []
        if options.baseline == "median":
            made.append(partial(filters.without_baseline, rate=rate))
        if options.bands:
            sos = filters.sections(
                rate,
                low=options.low,
                high=options.high,
                order=options.order,
                notch=options.notch,
                notch_q=options.notch_q,
            )
            run = filters.zero_phase if options.phase == "zero" else filters.causal
            made.append(partial(run, sos=sos))
        return made


def _parts(leads: Leads, rows: list[int], stages: list[Stage]) -> Iterator[np.ndarray]:
    """All stretches, those rows filtered that are to be."""
    baseline = np.array([[leads.channels[row].baseline] for row in rows])
    for stretch in leads.stretches:
        if not rows:
            yield from (leads.packed(one) for one in leads.blocks(stretch))
            continue

        read: filters.Reader = partial(_centred, leads, stretch, rows, baseline)
        for stage in stages:
            read = filters.in_turn(stage(read, stretch.size))
        for start in range(0, stretch.size, filters.BLOCK):
            stop = min(start + filters.BLOCK, stretch.size)
            made = read(start, stop) + baseline
            if len(rows) < len(leads.channels):
                others = leads.fresh(stretch, start, stop)
                others[rows] = made
                made = others
            yield leads.packed(made)


def _centred(
    leads: Leads, stretch: Stretch, rows: list[int], baseline: np.ndarray, start: int, stop: int
) -> np.ndarray:
    """Some leads, in digital steps from physical zero."""
    return np.asarray(leads.fresh(stretch, start, stop)[rows] - baseline)
