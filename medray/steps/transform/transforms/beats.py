"""Beats of recordings: a stretch of the signal around each, its class and its rhythm."""

from collections import Counter
from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from medray.errors import DataError
from medray.formats.signal.aami import aami
from medray.formats.signal.beats import (
    Beat,
    Rhythm,
    annotated,
    cut,
    detected,
    median_of,
    rhythm_of,
)
from medray.formats.signal.context import median_rr
from medray.formats.signal.leads import Leads, kept, told, wanted_of
from medray.steps.transform.transforms.base import Transformation, TransformOptions
from medray.storage.shards.holds import Holds, Needs, named, names
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Sample
from medray.storage.shards.schema import Arrays, ArraySpec, Axis
from medray.storage.shards.stored import Stored

_AXES = (Axis("lead", "channel"), Axis("time", "time", "second"))
SIGNAL = ArraySpec(_AXES, ("int16", "int32", "float32"), chunk=(None, None))
CONTEXT = ArraySpec(_AXES, ("float32",), chunk=(None, None))


class BeatOptions(TransformOptions):
    """Which beats, of which leads, and what is cut out around them."""

    beats: Literal["annotated", "detected"] = Field(
        "annotated", description="detected: found in the leads, and without symbol and label"
    )
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
        before, after = round(options.before_s * leads.rate), round(options.after_s * leads.rate)
        if not before + after:
            raise DataError(
                "a beat would have no samples", code="no-samples", hint="raise `after_s`"
            )
        beats, passed = self._beats(sample, leads)
        rhythm = rhythm_of(beats)
        context = median_of(leads, beats, before, after) if options.context else None
        base = self._row(sample, leads, rhythm)
        for beat, (previous, following) in zip(beats, rhythm, strict=True):
            label = self._label(beat.symbol)
            if label is None and beat.symbol:
                passed["beats of other classes"] += 1
                continue
            start, stop = beat.at - before, beat.at + after
            padded = max(0, -start) + max(0, stop - beat.stretch.size)
            if padded and options.edges == "leave-out":
                passed["beats at an edge"] += 1
                continue
            values = cut(leads, beat.stretch, start, stop)
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
        yield from told(sample.id, passed)

    def _beats(self, sample: Stored, leads: Leads) -> tuple[list[Beat], Counter[str]]:
        """Beats in order of time, and counts of annotations that are none."""
        if self.options.beats == "detected":
            found, passed = detected(sample, leads), Counter[str]()
        else:
            found, passed = annotated(sample, leads, self.options.annotator, self._is_beat)
        if not found:
            raise DataError(
                "the record has no beats",
                code="no-beats",
                hint="look at `annotator` and `leads`, or take `beats: detected`",
            )
        return found, passed

    def _is_beat(self, symbol: str) -> bool:
        classes = self.options.classes
        own = isinstance(classes, dict) and any(symbol in one for one in classes.values())
        return aami(symbol) is not None or own

    def _label(self, symbol: str) -> str | None:
        classes = self.options.classes
        if not symbol:
            return None
        if isinstance(classes, dict):
            return next((name for name, own in classes.items() if symbol in own), None)
        return aami(symbol) if classes == "aami" else symbol

    def _row(self, sample: Stored, leads: Leads, rhythm: Rhythm) -> dict[str, Any]:
        """What all beats of a record share."""
        return {
            **kept(sample.row, self.options.keep),
            **leads.columns(digital=self.options.values == "digital"),
            "rr_median_s": median_rr(np.array([one for one, _ in rhythm], np.float64)),
        }
