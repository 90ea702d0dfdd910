"""Files with the annotations of many images: CSV, and JSON as COCO's."""

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from medray.errors import DataError, SpecError
from medray.formats.base import Source
from medray.formats.files import open_path

MAX_TABLE = 2**30  # bytes; COCO's own of 118,000 images has 470 MB


def document_of(source: Source, table: str) -> dict[str, Any]:
    """A file of JSON.

    Raises:
        SpecError: it is not there ("no-table"), too large, or no object of JSON ("bad-table").
    """
    try:
        document: dict[str, Any] = json.loads(_path(source, table).read_bytes())
    except (ValueError, RecursionError) as error:
        raise SpecError("the file is no JSON", code="bad-table", about=table) from error
    if not isinstance(document, dict):
        raise SpecError("the file is no object of JSON", code="bad-table", about=table)
    return document


def rows_of(source: Source, table: str, columns: Sequence[str]) -> Iterator[dict[str, str | None]]:
    """Rows of a CSV by column.

    Args:
        source: of the file.
        table: its path.
        columns: that must be there.

    Raises:
        SpecError: it is not there ("no-table"), too large, no CSV in UTF-8, or lacks a column
            ("bad-table").
    """
    try:
        with _path(source, table).open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            lacking = sorted(set(columns) - set(reader.fieldnames or ()))
            if lacking:
                raise SpecError(
                    f"the table lacks the columns {', '.join(lacking)}",
                    code="bad-table",
                    about=table,
                    hint=f"it has {', '.join(columns)}",
                )
            yield from reader
    except (UnicodeDecodeError, csv.Error) as error:
        raise SpecError("the table is no CSV in UTF-8", code="bad-table", about=table) from error


def no_coco(table: str) -> SpecError:
    """What to raise of a JSON file that is none of COCO's."""
    return SpecError(
        "the file lacks what COCO's have: images, annotations, categories",
        code="bad-table",
        about=table,
    )


def _path(source: Source, table: str) -> Path:
    try:
        path = open_path(source, table)
    except DataError as error:
        raise SpecError("the file with the boxes is not there", code="no-table", about=table) from (
            error
        )
    if path.stat().st_size > MAX_TABLE:
        raise SpecError("the file is larger than any of ours", code="bad-table", about=table)
    source.fetch(table)
    return path
