"""Boxes of volumes: a CSV with a row for each, or COCO's JSON with boxes of six numbers.

Edges are faces of voxels: the first voxel reaches from 0 to 1, and a box of it alone is 0 … 1. In
millimetres edges are places in space, where the affine names the middle of the first voxel: its
box begins half a voxel before. Of volumes that lie aslant to the axes of space a box is the one
around all eight corners.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from medray.errors import DataError
from medray.formats.base import Source
from medray.formats.imaging.entries import Found, entry, is_marked, number, packed, unpacked
from medray.formats.imaging.objects import Object, Placing, placed
from medray.formats.imaging.tables import (
    coco_numbers,
    document_of,
    named_by_id,
    no_coco,
    rows_of,
)
from medray.spec.base import Settings
from medray.storage.shards.records import Refusal

EDGES = ("zmin", "ymin", "xmin", "zmax", "ymax", "xmax")
DIGITS = 4  # of edges in voxels that were millimetres

Named = dict[str, list[list[Any]]]
"""Boxes, as `entries.packed` has them, by the name of their volume."""


class VolumeBoxes(Settings):
    """Where boxes of volumes lie, and what their numbers mean."""

    annotations: str = Field(
        description="the file, below the source: .json is COCO's, of which `file_name` names the "
        "volume and `bbox` is x, y, z, width, height, depth; else CSV, with columns "
        "file (of DICOM: series), class, zmin, ymin, xmin, zmax, ymax, xmax; of X-rays without z"
    )
    unit: Literal["voxel", "mm"] = Field(
        description="of the numbers: voxels from 0, where the last lies before zmax, or millimetres"
    )
    space: Literal["ras", "lps"] | None = Field(
        None, description="of millimetres: where x, y and z run to, NIfTI's or DICOM's"
    )
    classes: tuple[str, ...] = Field(
        (), description="that are taken, others are refused; empty: all"
    )

    @model_validator(mode="after")
    def _has_space(self) -> Self:
        if (self.unit == "mm") != (self.space is not None):
            raise ValueError("`space` says where millimetres run to: of `unit: mm`, and only there")
        return self

    def named(self, source: Source, column: str, flat: bool = False) -> Named:
        """All boxes of the file. A row with a name alone says that its volume has none, and so does
        an image that COCO lists without annotations.

        Args:
            source: of the file.
            column: of a CSV, that names volumes.
            flat: boxes have two axes.

        Raises:
            SpecError: the file is not there ("no-table") or of another form ("bad-table").
        """
        if self.annotations.lower().endswith(".json"):
            return self._coco(document_of(source, self.annotations), flat)
        found: Named = {}
        edges = [name for name in EDGES if not (flat and name.startswith("z"))]
        for row in rows_of(source, self.annotations, (column, "class", *edges)):
            boxes = found.setdefault((row[column] or "").strip().removeprefix("./"), [])
            if any(row[name] for name in ("class", *edges)):
                boxes.append(self._packed(_of_row(row, edges)))
        return found

    def _packed(self, found: Found) -> list[Any]:
        """As plans keep it: names of classes that are not asked for may name a patient."""
        if isinstance(found, Object) and self.classes and found.kind not in self.classes:
            found = replace(found, kind="")
        return packed(found)

    def _coco(self, document: Mapping[str, Any], flat: bool) -> Named:
        table = self.annotations
        try:
            kinds = named_by_id(document, "categories", "name", table)
            listed = named_by_id(document, "images", "file_name", table)
            names = {key: name.removeprefix("./") for key, name in listed.items()}
            found: Named = {name: [] for name in names.values()}
            for one in document["annotations"]:
                name = names.get(one["image_id"], f"{table}:image {one['image_id']}")
                found.setdefault(name, []).append(self._packed(_of_coco(one, kinds, flat)))
        except (KeyError, TypeError, AttributeError) as error:
            raise no_coco(table) from error
        return found

    def columns(
        self, key: str, boxes: list[list[Any]], grid: Sequence[int], affine: np.ndarray
    ) -> tuple[dict[str, Any], list[Refusal]]:
        """Columns of the boxes of a volume, and refusals of those that can't be meant.

        Args:
            key: of the volume.
            boxes: of `named`.
            grid: (Z, Y, X) of the volume, or (Y, X).
            affine: of the volume, voxel (x, y, z) to RAS+ mm.
        """
        found = unpacked(boxes)
        if self.space is not None:
            signs = (1, 1) if self.space == "ras" else (-1, -1)
            to_voxel = np.linalg.inv(affine) @ np.diag([*signs, 1, 1])
            found = [one if isinstance(one, DataError) else _moved(one, to_voxel) for one in found]
        return placed(key, found, Placing(grid, self.classes))


def unmatched(names: Iterable[str], named_by: str) -> list[Refusal]:
    """Refusals of boxes whose volume is not there, by its name.

    Args:
        names: that the table has and the source has not.
        named_by: what a name should have been, for a hint.
    """
    reason, hint = "boxes are of a volume that is not there", f"a volume is named by {named_by}"
    return [
        Refusal(name or "boxes without a name", "missing-file", reason, hint=hint) for name in names
    ]


def _moved(found: Object, to_voxel: np.ndarray) -> Found:
    """A box in mm (z, y, x) in voxels."""
    begin, end = np.asarray(found.begin), np.asarray(found.end)
    if not (end > begin).all():
        return DataError("a box has no area", code="box-without-area")
    ends = zip(begin.tolist(), end.tolist(), strict=True)
    corners = np.array([(x, y, z, 1) for z, y, x in itertools.product(*ends)])
    with np.errstate(over="ignore", invalid="ignore"):  # no numbers then: see `Placing`
        edges = np.round((corners @ to_voxel.T)[:, 2::-1] + 0.5, DIGITS)
    low, high = tuple(edges.min(0).tolist()), tuple(edges.max(0).tolist())
    return Object(found.kind, low, high, None, found.difficult, found.crowd)


def _of_row(row: Mapping[str, str | None], edges: Sequence[str]) -> Found:
    def made() -> Object:
        found = [number(row[name]) for name in edges]
        axes, kind = len(edges) // 2, (row["class"] or "").strip()
        difficult = is_marked(row.get("difficult"))
        return Object(kind, tuple(found[:axes]), tuple(found[axes:]), difficult=difficult)

    return entry(made)


def _of_coco(one: Mapping[str, Any], kinds: Mapping[Any, str], flat: bool) -> Found:
    def made() -> Object:
        numbers, axes = list(coco_numbers(one)), 2 if flat else 3
        if len(numbers) != 2 * axes:
            raise ValueError
        begin, size = numbers[:axes][::-1], numbers[axes:][::-1]
        end = tuple(low + length for low, length in zip(begin, size, strict=True))
        kind, crowd = kinds.get(one["category_id"], ""), is_marked(one.get("iscrowd"))
        return Object(kind, tuple(begin), end, crowd=crowd)

    return entry(made)
