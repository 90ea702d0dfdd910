"""Beats and windows of signals in .npz archives: a sample each, with what its record says of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from medray.errors import DataError
from medray.formats.base import Format, FormatOptions, Found, Input, Source
from medray.formats.files import is_empty, item, nothing_found, open_path, stem, walk
from medray.formats.naming import Apart
from medray.formats.npz import Array, Member, member, opened, values_of
from medray.formats.packed import grouped
from medray.formats.signal.context import median_beat, median_rr, physical
from medray.storage.shards.holds import Holds, named, names
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Sample
from medray.storage.shards.schema import Arrays, ArraySpec, Axis

SUFFIXES = (".npz",)
# Stored as they are, or in the next type that holds their values.
STORED = {
    "int8": "int16", "uint8": "int16", "int16": "int16", "uint16": "int32", "int32": "int32",
    "float16": "float32", "float32": "float32", "float64": "float32",
}  # fmt: skip
_AXES = (Axis("lead", "channel"), Axis("time", "time", "second"))
_NUMBER = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class SignalNpzOptions(FormatOptions):
    """Which array of the archive is what; "" where there is none."""

    signal: str = Field("signal", description="(samples, time) or (samples, lead, time)")
    rate: _NUMBER | str = Field("rate", description="samples a second, or the array that says it")
    scale: _NUMBER | str = Field(
        "", description="physical units a digital step, or the array that says it: one, or by lead"
    )
    unit: str = Field("", description="of physical values, e.g. mV; pages are drawn by it")
    leads: tuple[str, ...] = Field((), description="names of the leads, in order")
    labels: str = Field("", description="array of classes: texts, or numbers with `classes`")
    classes: tuple[str, ...] = Field((), description="names of the numbers 0, 1, …")
    record: str = Field("", description="array that says whose they are; else the file does")
    symbol: str = Field("", description="array of symbols of beats, as annotators wrote them")
    rr: str = Field("", description="(samples, 2): seconds since the beat before, to the next")
    start: str = Field("", description="array of where in its record each begins, in samples")
    columns: dict[str, str] = Field({}, description="further columns: name → array (samples,)")
    context: Literal["none", "median-beat"] = Field(
        "none", description="an array `context` beside each signal: the median of its record's"
    )
    max_bytes: int = Field(2**31, ge=1, description="refuse archives of more, unpacked")


@dataclass(frozen=True)
class _Read:
    """An archive's arrays: signals as stored (samples, lead, time), and columns by name."""

    signals: Array
    record: list[str]
    columns: dict[str, list[Any]]
    fixed: dict[str, Any]


