"""Beats of recordings: a stretch of the signal around each, its class and its rhythm."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from medray.errors import DataError
from medray.formats.signal.aami import aami
from medray.formats.signal.context import chosen, median_beat, median_rr
from medray.formats.signal.leads import Leads, Stretch, kept, wanted_of
from medray.steps.transform.transforms.base import Transformation, TransformOptions
from medray.storage.shards.holds import Holds, Needs, named, names
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Sample
from medray.storage.shards.schema import Arrays, ArraySpec, Axis
from medray.storage.shards.stored import Stored

_AXES = (Axis("lead", "channel"), Axis("time", "time", "second"))
SIGNAL = ArraySpec(_AXES, ("int16", "int32", "float32"), chunk=(None, None))
CONTEXT = ArraySpec(_AXES, ("float32",), chunk=(None, None))

Rhythm = list[tuple[float | None, float | None]]


class BeatOptions(TransformOptions):
    """Which beats, of which leads, and what is cut out around them."""

    annotator: str | None = Field(
        None, description='whose annotations, e.g. "atr"; null: there is one that has beats'
    )
    leads: list[str | list[str]] = Field(
        [], description="names; a list of names is one lead, the first that is there; none: all"
    )
    before_s: float = Field(0.35, ge=0, le=30, description="seconds before the beat's place")
    after_s: float = Field(0.65, gt=0, le=30, description="seconds from it on")
    rate: float | None = Field(
        None,
        gt=0,
        le=20_000,
        description="samples a second, by a polyphase filter; null: as recorded",
    )
    classes: Literal["aami", "symbols"] | dict[str, list[str]] = Field(
        "aami",
        description="what `label` says: the class N, S, V, F or Q by AAMI; the symbol; or own "
        "classes, each with its symbols, and other beats are passed over",
    )
    edges: Literal["pad", "leave-out"] = Field(
        "pad",
        description="beats too near to an end or a gap: the last sample goes on, or passed over",
    )
    values: Literal["digital", "physical"] = Field(
        "digital", description="integers with gain and baseline beside, or float32 in units"
    )
    context: bool = Field(
        False, description="an array `context` beside each beat: the median beat of its record"
    )
    keep: list[str] = Field([], description="further columns of the record that beats get")


@dataclass(frozen=True)
class Beat:
    """A beat where it lies.

    Args:
        number: of its annotation in the record.
        onset_s: seconds since the start of the recording.
        sample: as the annotation has it; else of the array as recorded.
        symbol: of the annotation.
        stretch: that it lies in.
        at: its sample there, at the rate that is wanted.
    """

    number: int
    onset_s: float
    sample: int
    symbol: str
    stretch: Stretch
    at: int


class Beats(Transformation):
    """A recording to a sample for each of its beats.

    Arrays: `signal` (lead, time), the digital values with gain and baseline in the row, or physical
    ones; where asked `context` (lead, time) float32, the record's median beat in physical units.
    Rows have `record`, `subject`, `split` and `fold` of the recording where it has them;
    `start_sample` (of the array, counted from the record's start at `rate`; gaps take no place),
    `rate`, `leads`, `units`, `gain` and `baseline`; `sample` and `onset_s` of the beat, in the
    annotation's own count and in seconds; `symbol`, `label`; `rr_prev_s` and `rr_next_s`, seconds
    from the beat before and to the next one (null across a gap), `rr_median_s` of the record; and
    `padded`, how many samples of the array lie beyond the recording.
    """

    name: ClassVar[str] = "beats"
    Options: ClassVar[type[TransformOptions]] = BeatOptions
    options: BeatOptions

    @classmethod
    def needs(cls, options: BeatOptions, role: str = "") -> Needs:
        """Recordings."""
        columns = names("channels", "annotations", options.keep)
        return Needs(columns=columns, hint="ingest recordings by a format of signals")

    @classmethod
    def arrays(cls, options: BeatOptions, using: frozenset[str]) -> Arrays:
        """The beats, and the record's median one."""
        return {"signal": SIGNAL, **({"context": CONTEXT} if options.context else {})}

    @classmethod
    def holds(cls, options: BeatOptions, using: frozenset[str]) -> Holds:
        """Columns of the record go along, and only the data know which there are."""
        return Holds(named(cls.arrays(options, using)))

    def apply(self, sample: Stored) -> Iterator[Sample | Refusal]:
        """The beats of one record, in order.

        Raises:
            DataError: it has no beats ("no-beats"), several annotators have ("which-annotator"), or
                leads are not as asked for; see medray.formats.signal.leads.
        """
        options = self.options
        leads = Leads(sample, wanted_of(sample.row, options.leads), options.rate)
        beats, passed = self._beats(sample, leads)
        before, after = round(options.before_s * leads.rate), round(options.after_s * leads.rate)
        if not before + after:
            raise DataError(
                "a beat would have no samples", code="no-samples", hint="raise `after_s`"
            )
        rhythm = _rhythm(beats)
        context = self._context(leads, beats, before, after) if options.context else None
        base = self._row(sample, leads, rhythm)
        for beat, (previous, following) in zip(beats, rhythm, strict=True):
            label = self._label(beat.symbol)
            if label is None:
                passed["beats of other classes"] += 1
                continue
            start, stop = beat.at - before, beat.at + after
            padded = max(0, -start) + max(0, stop - beat.stretch.size)
            if padded and options.edges == "leave-out":
                passed["beats at an edge"] += 1
                continue
            values = _cut(leads, beat.stretch, start, stop)
            digital = options.values == "digital"
            arrays = {"signal": leads.packed(values) if digital else leads.physical(values)}
            if context is not None:
                arrays["context"] = context
            row = {
                **base,
                "start_sample": beat.stretch.start + start,
                "sample": beat.sample,
                "onset_s": beat.onset_s,
                "symbol": beat.symbol,
                "label": label,
                "rr_prev_s": previous,
                "rr_next_s": following,
                "padded": padded,
            }
            yield Sample(f"{sample.id}:{beat.number}", row, dict(arrays))
        yield from _told(sample.id, passed)

    def _beats(self, sample: Stored, leads: Leads) -> tuple[list[Beat], Counter[str]]:
        """Beats in order of time, and counts of what is none."""
        wanted, passed = self.options.annotator, Counter[str]()
        found, annotators = [], set()
        for number, one in enumerate(sample.row.get("annotations") or ()):
            if wanted is not None and one["annotator"] != wanted:
                passed["annotations of others"] += 1
            elif not self._is_beat(one["symbol"]):
                passed["annotations that are no beats"] += 1
            elif (place := leads.place(one["onset_s"])) is None:
                passed["beats in a gap or outside"] += 1
            else:
                annotators.add(one["annotator"])
                stretch, at, recorded = place
                own = recorded if one["sample"] is None else one["sample"]
                found.append(Beat(number, one["onset_s"], own, one["symbol"], stretch, at))
        if not found:
            raise DataError(
                "the record has no annotated beats",
                code="no-beats",
                hint="look at `annotator`, or take beats that are detected",
            )
        if len(annotators) > 1:
            raise DataError(
                "several annotators have beats", code="which-annotator", hint="name `annotator`"
            )
        return sorted(found, key=lambda beat: (beat.onset_s, beat.number)), passed

    def _is_beat(self, symbol: str) -> bool:
        classes = self.options.classes
        own = isinstance(classes, dict) and any(symbol in one for one in classes.values())
        return aami(symbol) is not None or own

    def _label(self, symbol: str) -> str | None:
        classes = self.options.classes
        if isinstance(classes, dict):
            return next((name for name, own in classes.items() if symbol in own), None)
        return aami(symbol) if classes == "aami" else symbol

    def _context(self, leads: Leads, beats: list[Beat], before: int, after: int) -> np.ndarray:
        """The median of all beats, whatever their class, in physical units."""
        picked = chosen(len(beats), len(leads.channels) * (before + after))
        cut = [
            _cut(leads, beats[at].stretch, beats[at].at - before, beats[at].at + after)
            for at in picked
        ]
        return leads.physical(median_beat(np.stack(cut)))

    def _row(self, sample: Stored, leads: Leads, rhythm: Rhythm) -> dict[str, Any]:
        """What all beats of a record share."""
        row = {
            **kept(sample.row, self.options.keep),
            "rate": leads.rate,
            "leads": [one.name for one in leads.channels],
            "units": [one.unit for one in leads.channels],
            "rr_median_s": median_rr(np.array([one for one, _ in rhythm], np.float64)),
        }
        if self.options.values == "digital":
            row["gain"] = [one.gain for one in leads.channels]
            row["baseline"] = [one.baseline for one in leads.channels]
        return row


def _rhythm(beats: Sequence[Beat]) -> Rhythm:
    """Seconds from the beat before and to the next one; None: there is none, or a gap between."""
    steps: list[float | None] = [
        later.onset_s - one.onset_s if later.stretch == one.stretch else None
        for one, later in pairwise(beats)
    ]
    return list(zip([None, *steps], [*steps, None], strict=True))


def _cut(leads: Leads, stretch: Stretch, start: int, stop: int) -> np.ndarray:
    """Samples from one place of a stretch to another; beyond its ends the last one goes on."""
    low, high = max(start, 0), min(stop, stretch.size)
    values = leads.read(stretch, low, high)
    if (low, high) != (start, stop):
        values = np.pad(values, ((0, 0), (low - start, stop - high)), mode="edge")
    return values


def _told(record: str, passed: Counter[str]) -> Iterator[Refusal]:
    """What became of annotations that are no sample: a line for each reason."""
    for reason, count in sorted(passed.items()):
        code = reason.replace(" ", "-")
        yield Refusal(
            record, code, f"{count} {reason}", sample=f"{record}:{code}", kind="passed-over"
        )
