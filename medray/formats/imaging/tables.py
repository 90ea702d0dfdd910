"""Files with the annotations of many images: CSV, and JSON as COCO's."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from medray.errors import DataError, SpecError
from medray.formats.base import Source
from medray.formats.files import open_path
from medray.formats.imaging.entries import number
from medray.formats.tabular.json_text import value_of

MAX_TABLE = 2**30  # bytes; COCO's own of 118,000 images has 470 MB


def document_of(source: Source, table: str) -> dict[str, Any]:
    """A file of JSON.

    Raises:
        SpecError: it is not there ("no-table"), too large, or no object of JSON ("bad-table").
    """
    try:
        document: dict[str, Any] = value_of(_path(source, table).read_bytes())
    except (ValueError, RecursionError) as error:
        raise SpecError("the file is no JSON", code="bad-table", about=table) from error
    except DataError as error:
        raise SpecError(error.message, code="bad-table", about=table, hint=error.hint) from error
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
        SpecError: it is not there ("no-table"), too large, no CSV in UTF-8, lacks a column, has two
            of one name, or a row has more cells than there are columns ("bad-table").
    """
    try:
        with _path(source, table).open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            named = reader.fieldnames or ()
            lacking = sorted(set(columns) - set(named))
            if lacking:
                raise SpecError(
                    f"the table lacks the columns {', '.join(lacking)}",
                    code="bad-table",
                    about=table,
                    hint=f"it has {', '.join(columns)}",
                )
            if any(named.count(one) > 1 for one in columns):
                raise SpecError("two columns have one name", code="bad-table", about=table)
            for row in reader:
                if any(row.get(None, ())):
                    raise SpecError(
                        f"line {reader.line_num} has more cells than there are columns",
                        code="bad-table",
                        about=table,
                        hint="cells with a comma stand in quotes; decimals begin with a point",
                    )
                yield row
    except (UnicodeDecodeError, csv.Error) as error:
        raise SpecError("the table is no CSV in UTF-8", code="bad-table", about=table) from error


def named_by_id(document: Mapping[str, Any], part: str, name: str, table: str) -> dict[Any, str]:
    """Names of what a part of COCO's lists, by id.

    Args:
        document: the file.
        part: "images" or "categories".
        name: key of the names.
        table: path of the file.

    Raises:
        SpecError: two have one id ("bad-table"): nobody can tell what refers to which.
        KeyError, TypeError: it is none of COCO's.
    """
    found: dict[Any, str] = {}
    for one in document[part]:
        if one["id"] in found:
            raise SpecError(f"two of the {part} have one id", code="bad-table", about=table)
        found[one["id"]] = str(one[name])
    return found


def coco_numbers(one: Mapping[str, Any]) -> Iterator[float]:
    """Numbers of the `bbox` of an annotation.

    Raises:
        TypeError, ValueError, KeyError: it is no list of numbers.
    """
    if not isinstance(one["bbox"], list):
        raise TypeError
    return map(number, one["bbox"])


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
