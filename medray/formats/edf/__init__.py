"""EDF, EDF+ and BDF: recordings as they were digitised, each channel at its own rate."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, field_validator

from medray.errors import DataError
from medray.formats.base import Format, FormatOptions, Found, Input, Source
from medray.formats.edf.beside import moved, recordings
from medray.formats.edf.header import FIXED, Header, Signal, header_bytes, parse
from medray.formats.edf.samples import HELD_BYTES, Samples
from medray.formats.edf.tals import Encoding, Told, stretches
from medray.formats.edf.write import ENDS, file_of
from medray.formats.files import (
    File,
    is_empty,
    item,
    nothing_found,
    open_path,
    place,
    replacing,
    stem,
    walk,
)
from medray.formats.imaging.values import check_pattern, subject_of
from medray.formats.naming import unique
from medray.formats.packed import grouped
from medray.formats.signal.deidentify import Deidentify, Pseudonyms
from medray.formats.signal.recording import (
    ARRAY,
    COLUMNS,
    Annotation,
    Channel,
    Segment,
    array_of,
    placed,
    row_of,
    spec_of,
)
from medray.storage.shards.holds import Holds, Needs, names
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Sample, Slabs

SUFFIXES = (".edf", ".bdf")
HEAD_BYTES = FIXED * 64  # of most files the whole header
ANNOTATOR = "edf"

__all__ = ["Edf"]


class EdfOptions(FormatOptions):
    """How recordings in EDF are read."""

    deidentify: Deidentify = Deidentify()
    subject: Literal["file", "patient"] = Field(
        "file", description="whose a recording is: each its own, or by the patient's code in it"
    )
    subject_pattern: str = Field(
        "", description="regular expression whose first group in a file's path is its subject"
    )
    texts: tuple[str, ...] | None = Field(
        None,
        description="annotations whose texts are kept, the others lose theirs; null: all, but "
        "none where de-identification is on",
    )
    encoding: Encoding = Field("utf-8", description="of the texts of annotations")
    records: Literal["header", "file"] = Field(
        "header", description="file: as many data records as a file holds, whatever it says"
    )
    times: Literal["records", "header"] = Field(
        "records", description="header: of files without gaps, whatever their data records tell"
    )
    start: Literal["header", "ignore"] = Field("header", description="ignore: no date is read")

    join: str = Field(
        "",
        description="regular expression whose first group is equal in the paths of files of one "
        "recording: one with signals, the others of annotations alone, e.g. '(SC\\d{4}[A-Z])'",
    )

    _pattern = field_validator("subject_pattern", "join")(check_pattern)


class Edf(Format):
    """EDF, EDF+C, EDF+D, BDF and BDF+; one sample a file, or a recording's files (`join`).

    Arrays `signal_<rate>` (channel, time) hold the digital values; columns are those of
    `signal.recording`.
    """

    name: ClassVar[str] = "edf"
    Options: ClassVar[type[FormatOptions]] = EdfOptions
    options: EdfOptions

    def holds(self) -> Holds:
        """Recordings; only headers tell of which rates."""
        return Holds(None, names(COLUMNS))

    def ready(self) -> None:
        """Look for the site's key.

        Raises:
            SpecError: it is missing or weak.
        """
        super().ready()
        Pseudonyms(self.options.deidentify)

    def ready_to_write(self) -> None:
        """Nothing: what is written has its pseudonyms already."""

    def plan(self, source: Source) -> Found:
        """An input a recording, by headers: rates of channels, and whether sizes fit."""
        hidden = Pseudonyms(self.options.deidentify)
        found, refused = walk(source, SUFFIXES)
        if is_empty(found, refused):
            nothing_found(source, "EDF or BDF file", "they end in .edf or .bdf")
        refused = [hidden.refusal(one) for one in refused]
        rates: Counter[float] = Counter()
        read: list[tuple[File, bool]] = []
        for file in found:
            source.fetch(file.path, HEAD_BYTES)
            try:
                found_here = self._rates(source, file)
            except DataError as error:
                refused.append(hidden.refusal(Refusal.of(file.path, error, path=file.path)))
                continue
            source.drop(file.path)
            rates |= found_here  # of each file's channels at a rate the most
            read.append((file, bool(found_here)))
        unclear: list[Refusal] = []
        items = [
            item(hidden.name("record", stem(own[0].path, SUFFIXES)), own, hidden=hidden.fingerprint)
            for own in recordings(read, self.options.join, unclear)
        ]
        refused += map(hidden.refusal, unclear)
        items.sort(key=lambda one: one.key)
        kept = list(unique(items, refused))
        arrays = {array_of(rate): spec_of(rate, many) for rate, many in sorted(rates.items())}
        return Found(grouped(kept, samples=16), refused, arrays=arrays)

    def shown(self, item: Input) -> tuple[str, str]:
        """Its file, where the job says that paths name nobody."""
        return ("" if Pseudonyms(self.options.deidentify).keyed else item.paths[0]), ""

    def read(self, source: Source, item: Input) -> Iterator[Sample | Refusal]:
        """The recording; one that is large comes in slabs along time."""
        hidden = Pseudonyms(self.options.deidentify)
        try:
            paths = [open_path(source, path) for path in item.paths]
            yield self._recording(paths, item, hidden)
        except DataError as error:
            # Paths often hold names: the key is all that leaves.
            raise DataError(
                error.message, code=error.code, about=item.key, hint=error.hint
            ) from error

    def _recording(self, paths: list[Path], item: Input, hidden: Pseudonyms) -> Sample:
        header, samples, told = self._opened(paths[0])
        begin = next((one for _, one in told.begins if one is not None), Decimal(0))
        segments = self._segments(header, samples, told)
        kept = _kept(samples, header, told, begin, gaps=len(segments) > 1)
        channels = placed(
            _channel(signal, header, keyed=hidden.keyed)
            for signal in header.signals
            if not signal.told
        )
        subject = self._subject(item.paths[0], header)
        start = _later(header.start, begin)
        length = segments[-1].onset_s + segments[-1].duration_s
        if kept is not None:
            length = float(kept)
        for path in paths[1:]:
            other, _, beside = self._opened(path)
            told.notes += moved(beside, other, header)
        if len(paths) > 1:
            told.notes.sort(key=lambda note: note[0])
        notes = self._annotations(told, begin, keyed=hidden.keyed)
        if not channels:
            length = max((one.onset_s + (one.duration_s or 0) for one in notes), default=0.0)
        row = row_of(
            channels,
            record=item.key,
            subject=hidden.name("subject", subject),
            duration_s=length,
            start_time=hidden.start(start, subject),
            annotations=notes,
            segments=segments if len(segments) > 1 else (),
        )
        return Sample(item.key.replace("/", "_"), row, _arrays(samples, header, kept))

    def _opened(self, path: Path) -> tuple[Header, Samples, Told]:
        header, told = self._header(path), Told()
        samples = Samples(path, header, header.count(path.stat().st_size, by_file=self._by_file))
        for fields in samples.told():
            told.take(fields, header.duration, self.options.encoding)
        return header, samples, told

    def needs(self) -> Needs:
        """Channels of a recording, or annotations alone."""
        return Needs(either="annotations", hint="of recordings, and of what was predicted of them")

    def takes(self, names: frozenset[str]) -> frozenset[str]:
        """Signals as they were recorded."""
        return frozenset(name for name in names if name.startswith(ARRAY))

    def write(self, samples: Iterable[Sample], target: Path) -> Iterator[Path]:
        """`<sample>.edf` (EDF+C, or EDF+D where there are gaps), or .bdf of values beyond 16 bits;
        of samples without signals a file of annotations alone. Equal samples, equal bytes.

        Raises:
            DataError: as `edf.write.file_of`, about the sample.
        """
        for sample in samples:
            place(target, sample.id, "")
            try:
                ending, blocks = file_of(sample)
            except DataError as error:
                raise DataError(error.message, code=error.code, about=sample.id) from error
            path = place(target, sample.id, ending)
            with replacing(path) as temporary, temporary.open("wb") as file:
                file.writelines(blocks)
            yield path

    @property
    def _by_file(self) -> bool:
        return self.options.records == "file"

    def _header(self, path: Path) -> Header:
        with path.open("rb") as file:
            data = file.read(FIXED)
            data += file.read(header_bytes(data) - FIXED)
        return parse(data, start=self.options.start)

    def _rates(self, source: Source, file: File) -> Counter[float]:
        path = open_path(source, file.path)
        with path.open("rb") as opened:
            size = header_bytes(opened.read(FIXED))
        if size > HEAD_BYTES:
            source.fetch(file.path, size)
        header = self._header(path)
        header.count(file.size, by_file=self._by_file)
        return Counter(header.rate(one.samples) for one in header.signals if not one.told)

    def _segments(self, header: Header, samples: Samples, told: Told) -> list[Segment]:
        by_header = self.options.times == "header" and not header.gaps
        begins = told.begins[:1] if by_header else told.begins
        fastest = max(samples.groups, default=0)
        step = 1 / header.rate(fastest) if fastest else float(header.duration)
        return stretches(begins, samples.count, header.duration, step, gaps=header.gaps)

    def _subject(self, path: str, header: Header) -> str:
        options = self.options
        if options.subject_pattern:
            return subject_of(path, options.subject_pattern)
        if options.subject == "file":
            return stem(path, SUFFIXES)
        if not header.patient_code:
            raise DataError("the header names no patient", code="no-subject")
        return header.patient_code

    def _annotations(self, told: Told, begin: Decimal, *, keyed: bool) -> list[Annotation]:
        allowed = self.options.texts
        everything = allowed is None and not keyed
        return [
            Annotation(
                ANNOTATOR,
                float(onset - begin),
                None if duration is None else float(duration),
                text if everything or text in (allowed or ()) else "",
            )
            for onset, duration, text in told.notes
        ]


def _later(start: datetime | None, seconds: Decimal) -> datetime | None:
    try:
        return start and start + timedelta(seconds=float(seconds))
    except OverflowError as error:
        raise DataError("the first data record begins in no year", code="bad-date") from error


def _channel(signal: Signal, header: Header, *, keyed: bool) -> Channel:
    """What a signal's integers mean; free text stays behind where de-identification is on."""
    (low, high), (least, most) = signal.physical, signal.digital
    gain = (most - least) / (high - low) if high != low else 0.0
    calibrated = 0 < abs(gain) < float("inf")
    gain = gain if calibrated else 1.0
    return Channel(
        name=signal.label,
        unit=signal.unit,
        rate=header.rate(signal.samples),
        gain=gain,
        baseline=least - low * gain if calibrated else 0.0,
        calibrated=calibrated,
        low=least,
        high=most,
        transducer="" if keyed else signal.transducer,
        prefilter="" if keyed else signal.prefilter,
    )