class SignalNpz(Format):
    """Signals of one length, cut from records before: an archive holds many."""

    name: ClassVar[str] = "signal-npz"
    Options: ClassVar[type[FormatOptions]] = SignalNpzOptions
    options: SignalNpzOptions

    def arrays(self) -> Arrays:
        """The signal, and where it is asked for its record's median."""
        signal = ArraySpec(_AXES, tuple(sorted(set(STORED.values()))), chunk=(None, None))
        if self.options.context == "none":
            return {"signal": signal}
        return {"signal": signal, "context": ArraySpec(_AXES, ("float32",), chunk=(None, None))}

    def holds(self) -> Holds:
        """Columns of what the options name."""
        options = self.options
        columns = names("record", "subject", "rate", "leads", options.columns)
        columns |= names("gain", "baseline") if options.scale else names()
        columns |= names("units") if options.unit else names()
        columns |= names("label") if options.labels else names()
        columns |= names("symbol") if options.symbol else names()
        columns |= names("start_sample") if options.start else names()
        columns |= names("rr_prev_s", "rr_next_s", "rr_median_s") if options.rr else names()
        return Holds(named(self.arrays()), columns)

    def plan(self, source: Source) -> Found:
        """An archive is an input, and makes a shard."""
        found, refused = walk(source, SUFFIXES)
        if is_empty(found, refused):
            nothing_found(source, "archive of signals", "they end in .npz")
        items, apart = list[Input](), Apart()
        for one in found:
            name = stem(one.path, SUFFIXES)
            try:
                apart.require(name)
            except DataError as error:
                refused.append(Refusal.of(one.path, error))
            else:
                items.append(item(one.path, [one], id=name.replace("/", "_")))
        return Found(grouped(items, samples=1), refused)

    def read(self, source: Source, item: Input) -> Iterator[Sample | Refusal]:
        """A sample for each entry, named by its number; those with holes are refused."""
        name = str(item.extra["id"])
        held = self._read(source, item, name)
        contexts = self._contexts(held)
        good: Array = np.ones(len(held.signals), bool)
        if held.signals.dtype.kind == "f":
            good = np.asarray(np.isfinite(held.signals).all(axis=(1, 2)))
        for at, fits in enumerate(good.tolist()):
            sample_id = f"{name}-{at:07d}"
            if not fits:
                fault = DataError("a value is NaN or infinite", code="nonfinite-signal")
                yield Refusal.of(item.key, fault, sample=sample_id)
                continue
            record = held.record[at]
            row = {"record": record, "subject": record, **held.fixed}
            row |= {column: values[at] for column, values in held.columns.items()}
            arrays: dict[str, Any] = {"signal": held.signals[at]}
            if contexts:
                arrays["context"] = contexts[record]
            yield Sample(sample_id, row, arrays)

    def _contexts(self, held: _Read) -> dict[str, Array]:
        """The median signal of each record, in physical units."""
        if self.options.context == "none":
            return {}
        gain, baseline = held.fixed.get("gain"), held.fixed.get("baseline")
        return {
            record: physical(median_beat(held.signals[own]), gain, baseline)
            for record, own in _parted(held.record).items()
        }

    def _read(self, source: Source, item: Input, name: str) -> _Read:
        options = self.options
        wanted = {"signal": options.signal, "labels": options.labels, "record": options.record}
        wanted |= {"symbol": options.symbol, "rr": options.rr, "start": options.start}
        wanted |= {f"column {own}": array for own, array in options.columns.items()}
        wanted |= {
            what: value
            for what, value in (("rate", options.rate), ("scale", options.scale))
            if isinstance(value, str)
        }
        with opened(open_path(source, item.paths[0])) as archive:
            found = {
                what: member(archive, f"{array}.npy", texts=what != "signal")
                for what, array in wanted.items()
                if array
            }
            self._fits(found)
            arrays = {what: values_of(archive, one) for what, one in found.items()}
        signals = arrays["signal"]
        signals = signals[:, None] if signals.ndim == 2 else signals
        with np.errstate(over="ignore"):  # what becomes infinite is refused
            signals = signals.astype(STORED[str(signals.dtype)], copy=False)
        record = [name] * len(signals)
        if "record" in arrays:
            record = [str(one) for one in _plain(arrays["record"], "record")]
        fixed = self._fixed(arrays, signals.shape[1])
        return _Read(signals, record, self._columns(arrays, record), fixed)

    def _fits(self, found: dict[str, Member]) -> None:
        """Refuse what has not one entry for each signal, or is too large."""
        signal = found["signal"]
        if len(signal.shape) not in (2, 3) or 0 in signal.shape:
            raise DataError("signals are (samples, time) or with leads", code="bad-signal-shape")
        if str(signal.dtype.newbyteorder("=")) not in STORED:
            raise DataError("signals of a type that is not kept", code="bad-signal-type")
        size = sum(one.bytes for one in found.values())
        if size > self.options.max_bytes:
            raise DataError(f"arrays of {size} bytes", code="array-too-large")
        for what, one in found.items():
            wide = (2,) if what == "rr" else ()
            wanted = [(), (1,)] if what in ("rate", "scale") else [(signal.shape[0], *wide)]
            if what == "scale":
                wanted += [(signal.shape[1],)] if len(signal.shape) == 3 else []
            if what != "signal" and one.shape not in wanted:
                raise DataError(f"the array for {what} counts otherwise", code="uneven-npz")

    def _fixed(self, arrays: dict[str, Array], leads: int) -> dict[str, Any]:
        """What is the same of all samples of an archive."""
        options = self.options
        if options.leads and len(options.leads) != leads:
            raise DataError(
                f"{leads} leads, and {len(options.leads)} names for them", code="uneven-leads"
            )
        given = arrays["rate"] if isinstance(options.rate, str) else options.rate
        fixed: dict[str, Any] = {"rate": _positive(given, "rate")[0]}
        fixed["leads"] = list(options.leads) or [str(at + 1) for at in range(leads)]
        if options.unit:
            fixed["units"] = [options.unit] * leads
        if options.scale:
            scale = arrays["scale"] if isinstance(options.scale, str) else options.scale
            steps = [1 / one for one in _positive(scale, "scale")]
            fixed["gain"] = steps if len(steps) == leads else steps * leads
            fixed["baseline"] = [0.0] * leads
        return fixed

    def _columns(self, arrays: dict[str, Array], record: Sequence[str]) -> dict[str, list[Any]]:
        made: dict[str, list[Any]] = {}
        if "start" in arrays:
            if arrays["start"].dtype.kind not in "ui":
                raise DataError("places are no whole numbers", code="bad-column")
            made["start_sample"] = arrays["start"].tolist()
        if "symbol" in arrays:
            made["symbol"] = [str(one) for one in _plain(arrays["symbol"], "symbol")]
        if "labels" in arrays:
            made["label"] = self._labels(arrays["labels"])
        if "rr" in arrays:
            rr = _floats(arrays["rr"])
            made["rr_prev_s"], made["rr_next_s"] = rr[:, 0].tolist(), rr[:, 1].tolist()
            medians = {name: median_rr(rr[own, 0]) for name, own in _parted(record).items()}
            made["rr_median_s"] = [medians[one] for one in record]
        for name in self.options.columns:
            made[name] = _plain(arrays[f"column {name}"], name)
        return made

    def _labels(self, values: Array) -> list[str]:
        classes = self.options.classes
        if values.dtype.kind in "US" or not classes:
            told = [str(one) for one in _plain(values, "labels")]
            if classes and not set(told) <= set(classes):
                raise DataError("a label is none of the classes", code="unknown-label")
            return told
        numbers = _floats(values)
        if not (np.isin(numbers, np.arange(len(classes)))).all():
            raise DataError(f"a label is outside 0…{len(classes) - 1}", code="unknown-label")
        return [classes[int(one)] for one in numbers.tolist()]


