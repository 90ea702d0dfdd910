"""The rows of samples as Parquet or CSV, write-only: one file per unit of the export."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal

import pyarrow.parquet as pq

from medray.errors import SpecError
from medray.formats.base import Format, FormatOptions, Input, Plan, Source
from medray.formats.files import replacing
from medray.ids import short
from medray.storage.samples import Refusal, Sample
from medray.storage.shards import table_of


class TableOptions(FormatOptions):
    """How to write tables."""

    file: Literal["parquet", "csv"] = "csv"


class Table(Format):
    """Rows of many samples in one file, named by the samples it holds."""

    name: ClassVar[str] = "table"
    Options: ClassVar[type[FormatOptions]] = TableOptions
    options: TableOptions
    many: ClassVar[bool] = True

    def plan(self, source: Source) -> Plan:
        """Not for reading.

        Raises:
            SpecError: always (code "write-only-format").
        """
        raise _write_only()

    def read(self, source: Source, item: Input) -> Iterator[Sample | Refusal]:
        """Not for reading.

        Raises:
            SpecError: always (code "write-only-format").
        """
        raise _write_only()

    def takes(self, names: frozenset[str]) -> frozenset[str]:
        """No array."""
        return frozenset()

    def write(self, samples: Iterable[Sample], target: Path) -> Iterator[Path]:
        """One file with a row per sample; lists stand in CSV cells as JSON."""
        rows: list[dict[str, Any]] = [{"sample_id": one.id, **one.row} for one in samples]
        name = short([row["sample_id"] for row in rows])[:12]
        path = target / f"rows-{name}.{self.options.file}"
        with replacing(path) as temporary:
            if self.options.file == "parquet":
                pq.write_table(table_of(rows), temporary, compression="zstd")
            else:
                temporary.write_text(_csv(rows), encoding="utf-8")
        yield path


def _csv(rows: list[dict[str, Any]]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _cell(value) for name, value in row.items()})
    return text.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, list | dict):
        return json.dumps(value)
    # A spreadsheet would run a text that begins like a formula.
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{value}"
    return value


def _write_only() -> SpecError:
    return SpecError("tables are written only", code="write-only-format", about="table")
