"""Which images and labels belong together: masks, class folders, a table, or MedMNIST archives."""

import csv
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Literal

import numpy as np

from medray.errors import DataError, SpecError
from medray.formats.base import Input, Source
from medray.formats.files import (
    ELSEWHERE,
    File,
    Files,
    is_empty,
    item,
    nothing_found,
    open_path,
    stem,
    walk,
)
from medray.formats.image import npz
from medray.formats.image.raster import SUFFIXES
from medray.formats.imaging.values import OTHER_IMAGES
from medray.formats.naming import unique
from medray.storage.shards.records import Refusal

Layout = Literal["plain", "masks", "instances", "folders", "csv", "npz"]
Labels = Literal["required", "optional", "none"]
Planned = tuple[Iterable[Input], list[Refusal]]  # the refused are whole when the inputs are out

MAX_TABLE = 256 * 2**20


def plan_plain(source: Source) -> Planned:
    """Every image below the source, without labels."""
    found, refused = _images(source)
    return unique(_plain(found), refused), refused


def _plain(found: Files) -> Iterator[Input]:
    for block in found.blocks():
        names = _names(block)
        yield from block.inputs(names, [{"id": name} for name in names])


def plan_masks(
    source: Source, images: str, masks: str, labels: Labels, classes: tuple[str, ...] = ()
) -> Planned:
    """An image each in the folder `images`, its mask under the same path in the folder `masks`.

    With `classes` the first folder below `images` is an image's class; where it is none of them
    the image is refused ("no-class").
    """
    found, refused = _images(source)
    named: dict[str, list[File]] = {}
    for file in found:
        if _inside(file, masks):
            named.setdefault(_below(file, masks), []).append(file)
    wanted = [file for file in found if _inside(file, images) and not _inside(file, masks)]
    refused += [
        Refusal.of(file.path, ELSEWHERE)
        for file in found
        if (labels == "none" if _inside(file, masks) else not _inside(file, images))
    ]
    several = Counter(_below(file, images) for file in wanted)
    items = []
    for file in wanted:
        below = _below(file, images)
        name = below.replace("/", "_")
        there = named.get(below, []) if labels != "none" else []
        if len(there) > 1:
            reason = "two masks have the image's name"
            refused.append(Refusal(file.path, "ambiguous-label", reason))
            continue
        if there and several[below] > 1 and there[0].name != file.name:
            there = []  # of images of one name, the mask is of the one with its ending too
        if not there and labels == "required":
            refused.append(Refusal(name, "no-label", "the image has no mask"))
            continue
        taken = named.pop(below)[0] if there else None
        told: dict[str, Any] = {"id": name, "mask": bool(taken)}
        if classes:
            of = below.partition("/")[0] if "/" in below else ""
            if of not in classes:
                refused.append(Refusal(name, "no-class", "the image lies in no folder of a class"))
                continue
            told |= {"target": classes.index(of), "class_name": of}
        items.append(item(name, [file, taken] if taken else [file], **told))
    left = [file for files in named.values() for file in files]
    if labels != "none":
        refused += [
            Refusal(file.path, "no-image", "the mask has no image of its own") for file in left
        ]
    if is_empty(items, refused):
        nothing_found(source, f"image in the folder {images!r}", "name it by `images`")
    return unique(items, refused), refused


def plan_instances(source: Source, images: str, masks: str) -> Planned:
    """Pictures with numbered instances: as `plan_masks` has them, or a folder for each picture.

    In such a folder lie the picture, alone in a folder `images`, and in a folder `masks` a file for
    each instance (the Data Science Bowl of 2018).
    """
    found, refused = _images(source)
    if any(_inside(file, images) for file in found):
        return plan_masks(source, images, masks, "required")
    pictures: dict[str, tuple[list[File], list[File]]] = {}
    for file in found:
        folder, _, kind = file.path.rpartition("/")[0].rpartition("/")
        if not folder or kind not in (images, masks):
            refused.append(Refusal.of(file.path, ELSEWHERE))
            continue
        pictures.setdefault(folder, ([], []))[kind == masks].append(file)
    items = []
    for folder, (own, instances) in pictures.items():
        name = folder.replace("/", "_")
        if len(own) == 1 and instances:
            items.append(item(name, [*own, *instances], id=name, mask=True, each=True))
        elif not own:
            refused.append(Refusal(name, "no-image", "the masks have no image of their own"))
        elif not instances:
            refused.append(Refusal(name, "no-label", "the image has no mask"))
        else:
            reason = "several images share their masks: is the source a folder below?"
            refused.append(Refusal(name, "ambiguous-label", reason))
    if is_empty(items, refused):
        nothing_found(source, f"image in the folder {images!r}", "name it by `images`")
    return unique(items, refused), refused


def plan_folders(source: Source, classes: tuple[str, ...]) -> Planned:
    """Class folders (`<class>/x.png`), or official splits of them (`train/<class>/x.png`).

    Classes are numbered as `classes` lists them; where it is empty, in the order of their names.
    """
    found, refused = _images(source)
    folders = [_class_of(path)[1] for path in found.paths.to_pylist()]
    names = classes or tuple(sorted({name for name in folders if name}))
    known = np.array([name in names for name in folders], bool)
    reason = "the image lies in no folder of a class"
    lost = found.where(~known).paths.to_pylist()
    refused += [Refusal(path, "no-class", reason) for path in lost]
    return unique(_classed(found.where(known), names), refused), refused