def _kept(
    samples: Samples, header: Header, told: Told, begin: Decimal, *, gaps: bool
) -> Decimal | None:
    """Where the recording ends, in seconds, if an annotation says so within the last data record
    and nothing comes behind it but one value of each channel: what fills the record up."""
    found = [onset - begin for onset, _, text in told.notes if text == ENDS]
    last = header.duration * (samples.count - 1)
    if gaps or len(found) != 1 or not last < found[0] < last + header.duration:
        return None
    for many, values in samples.last().items():
        rest = values[:, _count(header, many, found[0]) - many * (samples.count - 1) :]
        if rest.size and (rest != rest[:, :1]).any():
            return None
    return found[0]


def _count(header: Header, many: int, seconds: Decimal) -> int:
    """Samples before a time, of channels that have `many` in a data record."""
    return math.ceil(round(float(seconds / header.duration * many), 6))


def _arrays(
    samples: Samples, header: Header, kept: Decimal | None
) -> dict[str, np.ndarray | Slabs]:
    arrays: dict[str, np.ndarray | Slabs] = {}
    if samples.size <= HELD_BYTES:
        whole = samples.whole().items()
        return {
            array_of(header.rate(many)): one
            if kept is None
            else np.ascontiguousarray(one[:, : _count(header, many, kept)])
            for many, one in whole
        }
    for many, group in samples.groups.items():
        count = many * samples.count if kept is None else _count(header, many, kept)
        shape = len(group), count
        parts = samples.parts(many, shape[1])
        arrays[array_of(header.rate(many))] = Slabs(shape, samples.dtype, 1, parts)
    return arrays
