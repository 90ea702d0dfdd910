"""MEDS 0.4, the Medical Event Data Standard: Parquet with an event a row, in and out."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from medray.errors import DataError, PassedOver
from medray.formats.base import Format, FormatOptions, Found, Input, Source
from medray.formats.events.columns import EVENT_ARRAYS, NEVER, Events
from medray.formats.events.parts import PART_COLUMNS, Accounted, parts_of
from medray.formats.files import File, is_empty, item, nothing_found, open_path, walk
from medray.formats.meds.write import write_meds
from medray.formats.packed import grouped
from medray.formats.signal.deidentify import Deidentify, Pseudonyms
from medray.storage.shards.holds import Holds, Needs, named, names
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Sample
from medray.storage.shards.schema import Arrays

SUFFIXES = (".parquet",)
STRETCH = 2**18  # rows of an input, about
TABLE = "data"
_NEEDED = ("subject_id", "time", "code")
_MORE = ("numeric_value", "text_value", "available_at", "unit", "number", "subject")
_DAMAGE = (pa.ArrowException, OSError, ValueError)


class MedsOptions(FormatOptions):
    """What of people is kept, and how they are called in what is written."""

    keep_text: bool = Field(False, description="keep `text_value`: words may name people")
    deidentify: Deidentify = Deidentify()
    ids: Literal["hash", "number"] = Field(
        "hash",
        description="written as `subject_id`: 63 bits of the name's hash, the name stands beside "
        "it; or the number that the name is, and nothing else is written",
    )


class Meds(Format):
    """A sample is what a stretch of a file says of a subject; `gather` makes subjects whole. Whole
    subjects are written, a file for each of their shards."""

    name: ClassVar[str] = "meds"
    Options: ClassVar[type[FormatOptions]] = MedsOptions
    options: MedsOptions
    many: ClassVar[bool] = True

    def arrays(self) -> Arrays:
        """Columns of events."""
        return EVENT_ARRAYS

    def holds(self) -> Holds:
        """Events, and whose they are."""
        return Holds(named(EVENT_ARRAYS), names(PART_COLUMNS))

    def ready(self) -> None:
        """The key."""
        self._pseudonyms()

    def ready_to_write(self) -> None:
        """Nothing: what is written has left already as it is to leave."""

    def plan(self, source: Source) -> Found:
        """Stretches of the files below `data`, or of all where there is no such folder; what lies
        below `metadata` is passed over."""
        files, refused = walk(source, SUFFIXES)
        if is_empty(files, refused):
            nothing_found(source, "MEDS file", f"files end in {', '.join(SUFFIXES)}")
        secret = self._pseudonyms().fingerprint
        items: list[Input] = []
        for file in files:
            try:
                if "metadata" in file.path.split("/")[:-1]:
                    raise PassedOver("metadata, which medray makes itself", code="metadata")
                items += self._stretches(source, file, secret)
            except DataError as error:
                refused.append(Refusal.of(file.path, error))
        return Found(grouped(items, samples=2), refused, {"tables": [TABLE]})

    def read(self, source: Source, item: Input) -> Iterator[Sample | Refusal]:
        """What the rows of a stretch say, by subject; rows without a subject or a code are
        refused."""
        start, rows = item.extra["start"], item.extra["rows"]
        table = _rows(open_path(source, item.paths[0]), start, rows)
        subjects = _subjects(table)
        codes = table["code"].combine_chunks().cast(pa.string())
        lacks = {
            "no-subject": subjects.is_null().to_numpy(zero_copy_only=False),
            "no-code": codes.is_null().to_numpy(zero_copy_only=False),
        }
        bad = lacks["no-subject"] | lacks["no-code"]
        for at in np.flatnonzero(bad).tolist():
            code = "no-subject" if lacks["no-subject"][at] else "no-code"
            error = DataError("the row lacks its subject or its code", code=code)
            yield Refusal.of(item.key, error, sample=f"{TABLE}, row {start + at + 1}")
        good = np.flatnonzero(~bad)
        events = _events(table, codes, start).take(good)
        rows_made = parts_of(
            Accounted(subjects.take(pa.array(good)), [TABLE] * len(good), [""] * len(good)),
            events,
            np.arange(len(good)),
            key=item.key,
            pseudonyms=self._pseudonyms(),
            keep_text=self.options.keep_text,
        )
        if rows_made is not None:
            yield rows_made

    def needs(self) -> Needs:
        """Whole subjects."""
        return Needs(
            (names("time"), names("code")),
            names("events"),
            hint="make whole subjects by a step of kind gather",
        )

    def takes(self, names: frozenset[str]) -> frozenset[str]:
        """Columns of events."""
        return names & EVENT_ARRAYS.keys()

    def write(self, samples: Iterable[Sample], target: Path) -> Iterator[Path]:
        """One file of the samples; see medray.formats.meds.write."""
        yield write_meds(list(samples), target, numbers=self.options.ids == "number")

    def _stretches(self, source: Source, file: File, secret: str) -> Iterator[Input]:
        source.fetch(file.path)
        try:
            with pq.ParquetFile(open_path(source, file.path)) as held:
                there, count = held.schema_arrow, held.metadata.num_rows
        except _DAMAGE as error:
            raise DataError("the Parquet file cannot be read", code="damaged-table") from error
        finally:
            source.drop(file.path)
        lacking = [name for name in _NEEDED if name not in there.names]
        if lacking:
            raise DataError(f"there is no column {lacking[0]!r}", code="no-such-column")
        if pa.types.is_floating(there.field("subject_id").type):
            raise DataError(
                "subject_id holds floats, of which two subjects may have become one",
                code="float-id",
            )
        if not pa.types.is_temporal(there.field("time").type):
            raise DataError("time holds no times", code="bad-time")
        for start in range(0, count, STRETCH):
            rows = min(STRETCH, count - start)
            made = item(f"{file.path}:{start}", [file], start=start, rows=rows, secret=secret)
            yield made._replace(size=file.size * rows // count)

    def _pseudonyms(self) -> Pseudonyms:
        return Pseudonyms(self.options.deidentify)


def _rows(path: Path, start: int, rows: int) -> pa.Table:
    """Rows of a file, of the columns that are looked at."""
    number, parts = 0, []
    try:
        with pq.ParquetFile(path) as file:
            wanted = [n for n in file.schema_arrow.names if n in (*_NEEDED, *_MORE)]
            for group in range(file.metadata.num_row_groups):
                size = file.metadata.row_group(group).num_rows
                low, high = max(start - number, 0), min(start + rows - number, size)
                if low < high:
                    table = file.read_row_group(group, wanted, use_threads=False)
                    parts.append(table.slice(low, high - low))
                number += size
    except _DAMAGE as error:
        raise DataError("the Parquet file cannot be read", code="damaged-table") from error
    table = pa.concat_tables(parts) if parts else None
    if table is None or table.num_rows < rows:
        raise DataError("the file is shorter than when it was planned", code="changed")
    return table


def _subjects(table: pa.Table) -> pa.StringArray:
    """Names of subjects: those that medray wrote beside their numbers, else the numbers."""
    name = "subject" if "subject" in table.column_names else "subject_id"
    return table[name].combine_chunks().cast(pa.string())


def _events(table: pa.Table, codes: pa.StringArray, start: int) -> Events:
    try:
        time = _times(table["time"])
        available = time
        if "available_at" in table.column_names:
            known = _times(table["available_at"])
            available = np.where(time == NEVER, known, np.maximum(time, known))
        value = np.full(len(table), np.nan)
        if "numeric_value" in table.column_names:
            told = table["numeric_value"].combine_chunks().cast(pa.float64())
            value = told.fill_null(np.nan).to_numpy(zero_copy_only=False)
        number = _texts(table, "number")
        return Events(
            time=time,
            available_at=available,
            numeric_value=_exact(value, number),
            origin=np.zeros(len(table), np.int16),
            row=np.arange(start, start + len(table)),
            code=codes.fill_null(""),
            unit=_texts(table, "unit"),
            number=number,
            words=_texts(table, "text_value"),
        )
    except _DAMAGE as error:
        raise DataError("a column has values of another type than MEDS", code="bad-type") from error


def _times(column: pa.ChunkedArray) -> np.ndarray:
    moments = column.combine_chunks().cast(pa.timestamp("us")).cast(pa.int64())
    found: np.ndarray = moments.fill_null(NEVER).to_numpy(zero_copy_only=False)
    return found


def _texts(table: pa.Table, name: str) -> pa.StringArray:
    if name not in table.column_names:
        return pa.array([""] * len(table), pa.string())
    return table[name].combine_chunks().cast(pa.string()).fill_null("")


def _exact(value: np.ndarray, number: pa.StringArray) -> np.ndarray:
    """Numbers as their texts have them, where float32 has changed them."""
    made = value.astype(np.float64)
    told = np.flatnonzero(np.isfinite(made))
    for at, text in zip(told.tolist(), number.take(pa.array(told)).to_pylist(), strict=True):
        if text:
            made[at] = _float(text, float(made[at]))
    return made


def _float(text: str, otherwise: Any) -> float:
    try:
        return float(text)
    except ValueError:
        return float(otherwise)