def _classed(found: Files, classes: tuple[str, ...]) -> Iterator[Input]:
    for block in found.blocks():
        ids, extras = _names(block), list[dict[str, Any]]()
        for name, path in zip(ids, block.paths.to_pylist(), strict=True):
            split, of = _class_of(path)
            extra = {"id": name, "target": classes.index(of), "class_name": of}
            extras.append({**extra, "split": split} if split else extra)
        yield from block.inputs(ids, extras)


def plan_csv(
    source: Source, table: str, file_column: str, columns: tuple[str, ...], classes: tuple[str, ...]
) -> Planned:
    """A table with a row per image: its path below the source, its label or labels, a split.

    One label column holds class numbers, or names from `classes`; several hold 0 or 1 each. Images
    that no row names are refused ("not-in-table"), rows without their image too ("missing-file"),
    and images of which rows say different things ("ambiguous-label").
    """
    found, refused = _images(source, own=(table,))
    by_path = {file.path: file for file in found}
    rows: dict[str, list[tuple[int, dict[str, str | None]]]] = {}
    for number, row in enumerate(_rows(source, table, {file_column, *columns}), start=2):
        path = (row[file_column] or "").strip().removeprefix("./")
        rows.setdefault(path, []).append((number, row))
    items = []
    for path, named in rows.items():
        number, row = named[0]
        file = by_path.pop(path, None)
        if file is None:
            reason = f"line {number} of the table names an image that is not there"
            refused.append(Refusal(path, "missing-file", reason))
            continue
        told = [*columns, "split"]
        if any(other.get(name) != row.get(name) for _, other in named for name in told):
            lines = ", ".join(str(number) for number, _ in named[:8])
            reason = f"lines {lines} of the table say different things of the image"
            refused.append(Refusal(path, "ambiguous-label", reason))
            continue
        try:
            target = _target([row[column] or "" for column in columns], classes)
        except ValueError:
            reason = f"line {number} of the table holds no label that can be read"
            refused.append(Refusal(path, "bad-label", reason))
            continue
        extra = {"id": _name(file), "target": target}
        split = {"split": row["split"]} if row.get("split") else {}
        items.append(item(_name(file), [file], **extra, **split))
    refused += [Refusal(path, "not-in-table", "no row of the table names it") for path in by_path]
    return unique(items, refused), refused


def plan_npz(source: Source) -> Planned:
    """MedMNIST archives in pieces, with their official splits."""
    found, refused = walk(source, (".npz",))
    if is_empty(found, refused):
        nothing_found(source, ".npz archive", "name another `layout` for image files")
    items = []
    for file in found:
        source.fetch(file.path)
        name = stem(file.path, (".npz",)).replace("/", "_")
        own = "" if len(found) == 1 else f"{name}-"
        try:
            for split, pieces in npz.parts(open_path(source, file.path)):
                if isinstance(pieces, DataError):
                    refused.append(Refusal.of(f"{file.path}:{split}", pieces, path=file.path))
                    continue
                for start, stop in pieces:
                    extra = {"id": own, "split": split, "start": start, "stop": stop}
                    part = item(f"{name}-{split}-{start}", [file], **extra)
                    items.append(part._replace(size=(stop - start) * 1024))
        except DataError as error:
            refused.append(Refusal.of(file.path, error, path=file.path))
        source.drop(file.path)
    return items, refused


def _images(source: Source, own: tuple[str, ...] = ()) -> tuple[Files, list[Refusal]]:
    found, refused = walk(source, SUFFIXES, beside=OTHER_IMAGES, own=own)
    if is_empty(found, refused):
        nothing_found(source, "image", f"files end in {', '.join(SUFFIXES)}")
    return found, refused


def _names(files: Files) -> list[str]:
    return [name.replace("/", "_") for name in files.stems(SUFFIXES)]


def _name(file: File) -> str:
    return stem(file.path, SUFFIXES).replace("/", "_")


def _below(file: File, folder: str) -> str:
    path = stem(file.path, SUFFIXES)
    return path if folder in ("", ".") else path.removeprefix(f"{folder}/")


def _inside(file: File, folder: str) -> bool:
    return folder in ("", ".") or file.path.startswith(f"{folder}/")


def _class_of(path: str) -> tuple[str, str]:
    """(split, class) by the first folders of the path."""
    folders = path.split("/")[:-1]
    if len(folders) > 1 and folders[0] in npz.SPLITS:
        return folders[0], folders[1]
    return "", folders[0] if folders else ""


def _rows(source: Source, table: str, needed: set[str]) -> Iterator[dict[str, str | None]]:
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
            lacking = needed - set(reader.fieldnames or ())
            if lacking:
                raise SpecError(
                    f"the table lacks the columns {', '.join(sorted(lacking))}",
                    code="bad-table",
                    about=table,
                )
            yield from reader
    except (UnicodeDecodeError, csv.Error) as error:
        raise SpecError("the table is no CSV in UTF-8", code="bad-table", about=table) from error


def _target(values: list[str], classes: tuple[str, ...]) -> int | list[int]:
    if classes and len(values) == 1:
        return classes.index(values[0].strip())
    numbers = [int(value) for value in values]
    if len(numbers) > 1 and not set(numbers) <= {0, 1}:
        raise ValueError
    if min(numbers) < 0:
        raise ValueError
    return numbers if len(numbers) > 1 else numbers[0]
