"""Windows of recordings: equal lengths, what annotations say of them, how good they are."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from medray.errors import DataError
from medray.formats.signal.aami import aami
from medray.formats.signal.beats import annotated, detected, median_of, rhythm_of
from medray.formats.signal.context import median_rr
from medray.formats.signal.leads import Leads, Stretch, kept, told, wanted_of
from medray.formats.signal.quality import sound_share
from medray.formats.signal.tracks import NOT_JUDGED, Span, Track, foremost, majority, of_array
from medray.ids import fraction
from medray.steps.transform.transforms.base import Transformation, TransformOptions
from medray.storage.shards.holds import Holds, Needs, named, names
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Sample
from medray.storage.shards.schema import Arrays, ArraySpec, Axis
from medray.storage.shards.stored import Stored

_TIME = Axis("time", "time", "second")
_AXES = (Axis("lead", "channel"), _TIME)
CHUNK_SAMPLES = 2**16  # of windows that are longer
MOST_SAMPLES = 2**24  # of a window, over all leads
Judge = Callable[[int, int], np.ndarray]


class WindowOptions(TransformOptions):
    """How recordings are cut, and what a window is called."""

    length_s: float = Field(gt=0, description="seconds of a window")
    step_s: float | None = Field(
        None, gt=0, description="seconds from one to the next; null: none overlap"
    )
    leads: list[str | list[str]] = Field(
        [], description="names; a list of names is one lead, the first that is there; none: all"
    )
    rate: float | None = Field(
        None, gt=0, le=100_000, description="samples a second; null: as recorded"
    )
    label: Literal["none", "majority", "any", "samples"] = Field(
        "none",
        description="majority: the class of most samples; any: the first class in the order of "
        "`classes` that any has; samples: an array `label` with the class of each",
    )
    classes: dict[str, list[str]] = Field(
        {}, description="each with the symbols or texts of its annotations, by order 0, 1, …"
    )
    other: str | None = Field(
        None, description="class of what no annotation covers; null: it is not judged"
    )
    lasts: Literal["duration", "until-next", "point"] = Field(
        "duration",
        description="how long an annotation counts: as it says; until the next one of a class, "
        "which may be unknown, as of rhythms; or for its sample alone",
    )
    annotator: str | None = Field(None, description="whose annotations; null: all")
    array: str | None = Field(
        None, description="array (time,) with a class's number for each sample, instead of these"
    )
    flat_s: float = Field(0.5, gt=0, description="equal values for so long are a flat line")
    min_quality: float = Field(
        0, ge=0, le=1, description="share of sound values below which a window is left out"
    )
    limits: tuple[float, float] | None = Field(
        None, description="in units of the leads: values that are not between them are not sound"
    )
    block_s: float | None = Field(
        None,
        gt=0,
        description="seconds that stay together, in a column `block`; windows over two of them are "
        "left out",
    )
    folds: int | None = Field(
        None, ge=2, le=1000, description="also a column `fold`, for cross-validation"
    )
    parted: Literal["blocks", "windows"] = Field(
        "blocks",
        description="blocks go to folds 0, 1, … in turn; or each window to one by chance, which "
        "leaks where windows overlap or neighbours are alike",
    )
    values: Literal["digital", "physical"] = Field(
        "digital", description="integers with gain and baseline beside, or float32 in units"
    )
    context: Literal["none", "annotated", "detected"] = Field(
        "none", description="an array `context`: the median beat of the record, of such beats"
    )
    before_s: float = Field(0.35, ge=0, le=30, description="of the median beat, before its place")
    after_s: float = Field(0.65, gt=0, le=30, description="of the median beat, from it on")
    keep: list[str] = Field([], description="further columns of the record that windows get")

    @model_validator(mode="after")
    def _classes(self) -> "WindowOptions":
        if self.label != "none" and not 0 < len(self.classes) < NOT_JUDGED:
            raise ValueError("labels need `classes`, 254 at most")
        if self.other is not None and self.other not in self.classes:
            raise ValueError("`other` is one of the classes")
        if self.folds is not None and self.parted == "blocks" and self.block_s is None:
            raise ValueError("`folds` of blocks need `block_s`, their seconds")
        if self.folds is None and self.parted == "windows":
            raise ValueError("`parted` says how windows go to `folds`, their number")
        if self.limits is not None and not self.limits[0] < self.limits[1]:
            raise ValueError("`limits` are the lower one, then the upper one")
        return self


class Windows(Transformation):
    """A recording to its windows, none of which crosses a gap.

    Arrays: `signal` (lead, time) as of `beats`; `label` uint8 (time,) with `label: samples`, 255
    where nothing is judged; `context` (lead, time) where asked. Rows have `record`, `subject`,
    `split` and `fold` of the recording where it has them; `start_sample` and `rate` of the window's
    array, counted from the record's start (gaps take no place), `onset_s`; `leads`, `units`, `gain`
    and `baseline`; `label`, and `quality`, the share of values that are sound; `block`, by its
    record and number, and `fold`, where they are asked for. A remainder shorter than a window is
    passed over.
    """

    name: ClassVar[str] = "windows"
    Options: ClassVar[type[TransformOptions]] = WindowOptions
    options: WindowOptions

    @classmethod
    def needs(cls, options: WindowOptions, role: str = "") -> Needs:
        """Recordings."""
        arrays = (names(options.array),) if options.array else ()
        columns = names("channels", options.keep)
        return Needs(arrays, columns, hint="ingest recordings by a format of signals")

    @classmethod
    def arrays(cls, options: WindowOptions, using: frozenset[str]) -> Arrays:
        """See the class."""
        kinds = ("int16", "int32", "float32")
        made = {"signal": ArraySpec(_AXES, kinds, chunk=(None, CHUNK_SAMPLES))}
        if options.label == "samples":
            made["label"] = ArraySpec((_TIME,), ("uint8",), chunk=(CHUNK_SAMPLES,))
        if options.context != "none":
            made["context"] = ArraySpec(_AXES, ("float32",), chunk=(None, None))
        return made

    @classmethod
    def holds(cls, options: WindowOptions, using: frozenset[str]) -> Holds:
        """Columns of the record go along, and only the data know which there are."""
        return Holds(named(cls.arrays(options, using)))

    def apply(self, sample: Stored) -> Iterator[Sample | Refusal]:
        """The windows of one record, in order.

        Raises:
            DataError: a window would be too long ("window-too-long") or have no sample
                ("no-samples"), the record has no beats ("no-beats") or a fold already
                ("fold-is-taken"); see medray.formats.signal.leads too.
        """
        options = self.options
        leads = Leads(sample, wanted_of(sample.row, options.leads), options.rate)
        length = round(options.length_s * leads.rate)
        step = round((options.step_s or options.length_s) * leads.rate)
        if not length or not step:
            raise DataError("a window would have no samples", code="no-samples")
        if length * len(leads.channels) > MOST_SAMPLES:
            raise DataError("a window would be too long", code="window-too-long")
        if options.folds is not None and "fold" in sample.row:
            raise DataError("the record has a fold already", code="fold-is-taken")
        context, more = self._context(sample, leads)
        digital = options.values == "digital"
        base = {**kept(sample.row, options.keep), **leads.columns(digital=digital), **more}
        passed = Counter[str]()
        for stretch, start, judge in self._places(sample, leads, length, step):
            name = f"{sample.id}:{stretch.start + start}"
            parts = self._parts(sample, name, round(stretch.onset_s * leads.rate) + start, leads)
            if parts is None:
                passed["windows over two blocks"] += 1
                continue
            values = leads.read(stretch, start, start + length)
            quality = self._quality(leads, values)
            label, kinds = self._label(judge, start, start + length)
            if quality < options.min_quality:
                passed["windows of low quality"] += 1
                continue
            if options.label in ("majority", "any") and label is None:
                passed["windows that are not judged"] += 1
                continue
            row = {
                **base,
                **parts,
                "start_sample": stretch.start + start,
                "onset_s": stretch.onset_s + start / leads.rate,
                "quality": quality,
            }
            if options.label in ("majority", "any"):
                row["label"] = label
            arrays = {"signal": leads.packed(values) if digital else leads.physical(values)}
            if kinds is not None:
                arrays["label"] = kinds
            if context is not None:
                arrays["context"] = context
            yield Sample(name, row, dict(arrays))
        short = sum((one.size - length) % step > 0 or one.size < length for one in leads.stretches)
        passed["ends shorter than a window"] += short
        yield from told(sample.id, +passed)

    def _places(
        self, sample: Stored, leads: Leads, length: int, step: int
    ) -> Iterator[tuple[Stretch, int, Judge | None]]:
        """Where windows begin, and who tells the classes of samples there."""
        spans = self._spans(sample)
        classes = list(self.options.classes)
        other = NOT_JUDGED if self.options.other is None else classes.index(self.options.other)
        for stretch in leads.stretches:
            judge: Judge | None = None
            if self.options.label != "none" and self.options.array is None:
                judge = Track(leads, stretch, spans, other).read
            elif self.options.label != "none" and self.options.array is not None:
                judge = _of_array(sample, self.options.array, leads, stretch, len(classes))
            for start in range(0, stretch.size - length + 1, step):
                yield stretch, start, judge

    def _parts(self, sample: Stored, name: str, place: int, leads: Leads) -> dict[str, Any] | None:
        """Block and fold of a window whose first sample is the record's so-manieth, gaps counted;
        None: it lies over two blocks."""
        options, found = self.options, dict[str, Any]()
        number = 0
        if options.block_s is not None:
            length, block = round(options.length_s * leads.rate), options.block_s * leads.rate
            # By the middles of its first and last sample: a border on a sample is that sample's.
            number, last = int((place + 0.5) // block), int((place + length - 0.5) // block)
            if number != last:
                return None
            found["block"] = f"{sample.row.get('record') or sample.id}:{number}"
        if options.folds is not None:
            by_chance = options.parted == "windows"
            drawn = int(fraction(0, f"fold\0{name}") * options.folds) if by_chance else number
            found["fold"] = drawn % options.folds
        return found

    def _spans(self, sample: Stored) -> list[Span]:
        """What annotations cover, in the order in which it counts: the last of these wins."""
        options = self.options
        kind_of = {
            name: number
            for number, several in enumerate(options.classes.values())
            for name in several
        }
        own = sorted(
            (
                one
                for one in sample.row.get("annotations") or ()
                if options.annotator in (None, one["annotator"])
            ),
            key=lambda one: float(one["onset_s"]),
        )
        if options.lasts == "until-next":
            return _until_next(own, kind_of, float(sample.row["duration_s"]))
        found = []
        for one in own:
            kind = kind_of.get(one["text"], kind_of.get(one["symbol"]))
            if kind is not None:
                point = options.lasts == "point"
                lasts = 0.0 if point else float(one["duration_s"] or 0.0)
                found.append(Span(one["onset_s"], one["onset_s"] + lasts, kind))
        return sorted(found, key=lambda one: -one.kind) if options.label == "any" else found

    def _label(
        self, judge: Judge | None, start: int, stop: int
    ) -> tuple[str | None, np.ndarray | None]:
        """The window's class, or that of each of its samples."""
        if judge is None:
            return None, None
        kinds = judge(start, stop)
        if self.options.label == "samples":
            return None, kinds
        classes = list(self.options.classes)
        if self.options.label == "majority":
            found = majority(kinds, len(classes))
        else:
            other = self.options.other
            found = foremost(kinds, NOT_JUDGED if other is None else classes.index(other))
        return None if found is None else classes[found], None

    def _quality(self, leads: Leads, values: np.ndarray) -> float:
        limits = np.iinfo(leads.dtype)
        flat = max(2, round(self.options.flat_s * leads.rate))
        ends = (limits.min, limits.max)
        return sound_share(values, leads.channels, flat, ends, self.options.limits)

    def _context(self, sample: Stored, leads: Leads) -> tuple[np.ndarray | None, dict[str, Any]]:
        """The record's median beat and rhythm, where it is asked for."""
        options = self.options
        if options.context == "none":
            return None, {}
        if options.context == "detected":
            beats = detected(sample, leads)
        else:
            beats, _ = annotated(
                sample, leads, options.annotator, lambda one: aami(one) is not None
            )
        before, after = round(options.before_s * leads.rate), round(options.after_s * leads.rate)
        if not beats or not before + after:
            raise DataError("the record has no beats", code="no-beats")
        rhythm = np.array([one for one, _ in rhythm_of(beats)], np.float64)
        return median_of(leads, beats, before, after), {"rr_median_s": median_rr(rhythm)}


def _until_next(
    own: list[dict[str, Any]], kind_of: dict[str, int], duration_s: float
) -> list[Span]:
    """Spans of annotations that count until the next of their sort: one whose symbol is the same.

    What has no class ends the one before, and is not judged.
    """
    symbols = {one["symbol"] for one in own if one["text"] in kind_of or one["symbol"] in kind_of}
    several = [one for one in own if one["symbol"] in symbols]
    ends = [float(one["onset_s"]) for one in several[1:]] + [duration_s] * bool(several)
    found = []
    for one, end in zip(several, ends, strict=True):
        kind = kind_of.get(one["text"], kind_of.get(one["symbol"]))
        found.append(Span(one["onset_s"], end, NOT_JUDGED if kind is None else kind))
    return found


def _of_array(sample: Stored, name: str, leads: Leads, stretch: Stretch, count: int) -> Judge:
    values = sample.array(name)

    def judge(start: int, stop: int) -> np.ndarray:
        kinds = of_array(values, leads, stretch, start, stop)
        kinds[kinds >= count] = NOT_JUDGED
        return kinds

    return judge
