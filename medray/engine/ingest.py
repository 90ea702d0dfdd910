"""Ingest: raw files of one format to samples."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from medray.engine.operation import Operation, Unit
from medray.formats import FORMATS
from medray.formats.base import Input, Source
from medray.formats.bucket import fetched
from medray.ids import fraction
from medray.storage.objects import Objects
from medray.storage.rows import Rows
from medray.storage.samples import Refusal, Sample


class Ingest(Operation):
    """Reads inputs by the format's `read`; adds the split.

    Parameters: `format` (options with `name`), `source` (folder, or URL of a bucket), `split` (see
    `split_of`).
    Payload of a unit: `inputs`, a list of Input fields.
    """

    name: ClassVar[str] = "ingest"

    def __init__(self, objects: Objects, parameters: dict[str, Any]) -> None:
        super().__init__(objects, parameters)
        options = dict(parameters["format"])
        kind = FORMATS.get(options.pop("name"))
        self.format = kind(kind.Options.model_validate(options))
        source = str(parameters["source"])
        self.bucket = objects.beside(source) if "://" in source else None
        self.source = Source(Path(source))

    def files(self, unit: Unit, key: str) -> int:
        """The files of the input, a DICOM series for example."""
        return len(self._fields(unit, key)["paths"])

    def load(self, unit: Unit, key: str) -> Iterator[Sample | Refusal]:
        fields = self._fields(unit, key)
        item = Input(**{**fields, "paths": tuple(fields["paths"])})
        with self._source_of(item) as source:
            for sample in self.format.read(source, item):
                split = self.parameters.get("split")
                if split and isinstance(sample, Rows):
                    yield split_rows(split, sample)
                    continue
                if split and isinstance(sample, Sample):
                    sample.row["split"] = split_of(split, sample)
                yield sample

    def _source_of(self, item: Input) -> AbstractContextManager[Source]:
        if self.bucket is None:
            return nullcontext(self.source)
        return fetched(self.bucket, self.format.files(item))

    @staticmethod
    def _fields(unit: Unit, key: str) -> dict[str, Any]:
        fields: dict[str, Any] = next(i for i in unit.payload["inputs"] if i["key"] == key)
        return fields


def split_of(split: dict[str, Any], sample: Sample) -> str:
    """The split a sample falls into: a pure function of the seed and the value split by.

    It is the same on every worker and stays the same as a dataset grows. `by` names a column,
    `subject` by default, whose equal values never part; fractions are expectations, not counts.

    Args:
        split: `by`, `seed` and one fraction per split name, e.g. {"train": 0.8, "val": 0.2}; or
            `column`, whose value is the split (official splits).
    """
    if "column" in split:
        return str(sample.row[split["column"]])
    by = split.get("by", "subject")
    key = sample.id if by == "sample" else str(sample.row.get(by, sample.id))
    return _fallen(split, key)


def split_rows(split: dict[str, Any], rows: Rows) -> Rows:
    """Many samples with the column `split`: what `split_of` says of each."""
    table = rows.table
    by = split.get("column") or split.get("by", "subject")
    name = "sample_id" if by == "sample" or by not in table.column_names else by
    keys = table[name].combine_chunks().cast(pa.string()).dictionary_encode()
    names = keys.dictionary.to_pylist()
    values = names if "column" in split else [_fallen(split, key) for key in names]
    column = pa.DictionaryArray.from_arrays(keys.indices, pa.array(values)).cast(pa.string())
    return Rows(table.append_column("split", column))


def _fallen(split: dict[str, Any], key: str) -> str:
    at = fraction(int(split.get("seed", 0)), key)
    names = [name for name in split if name not in ("by", "seed")]
    total = sum(split[name] for name in names)
    for name in names:
        at -= split[name] / total
        if at < 0:
            return name
    return names[-1]
