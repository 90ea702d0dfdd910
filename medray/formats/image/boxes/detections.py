"""Detections: the objects of a dataset, marked or found, as one COCO file or one table."""

import csv
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from medray.formats.base import FormatOptions, Input, Source, WriteOnly
from medray.formats.files import replacing
from medray.formats.imaging.objects import OBJECTS, Object, objects_of
from medray.formats.joined import Joined, Look, Piece, Share, in_one_file
from medray.storage.shards.holds import Needs, names
from medray.storage.shards.records import Refusal

AXES = {2: ("y", "x"), 3: ("z", "y", "x")}


class DetectionsOptions(FormatOptions):
    """How objects are written."""

    file: Literal["coco", "csv"] = Field(
        "coco",
        description="coco: images, categories and annotations, with scores where there are some; "
        "csv: a row for each object, of two or three axes",
    )
    called: bool = Field(False, description="of what a model has found, only what it calls")


class Detections(Joined, WriteOnly):
    """All objects in one file, named as the dataset is, image by image; written only."""

    name: ClassVar[str] = "detections"
    Options: ClassVar[type[FormatOptions]] = DetectionsOptions
    instead: ClassVar[str] = "boxes are read with their images: `image`, layout `coco` and others"
    options: DetectionsOptions

    def needs(self) -> Needs:
        """Objects."""
        return Needs(columns=names(OBJECTS), hint="export images with objects, or predictions")

    def takes(self, names: frozenset[str]) -> frozenset[str]:
        """No array: rows only."""
        return frozenset()

    def shares(
        self, about: dict[str, Any], look: Look, source: Source | None
    ) -> tuple[list[Share], list[Refusal]]:
        """All objects in one file."""
        ending = "json" if self.options.file == "coco" else "csv"
        return in_one_file(f"{about['name']}.{ending}", look), []

    def join(
        self,
        file: str,
        item: Input | None,
        source: Source,
        pieces: Sequence[Piece],
        target: Path,
        about: dict[str, Any],
    ) -> Iterator[Path]:
        """One file. A table holds the objects of one piece at a time, COCO's form those of all;
        there boxes of volumes have six numbers: x, y, z, width, height and depth, in voxels."""
        path = target / file
        with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as out:
            if self.options.file == "csv":
                self._table(pieces, out)
            else:
                json.dump(self._coco(pieces), out, allow_nan=False)
        yield path

    def _each(self, piece: Piece) -> Iterator[tuple[str, list[Object]]]:
        """The objects of each image that somebody has looked at."""
        rows = piece.rows()
        if OBJECTS not in rows.column_names:
            return
        for row in rows.select(["sample_id", OBJECTS]).to_pylist():
            if row[OBJECTS] is None:
                continue
            wanted = objects_of(row)
            if self.options.called:
                wanted = [one for one in wanted if one.called is not False]
            yield row["sample_id"], wanted

    def _table(self, pieces: Sequence[Piece], out: Any) -> None:
        axes = next(
            (len(one.begin) for p in pieces for _, some in self._each(p) for one in some), 2
        )
        edges = [f"{axis}{end}" for end in ("min", "max") for axis in AXES[axes]]
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["sample_id", "class", *edges, "score", "called", "difficult", "crowd"])
        for piece in pieces:
            for name, objects in self._each(piece):
                for one in objects:
                    marks = ("" if one.called is None else one.called, one.difficult, one.crowd)
                    score = "" if one.score is None else one.score
                    writer.writerow([name, one.kind, *one.begin, *one.end, score, *marks])

    def _coco(self, pieces: Sequence[Piece]) -> dict[str, Any]:
        images, made, kinds = list[dict[str, Any]](), list[dict[str, Any]](), dict[str, int]()
        for piece in pieces:
            for name, objects in self._each(piece):
                images.append({"id": len(images) + 1, "file_name": name})
                for one in objects:
                    kind = kinds.setdefault(one.kind, len(kinds) + 1)
                    made.append(_result(one, len(images), kind, len(made) + 1))
        categories = [{"id": number, "name": name} for name, number in kinds.items()]
        return {"images": images, "categories": categories, "annotations": made}


def _result(one: Object, image: int, kind: int, number: int) -> dict[str, Any]:
    size = np.subtract(one.end, one.begin).tolist()
    made = {
        "id": number,
        "image_id": image,
        "category_id": kind,
        "bbox": [*reversed(one.begin), *reversed(size)],
        "area" if len(size) == 2 else "volume": math.prod(size),
        "iscrowd": int(one.crowd),
    }
    return made if one.score is None else made | {"score": one.score}
