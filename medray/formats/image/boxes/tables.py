"""Boxes of all images in one file: COCO's JSON, and tables with a row for each box."""

from collections.abc import Mapping
from typing import Any

from medray.formats.base import Input, Source
from medray.formats.files import File, is_empty, item, nothing_found, stem, walk
from medray.formats.image.raster import SUFFIXES
from medray.formats.imaging.entries import Found, entry, is_marked, number, packed
from medray.formats.imaging.objects import Object
from medray.formats.imaging.tables import (
    coco_numbers,
    document_of,
    named_by_id,
    no_coco,
    rows_of,
)
from medray.formats.imaging.values import OTHER_IMAGES
from medray.formats.naming import unique
from medray.storage.shards.records import Refusal

COLUMNS = ("file", "class", "ymin", "xmin", "ymax", "xmax")

Planned = tuple[list[Input], list[Refusal]]


class _Images:
    """The images below a folder, taken one by one by those that name them.

    Args:
        source: of all.
        folder: that paths begin in; "": the source.
        own: the files with boxes.
    """

    def __init__(self, source: Source, folder: str, own: tuple[str, ...]) -> None:
        found, self.refused = walk(source, SUFFIXES, beside=OTHER_IMAGES, own=own)
        if is_empty(found, self.refused):
            nothing_found(source, "image", f"files end in {', '.join(SUFFIXES)}")
        self._start = f"{folder}/" if folder not in ("", ".") else ""
        self._left = {file.path: file for file in found}
        self._taken: set[str] = set()
        self.items: list[Input] = []

    def take(self, name: str) -> File | None:
        """An image by its path; None, and on the account, where it is not there or taken."""
        path = self._start + name.removeprefix("./")
        file = self._left.pop(path, None)
        if file is None and path in self._taken:
            reason = "the image is named twice"
            self.refused.append(Refusal(f"{path}:again", "ambiguous-label", reason, path=path))
        elif file is None:
            reason = "an image that is named is not there"
            self.refused.append(Refusal(name or "an image without a name", "missing-file", reason))
        self._taken.add(path)
        return file

    def add(self, file: File, boxes: list[list[Any]], **extra: Any) -> None:
        """An input of an image and its boxes, each as `packed` has it."""
        name = stem(file.path, SUFFIXES).replace("/", "_")
        self.items.append(item(name, [file], id=name, boxes=boxes, **extra))

    def planned(self) -> Planned:
        """All that were named; those that nobody names are refused."""
        reason = "nothing names the image"
        self.refused += [Refusal(path, "not-in-table", reason, path=path) for path in self._left]
        return list(unique(self.items, self.refused)), self.refused


def plan_coco(source: Source, folder: str, annotations: Mapping[str, str]) -> Planned:
    """Images that a COCO file lists, with its boxes: `bbox` is x, y, width and height, from 0.

    Images that are listed and have no annotation have no objects.

    Args:
        source: of images and files.
        folder: that `file_name` begins in.
        annotations: path of the file of each split; the key "" is of none.

    Raises:
        SpecError: a file is not there ("no-table") or no COCO file ("bad-table").
    """
    images = _Images(source, folder, tuple(annotations.values()))
    for split, table in annotations.items():
        document = document_of(source, table)
        try:
            names = named_by_id(document, "categories", "name", table)
            named_by_id(document, "images", "file_name", table)
            boxes: dict[Any, list[list[Any]]] = {}
            for one in document["annotations"]:
                boxes.setdefault(one["image_id"], []).append(packed(_of_coco(one, names)))
            for one in document["images"]:
                file = images.take(str(one["file_name"]))
                found = boxes.pop(one["id"], [])
                if file is not None:
                    size = [number(one.get(side) or 0) for side in ("width", "height")]
                    told = {"size": size} if all(size) else {}
                    images.add(file, found, **told, **({"split": split} if split else {}))
        except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
            raise no_coco(table) from error
        reason = "boxes are of an image that the file does not list"
        images.refused += [Refusal(f"{table}:image {of}", "missing-file", reason) for of in boxes]
    return images.planned()


def plan_table(source: Source, folder: str, table: str) -> Planned:
    """Images that a table names, with a row for each box; its columns are `COLUMNS`.

    Edges count from 0, and the last pixel lies before `ymax` and `xmax`. A row without class and
    edges says that its image has no objects. There may be columns `split` and `difficult`.

    Args:
        source: of images and the table.
        folder: that paths in the column `file` begin in.
        table: path of the table.

    Raises:
        SpecError: it is not there ("no-table"), lacks a column or is no CSV ("bad-table").
    """
    images = _Images(source, folder, (table,))
    rows: dict[str, list[dict[str, str | None]]] = {}
    for row in rows_of(source, table, COLUMNS):
        rows.setdefault((row["file"] or "").strip().removeprefix("./"), []).append(row)
    for name, listed in rows.items():
        file = images.take(name)
        if file is None:
            continue
        splits = {(row.get("split") or "").strip() for row in listed}
        if len(splits) > 1:
            reason = "rows put the image into different splits"
            images.refused.append(Refusal(file.path, "ambiguous-split", reason, path=file.path))
            continue
        boxes = [packed(_of_row(row)) for row in listed if any(row[one] for one in COLUMNS[1:])]
        images.add(file, boxes, **({"split": splits.pop()} if splits != {""} else {}))
    return images.planned()


def _of_coco(one: Mapping[str, Any], names: Mapping[Any, str]) -> Found:
    def made() -> Object:
        x, y, width, height = coco_numbers(one)
        kind = names.get(one["category_id"], "")
        crowd = is_marked(one.get("iscrowd"))
        return Object(kind, (y, x), (y + height, x + width), crowd=crowd)

    return entry(made)


def _of_row(row: Mapping[str, str | None]) -> Found:
    def made() -> Object:
        ymin, xmin, ymax, xmax = (number(row[name]) for name in COLUMNS[2:])
        kind = (row["class"] or "").strip()
        hard = is_marked(row.get("difficult"))
        return Object(kind, (ymin, xmin), (ymax, xmax), difficult=hard)

    return entry(made)
