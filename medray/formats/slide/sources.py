"""Which slides there are, and their classes: by folders, by a table, or none.

A TIFF is a slide; of DICOM the files of a series are, a file for each level.
"""

import csv
from collections.abc import Iterable, Iterator

from medray.errors import DataError, PassedOver, SpecError
from medray.formats.base import Input, Source
from medray.formats.files import (
    File,
    is_empty,
    item,
    nothing_found,
    open_path,
    stem,
    walk,
)
from medray.formats.imaging.values import OTHER_IMAGES
from medray.formats.naming import unique
from medray.formats.slide.wsi import HEADER_BYTES, VOLUME, kind_of
from medray.storage.shards.records import Refusal

DICOM = ".dcm"
SUFFIXES = (DICOM, ".svs", ".tif", ".tiff", ".ome.tif", ".ome.tiff", ".btf")
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
    slides = _slides(source, found, refused)
    if folders:
        made = _by_folder(slides, classes, refused)
    elif table:
        made = _by_table(source, slides, classes, table, columns, refused)
    else:
        made = (_item(files) for files in slides)
    return unique(made, refused), refused


def _slides(source: Source, found: Iterable[File], refused: list[Refusal]) -> list[list[File]]:
    """Files of each slide, in order of their first one."""
    slides: dict[str, list[File]] = {}
    for file in found:
        if not file.name.lower().endswith(DICOM):
            slides[file.path] = [file]
            continue
        source.fetch(file.path, HEADER_BYTES)
        try:
            series, picture = kind_of(open_path(source, file.path))
            if picture != VOLUME:
                raise PassedOver("a picture of the label or the glass", code="no-volume")
        except DataError as error:
            refused.append(Refusal.of(file.path, error, path=file.path))
            continue
        # A series in two folders is a copy: two slides, of one id each.
        slides.setdefault(f"{file.folder}\0{series}", []).append(file)
    return sorted(slides.values(), key=lambda files: files[0].path)


def _item(files: list[File], **told: object) -> Input:
    name = stem(files[0].path, SUFFIXES).replace("/", "_")
    return item(name, files, id=name, **told)


def _by_folder(
    slides: list[list[File]], classes: tuple[str, ...], refused: list[Refusal]
) -> Iterator[Input]:
    tops = [path.partition("/")[0] if "/" in path else "" for path, *_ in (f[0] for f in slides)]
    names = classes or tuple(sorted({top for top in tops if top}))
    for files, top in zip(slides, tops, strict=True):
        if top in names:
            yield _item(files, target=names.index(top), class_name=top)
        else:
            reason = "the slide lies in no folder of a class"
            refused.append(Refusal(files[0].path, "no-class", reason, files=len(files)))


def _by_table(
    source: Source,
    slides: list[list[File]],
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
    for files in slides:
        paths = [file.path for file in files]
        path = next((one for one in paths if one in told), "")
        row = told.pop(path) if path else {}
        label = (row.get(columns[1]) or "").strip()
        if not path or path in unsure or label not in classes:
            code, reason = (
                ("not-in-table", "no row of the table names it")
                if not path
                else ("ambiguous-label", "rows of the table say different things of the slide")
                if path in unsure
                else ("bad-label", "the table holds no class of the slide that is known")
            )
            refused.append(Refusal(paths[0], code, reason, files=len(files)))
            continue
        split = {"split": row["split"]} if row.get("split") else {}
        yield _item(files, target=classes.index(label), class_name=label, **split)
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
