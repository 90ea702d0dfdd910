"""Signals in tables: CSV, TSV and Parquet, a file a recording, or a row a window.

Values that are whole, or decimals of few places, become integers with a gain of a power of ten, so
that they are exact: 4329.23 is 432923 at a gain of 100.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field, field_validator

from medray.errors import DataError
from medray.formats.base import Format, FormatOptions, Found, Input, Source
from medray.formats.files import is_empty, item, nothing_found, open_path, stem, walk
from medray.formats.imaging.values import check_pattern, subject_of
from medray.formats.naming import unique
from medray.formats.packed import grouped
from medray.formats.signal.deidentify import Deidentify, Pseudonyms
from medray.formats.signal.recording import COLUMNS, Channel, array_of, placed, row_of, spec_of
from medray.formats.tabular.delimited import SUFFIXES as TEXTS
from medray.formats.tabular.delimited import head, read
from medray.storage.shards.holds import Holds, names
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Sample
from medray.storage.shards.schema import ArraySpec, Axis

PARQUET = (".parquet",)
SUFFIXES = (*TEXTS, *PARQUET)
MAX_VALUES = 2**27  # of a file: a gibibyte while they are float64
MAX_PLACES = 6  # of decimals that become integers
BLOCK_ROWS = 2**13
LOOK_ROWS = 1000  # from whose times a rate is told
UNEVEN = 0.05  # of a step, that times may be off it
WHOLE = 1e-4  # so near to an integer a rate is it
_LABEL = ArraySpec((Axis("time", "time", "second"),), ("uint8",), chunk=(2**18,))
_WINDOW = ArraySpec(
    (Axis("lead", "channel"), Axis("time", "time", "second")), ("float32",), chunk=(None, None)
)

Array = np.ndarray[Any, Any]


class SignalTableOptions(FormatOptions):
    """What the columns of a table are."""

    rows: Literal["times", "samples"] = Field(
        "times", description="what a row is: a moment of all leads, or a window of one"
    )
    rate: Annotated[float, Field(gt=0, lt=1e9)] | None = Field(
        None, description="rows a second; null: as the column `time` tells"
    )
    time: str = Field("", description="column of seconds, held to be even")
    leads: tuple[str, ...] = Field((), description="columns; none given: all that are numbers")
    label: str = Field("", description="column of classes: numbers, or texts with `classes`")
    classes: tuple[str, ...] = Field((), description="names of the classes 0, 1, …")
    unit: str = Field("", description="of values, e.g. uV")
    header: bool = Field(True, description="false: columns are called 0, 1, …")
    dtype: Literal["digital", "float32"] = Field(
        "digital", description="digital: integers and a gain, exact, or refused"
    )
    subject_pattern: str = Field(
        "", description="regular expression whose first group in a file's path is its subject"
    )
    deidentify: Deidentify = Deidentify()

    _pattern = field_validator("subject_pattern")(check_pattern)


class SignalTable(Format):
    """Tables whose rows follow each other in time, or are windows of one length."""

    name: ClassVar[str] = "signal-table"
    Options: ClassVar[type[FormatOptions]] = SignalTableOptions
    options: SignalTableOptions

    @property
    def _windows(self) -> bool:
        return self.options.rows == "samples"

    def holds(self) -> Holds:
        """Recordings, or windows."""
        if not self._windows:
            return Holds(None, names(COLUMNS))
        label = names("label") if self.options.label else names()
        return Holds(names("signal"), names("record", "subject", "rate", "leads") | label)

    def ready(self) -> None:
        """Look for the site's key.

        Raises:
            SpecError: it is missing or weak.
        """
        super().ready()
        Pseudonyms(self.options.deidentify)

    def plan(self, source: Source) -> Found:
        """An input a file, by its first rows."""
        hidden = Pseudonyms(self.options.deidentify)
        found, refused = walk(source, SUFFIXES)
        if is_empty(found, refused):
            nothing_found(source, "table", "they end in .csv, .csv.gz, .tsv or .parquet")
        refused = [hidden.refusal(one) for one in refused]
        rates: Counter[float] = Counter()
        items = []
        for file in found:
            source.fetch(file.path)
            try:
                path = open_path(source, file.path)
                leads, first = self._leads(path, LOOK_ROWS), self._columns(path, LOOK_ROWS)
                rate = self._rate(first)
            except DataError as error:
                refused.append(hidden.refusal(Refusal.of(file.path, error, path=file.path)))
                continue
            source.drop(file.path)
            rates |= Counter({rate: len(leads)})
            key = hidden.name("record", stem(file.path, SUFFIXES))
            items.append(item(key, [file], hidden=hidden.fingerprint, rate=rate))
        items.sort(key=lambda one: one.key)
        kept = list(unique(items, refused))
        return Found(grouped(kept, samples=16), refused, arrays=self._specs(rates))

    def shown(self, item: Input) -> tuple[str, str]:
        """Its file, where the job says that paths name nobody."""
        return ("" if Pseudonyms(self.options.deidentify).keyed else item.paths[0]), ""

    def read(self, source: Source, item: Input) -> Iterator[Sample | Refusal]:
        """A recording, or a sample for each row."""
        try:
            path = open_path(source, item.paths[0])
            leads, columns = self._leads(path, LOOK_ROWS), self._columns(path, None)
            made = self._samples if self._windows else self._recording
            yield from made(item, leads, columns)
        except DataError as error:
            raise DataError(
                error.message, code=error.code, about=item.key, hint=error.hint
            ) from error

    def _specs(self, rates: Counter[float]) -> dict[str, ArraySpec]:
        if self._windows:
            return {"signal": _WINDOW}
        made = {array_of(rate): spec_of(rate, many) for rate, many in sorted(rates.items())}
        if self.options.dtype == "float32":
            made = {name: replace(spec, dtypes=("float32",)) for name, spec in made.items()}
        return {**made, **({"label": _LABEL} if self.options.label else {})}

    def _recording(
        self, item: Input, leads: list[str], columns: dict[str, list[Any]]
    ) -> Iterator[Sample]:
        options, hidden = self.options, Pseudonyms(self.options.deidentify)
        rate = float(item.extra["rate"])
        if options.time:
            _even(_floats(columns[options.time]), rate)
        found = [_floats(columns[name]) for name in leads]
        values, gains = _digital(found) if options.dtype == "digital" else _rounded(found)
        channels = placed(
            Channel(name, options.unit, rate, gain, 0.0, calibrated=bool(options.unit))
            for name, gain in zip(leads, gains, strict=True)
        )
        arrays: dict[str, Any] = {array_of(rate): values}
        if options.label:
            arrays["label"] = self._labels(columns[options.label])
        subject = stem(item.paths[0], SUFFIXES)
        if options.subject_pattern:
            subject = subject_of(item.paths[0], options.subject_pattern)
        row = row_of(
            channels,
            record=item.key,
            subject=hidden.name("subject", subject),
            duration_s=values.shape[1] / rate,
        )
        yield Sample(item.key.replace("/", "_"), row, arrays)

    def _samples(
        self, item: Input, leads: list[str], columns: dict[str, list[Any]]
    ) -> Iterator[Sample]:
        values = _rounded([_floats(columns[name]) for name in leads])[0].T
        label = [_class(one) for one in columns.get(self.options.label, ())]
        if self.options.classes and not set(label) <= set(self.options.classes):
            raise DataError("a label is none of the classes", code="unknown-label")
        name = item.key.replace("/", "_")
        for at, signal in enumerate(values):
            sample_id = f"{name}-{at:07d}"
            row = {"record": sample_id, "subject": sample_id, "rate": item.extra["rate"]}
            row |= {"leads": ["1"], **({"label": label[at]} if label else {})}
            yield Sample(sample_id, row, {"signal": np.ascontiguousarray(signal[None])})

    def _labels(self, cells: list[Any]) -> Array:
        classes = self.options.classes
        if classes:
            at = {name: number for number, name in enumerate(classes)}
            texts = [_class(cell) for cell in cells]
            if not set(texts) <= set(at):
                raise DataError("a label is none of the classes", code="unknown-label")
            return np.array([at[text] for text in texts], np.uint8)
        numbers = _floats(cells)
        if not ((numbers == np.rint(numbers)) & (numbers >= 0) & (numbers < 255)).all():
            raise DataError("a label is no number from 0 to 254", code="unknown-label")
        return numbers.astype(np.uint8)

    def _rate(self, columns: dict[str, list[Any]]) -> float:
        if self.options.rate is not None:
            return self.options.rate
        if not self.options.time:
            raise DataError("nothing tells the rate", code="no-rate", hint="`rate`, or `time`")
        times = _floats(columns[self.options.time])
        spans = float(times[-1] - times[0])
        if len(times) < 2 or spans <= 0:
            raise DataError("times do not rise", code="uneven-times")
        rate = (len(times) - 1) / spans
        near = round(rate)
        rate = float(near) if near and abs(rate - near) < WHOLE * near else float(f"{rate:.9g}")
        _even(times, rate)
        return rate

    def _leads(self, path: Path, rows: int) -> list[str]:
        """Columns with signals, in order."""
        columns = self._columns(path, rows)
        others = {self.options.time, self.options.label}
        leads = [*self.options.leads] or [
            name for name, cells in columns.items() if name not in others and _is_number(cells[0])
        ]
        lacking = [name for name in (*leads, *filter(None, others)) if name not in columns]
        if lacking or not leads:
            raise DataError("a column is not there", code="no-such-column")
        return leads

    def _columns(self, path: Path, rows: int | None) -> dict[str, list[Any]]:
        """Cells by column, of so many rows at most."""
        if path.name.lower().endswith(PARQUET):
            return _of_parquet(path, rows)
        top = head(path, header=self.options.header, loose=not self.options.header)
        line, offset = top.first
        columns: list[list[str]] = [[] for _ in top.names]
        for row in read(path, None, top.delimiter, row=0, line=line, offset=offset):
            if len(row.cells) != len(columns):
                raise DataError("a row has other cells than the table columns", code="uneven-row")
            if rows is not None and row.number >= rows:
                break
            if (row.number + 1) * len(columns) > MAX_VALUES:
                raise _too_many()
            for column, cell in zip(columns, row.cells, strict=True):
                column.append(cell)
        if not columns[0]:
            raise DataError("the table holds no row", code="empty-table")
        return dict(zip(top.names, columns, strict=True))


def _of_parquet(path: Path, rows: int | None) -> dict[str, list[Any]]:
    try:
        file = pq.ParquetFile(path)
        if file.metadata.num_rows * file.metadata.num_columns > MAX_VALUES:
            raise _too_many()
        table = file.read() if rows is None else next(file.iter_batches(rows), None)
    except (pa.ArrowException, OSError) as error:
        raise DataError("the Parquet file is damaged", code="damaged-parquet") from error
    if table is None or not table.num_rows:
        raise DataError("the table holds no row", code="empty-table")
    return {name: table.column(name).to_pylist() for name in table.schema.names}


def _floats(cells: list[Any]) -> Array:
    """Cells as float64; none may be missing, or another thing than a finite number."""
    try:
        values = np.array([float(cell) for cell in cells], np.float64)
    except (TypeError, ValueError) as error:
        raise DataError("a value is no number", code="bad-value") from error
    if not np.isfinite(values).all():
        raise DataError("a value is missing or infinite", code="nonfinite-signal")
    return values


def _is_number(cell: Any) -> bool:
    try:
        float(cell)
    except (TypeError, ValueError):
        return False
    return not isinstance(cell, bool)


def _class(cell: Any) -> str:
    """A class by its name; 1.0000000e+00 is 1."""
    text = str(cell).strip()
    if _is_number(text) and float(text).is_integer():
        return str(int(float(text)))
    return text


def _digital(columns: list[Array]) -> tuple[Array, list[float]]:
    """Integers (channel, time), and the gain of each channel, such that integer / gain is exact."""
    made, gains = [], []
    for values in columns:
        for places in range(MAX_PLACES + 1):
            gain = 10.0**places
            whole = np.rint(values * gain)
            if np.array_equal(whole / gain, values):
                break
        else:
            raise _not_digital("values have over six decimal places")
        if np.abs(whole).max(initial=0) >= 2**31:
            raise _not_digital("a value has more than 32 bits")
        made.append(whole)
        gains.append(gain)
    most = max(float(np.abs(one).max(initial=0)) for one in made)
    return np.stack(made).astype(np.int16 if most < 2**15 else np.int32), gains


def _rounded(columns: list[Array]) -> tuple[Array, list[float]]:
    """As float32, (channel, time), and the gain of each channel, which is 1."""
    values: Array = np.stack(columns)
    if np.abs(values).max(initial=0) > np.finfo(np.float32).max:
        raise DataError("a value is beyond float32", code="value-out-of-range")
    return values.astype(np.float32), [1.0] * len(columns)


def _not_digital(reason: str) -> DataError:
    return DataError(reason, code="not-digital", hint="`dtype: float32` rounds them")


def _even(times: Array, rate: float) -> None:
    wanted = times[0] + np.arange(len(times)) / rate
    if (np.abs(times - wanted) * rate > UNEVEN).any():
        raise DataError("times are not even", code="uneven-times")


def _too_many() -> DataError:
    return DataError("the table has too many values", code="table-too-large")
