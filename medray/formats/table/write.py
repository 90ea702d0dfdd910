"""The rows of a dataset as one Parquet or CSV file, shard by shard."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from medray.formats.files import replacing
from medray.formats.joined import Piece

GROUP_ROWS = 2**17


def write_rows(pieces: Sequence[Piece], path: Path, kind: Literal["parquet", "csv"]) -> None:
    """One file with a row per sample, in order; one piece is held at a time.

    Columns are those of all pieces, in order of first appearance, and of the widest type. Each
    piece is read twice: for its columns, and to be written.
    """
    schemas = [piece.rows().schema.remove_metadata() for piece in pieces]
    schema = pa.unify_schemas(schemas, promote_options="permissive") if schemas else pa.schema([])
    with replacing(path) as temporary:
        if kind == "parquet":
            with pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
                for piece in pieces:
                    writer.write_table(_under(piece.rows(), schema), row_group_size=GROUP_ROWS)
        else:
            with temporary.open("w", encoding="utf-8", newline="") as file:
                file.write(_csv([], schema.names, header=True))
                for piece in pieces:
                    file.write(_csv(piece.rows().to_pylist(), schema.names))


def _under(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table with all columns of a wider schema."""
    # Arrow's cast loses rows of a struct's column that has no value anywhere.
    return pa.concat_tables([schema.empty_table(), table], promote_options="permissive")


def _csv(rows: list[dict[str, Any]], names: list[str], *, header: bool = False) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    if header:
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
