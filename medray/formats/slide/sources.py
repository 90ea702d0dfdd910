"""Which slides there are, and their classes: by folders, by a table, or none."""

import csv
from collections.abc import Iterator

from medray.errors import DataError, SpecError
from medray.formats.base import Input, Source
from medray.formats.files import (
    File,
    is_empty,
    item,
    nothing_found,
    open_path,
    stem,
    unique,
    walk,
)
from medray.formats.imaging.values import OTHER_IMAGES
from medray.storage.shards.records import Refusal

SUFFIXES = (".svs", ".tif", ".tiff", ".ome.tif", ".ome.tiff", ".btf")
MAX_TABLE = 256 * 2**20


def plan_slides(
    source: Source,
    classes: tuple[str, ...],
    table: str | None,
    columns: tuple[str, str],
    *,
    folders: bool,
) -> tuple[Iterator[Input], list[Refusal]]:
    """Every slide below the source.

    Args:
        source: of raw files.
        classes: their names, in order; of folders none: by name.
        table: with a class for each slide; None: there is none.
        columns: of the table: with paths, and with classes.
        folders: a slide's class is the first folder of its path.

    Returns:
        Inputs, and refusals, which are whole when the inputs are out.

    Raises:
        SpecError: there is no slide ("nothing-found"), or no such table ("bad-table").
    """
    own = (table,) if table else ()
    found, refused = walk(source, SUFFIXES, beside=OTHER_IMAGES, own=own)
    if is_empty(found, refused):
        nothing_found(source, "slide", f"files end in {', '.join(SUFFIXES)}")
    if folders:
        made = _by_folder(list(found), classes, refused)
    elif table:
        made = _by_table(source, list(found), classes, table, columns, refused)
    else:
        made = (item(_name(file), [file], id=_name(file)) for file in found)
    return unique(made, refused), refused


def _by_folder(
    found: list[File], classes: tuple[str, ...], refused: list[Refusal]
) -> Iterator[Input]:
    tops = [file.path.partition("/")[0] if "/" in file.path else "" for file in found]
    names = classes or tuple(sorted({top for top in tops if top}))
    for file, top in zip(found, tops, strict=True):
        if top in names:
            extra = {"target": names.index(top), "class_name": top}
            yield item(_name(file), [file], id=_name(file), **extra)
        else:
            reason = "the slide lies in no folder of a class"
            refused.append(Refusal(file.path, "no-class", reason))


def _by_table(
    source: Source,
    found: list[File],
    classes: tuple[str, ...],
    table: str,
    columns: tuple[str, str],
    refused: list[Refusal],
) -> Iterator[Input]:
    told: dict[str, dict[str, str | None]] = {}
    unsure: set[str] = set()
    for row in _rows(source, table, columns):
        path = (row[columns[0]] or "").strip().removeprefix("./")
        if told.setdefault(path, row) != row:
            unsure.add(path)
    for file in found:
        there = file.path in told
        row = told.pop(file.path) if there else {}
        label = row.get(columns[1]) or ""
        if not there or file.path in unsure or label.strip() not in classes:
            code, reason = (
                ("not-in-table", "no row of the table names it")
                if not there
                else ("ambiguous-label", "rows of the table say different things of the slide")
                if file.path in unsure
                else ("bad-label", "the table holds no class of the slide that is known")
            )
            refused.append(Refusal(file.path, code, reason))
            continue
        extra = {"target": classes.index(label.strip()), "class_name": label.strip()}
        split = {"split": row["split"]} if row.get("split") else {}
        yield item(_name(file), [file], id=_name(file), **extra, **split)
    reason = "a row of the table names a slide that is not there"
    refused += [Refusal(path, "missing-file", reason) for path in told]


def _rows(source: Source, table: str, columns: tuple[str, str]) -> Iterator[dict[str, str | None]]:
    try:
        path = open_path(source, table)
    except DataError as error:
        raise SpecError("the table is not there", code="no-table", about=table) from error
    if path.stat().st_size > MAX_TABLE:
        raise SpecError("the table is larger than any of ours", code="bad-table", about=table)
    source.fetch(table)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            lacking = set(columns) - set(reader.fieldnames or ())
            if lacking:
                raise SpecError(
                    f"the table lacks the columns {', '.join(sorted(lacking))}",
                    code="bad-table",
                    about=table,
                )
            yield from reader
    except (UnicodeDecodeError, csv.Error) as error:
        raise SpecError("the table is no CSV in UTF-8", code="bad-table", about=table) from error


def _name(file: File) -> str:
    return stem(file.path, SUFFIXES).replace("/", "_")
