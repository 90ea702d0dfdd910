"""Detections: every object once, in COCO's corner and size or as a row of a table."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from medray.errors import SpecError
from medray.formats.base import Source
from medray.formats.image.boxes.detections import Detections
from medray.formats.joined import Piece

MARKED = {
    "class": "cell",
    "begin": [2.0, 1.0],
    "end": [6.0, 4.5],
    "difficult": True,
    "crowd": False,
}
FOUND = {"class": "cell", "begin": [2.0, 1.0], "end": [6.0, 4.5], "score": 0.75, "called": True}
UNSURE = {"class": "seed", "begin": [0.0, 0.0], "end": [1.0, 1.0], "score": 0.25, "called": False}


def joined(target: Path, rows: list[list[dict[str, Any]]], **options: Any) -> str:
    tables = [pa.Table.from_pylist(some) for some in rows]
    pieces = [Piece(lambda table=table: table, lambda: iter(())) for table in tables]  # type: ignore[misc]
    form = Detections(Detections.Options(**options))
    (path,) = form.join("cells.out", None, Source(target), pieces, target, {})
    return path.read_text()


ROWS = [
    [{"sample_id": "a", "objects": [FOUND, UNSURE]}, {"sample_id": "b", "objects": []}],
    [{"sample_id": "c"}],
    [{"sample_id": "d", "objects": [FOUND]}],
]


def test_coco_has_corner_and_size(tmp_path: Path) -> None:
    made = json.loads(joined(tmp_path, ROWS))
    assert [one["file_name"] for one in made["images"]] == ["a", "b", "d"]
    assert made["categories"] == [{"id": 1, "name": "cell"}, {"id": 2, "name": "seed"}]
    first, second, third = made["annotations"]
    assert first["bbox"] == [1, 2, 3.5, 4]
    assert (first["area"], first["score"], first["image_id"]) == (14, 0.75, 1)
    assert second["category_id"] == 2
    assert third["image_id"] == 3
    only = json.loads(joined(tmp_path, ROWS, called=True))
    assert [one["category_id"] for one in only["annotations"]] == [1, 1]


def test_a_table_has_a_row_for_each(tmp_path: Path) -> None:
    rows = [[{"sample_id": "a", "objects": [MARKED]}]]
    assert joined(tmp_path, rows, file="csv").splitlines() == [
        "sample_id,class,ymin,xmin,ymax,xmax,score,called,difficult,crowd",
        "a,cell,2.0,1.0,6.0,4.5,,,True,False",
    ]


def test_boxes_of_volumes_have_an_axis_more(tmp_path: Path) -> None:
    deep = {**FOUND, "begin": [1.0, 2.0, 3.0], "end": [5.0, 5.0, 5.0]}
    rows = [[{"sample_id": "a", "objects": [deep]}]]
    (one,) = json.loads(joined(tmp_path, rows))["annotations"]
    assert one["bbox"] == [3, 2, 1, 2, 3, 4]
    assert one["volume"] == 24
    assert "area" not in one
    table = joined(tmp_path, rows, file="csv").splitlines()
    assert table[0].startswith("sample_id,class,zmin,ymin,xmin,zmax")
    assert table[1] == "a,cell,1.0,2.0,3.0,5.0,5.0,5.0,0.75,True,False,False"


def test_nothing_is_read_so(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="write-only-format"):
        Detections(Detections.Options()).plan(Source(tmp_path))