def _parted(record: Sequence[str]) -> dict[str, Array]:
    """The places of each record's samples."""
    kinds, of = np.unique(np.asarray(record), return_inverse=True)
    order = np.argsort(of, kind="stable")
    cuts = np.cumsum(np.bincount(of, minlength=len(kinds)))[:-1]
    return dict(zip(kinds.tolist(), np.split(order, cuts), strict=True))


def _positive(given: Array | float, what: str) -> list[float]:
    """Numbers that are, as they were written: of float32 0.005 that is 0.005."""
    values = np.atleast_1d(np.asarray(given))
    if values.dtype.kind in "US":
        raise DataError(f"the {what} is no number", code=f"bad-{what}")
    made = [float(str(one)) for one in values]
    if not all(1e-12 < one < 1e12 for one in made):
        raise DataError(f"the {what} is no positive number", code=f"bad-{what}")
    return made


def _floats(values: Array) -> Array:
    if values.dtype.kind in "US":
        raise DataError("texts where numbers are expected", code="bad-column")
    return values.astype(np.float64)


def _plain(values: Array, what: str) -> list[Any]:
    """Values of a column, texts as texts."""
    try:
        made = values.tolist()
        if values.dtype.kind == "S":
            made = [one.decode() for one in made]
        if values.dtype.kind in "US":
            "".join(made).encode()
    except (ValueError, UnicodeError) as error:
        raise DataError(f"a text of {what} is none", code="bad-text") from error
    return list(made)
