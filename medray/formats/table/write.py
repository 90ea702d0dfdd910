"""The rows of samples as Parquet or CSV: one file per unit of the export."""

import csv
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import pyarrow.parquet as pq

from medray.formats.files import replacing
from medray.ids import short
from medray.storage.samples import Sample
from medray.storage.shards import table_of


def write_rows(samples: Iterable[Sample], target: Path, kind: Literal["parquet", "csv"]) -> Path:
    """One file with a row per sample, named by the samples it holds."""
    rows: list[dict[str, Any]] = [{"sample_id": one.id, **one.row} for one in samples]
    name = short([row["sample_id"] for row in rows])[:12]
    path = target / f"rows-{name}.{kind}"
    with replacing(path) as temporary:
        if kind == "parquet":
            pq.write_table(table_of(rows), temporary, compression="zstd")
        else:
            temporary.write_text(_csv(rows), encoding="utf-8")
    return path


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
