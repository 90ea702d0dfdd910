"""Boxes of Pascal VOC, COCO, YOLO and tables: edges by each convention, or a refusal by number."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from medray.errors import SpecError
from medray.formats.base import Found, Source
from medray.formats.image import Image
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Sample

HEIGHT, WIDTH = 60, 80


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(0).integers(1, 255, (HEIGHT, WIDTH, 3), np.uint8)
    Pillow.fromarray(values).save(path)


def read(root: Path, **options: Any) -> tuple[dict[str, Sample], list[Refusal], Found]:
    form = Image(Image.Options(**options))
    plan = form.plan(Source(root))
    made = [one for group in plan.groups for item in group for one in form.read(Source(root), item)]
    samples = {one.id: one for one in made if isinstance(one, Sample)}
    return samples, [one for one in made if isinstance(one, Refusal)], plan


def edges(sample: Sample) -> list[tuple[str, list[float], list[float]]]:
    return [(one["class"], one["begin"], one["end"]) for one in sample.row["objects"]]


def voc(root: Path, name: str, boxes: list[tuple[str, int, int, int, int]], **extra: Any) -> None:
    picture(root / "JPEGImages" / f"{name}.png")
    objects = "".join(
        f"<object><name>{kind}</name><difficult>{extra.get('difficult', 0)}</difficult><bndbox>"
        f"<xmin>{x0}</xmin><ymin>{y0}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox></object>"
        for kind, x0, y0, x1, y1 in boxes
    )
    width = extra.get("width", WIDTH)
    (root / "Annotations").mkdir(exist_ok=True)
    (root / "Annotations" / f"{name}.xml").write_text(
        f"<annotation><size><width>{width}</width><height>{HEIGHT}</height></size>"
        f"{objects}</annotation>"
    )


def test_voc_counts_pixels_from_1_and_both_edges_are_inside(tmp_path: Path) -> None:
    voc(tmp_path, "a", [("cell", 1, 1, WIDTH, HEIGHT), ("cell", 11, 21, 30, 25)])
    samples, refused, _ = read(tmp_path, layout="voc")
    assert edges(samples["a"]) == [
        ("cell", [0, 0], [HEIGHT, WIDTH]),
        ("cell", [20, 10], [25, 30]),
    ]
    assert samples["a"].row["objects_clipped"] == 0
    assert samples["a"].row["has_label"] is True
    assert refused == []


def test_boxes_that_cannot_be_meant_are_refused_one_by_one(tmp_path: Path) -> None:
    boxes = [
        ("cell", 5, 5, 9, 9),
        ("cell", 7, 7, 7, 9),  # a click
        ("cell", 30, 9, 20, 12),  # turned round
        ("cell", 90, 5, 99, 9),  # right of the picture
        ("seed", 5, 5, 9, 9),
        ("cell", 71, 51, 90, 70),  # reaches over the rim
    ]
    voc(tmp_path, "a", boxes)
    samples, refused, _ = read(tmp_path, layout="voc", classes=("cell",))
    assert edges(samples["a"]) == [("cell", [4, 4], [9, 9]), ("cell", [50, 70], [60, 80])]
    assert samples["a"].row["objects_clipped"] == 1
    assert [(one.sample, one.code) for one in refused] == [
        ("a:2", "box-without-area"),
        ("a:3", "box-without-area"),
        ("a:4", "box-outside"),
        ("a:5", "unknown-class"),
    ]


def test_voc_lists_tell_the_split(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        voc(tmp_path, name, [])
    lists = tmp_path / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("a\n")
    (lists / "test.txt").write_text("b\nb2\nc\n")
    (lists / "val.txt").write_text("c\n")
    samples, _, plan = read(tmp_path, layout="voc")
    assert {name: one.row["split"] for name, one in samples.items()} == {"a": "train", "b": "test"}
    told = [(one.source, one.code) for one in plan.refused]
    assert told == [("JPEGImages/c.png", "ambiguous-split"), ("b2", "missing-file")]


def test_images_and_boxes_without_each_other_are_told(tmp_path: Path) -> None:
    voc(tmp_path, "a", [])
    voc(tmp_path, "gone", [])
    (tmp_path / "JPEGImages" / "gone.png").unlink()
    picture(tmp_path / "JPEGImages" / "bare.png")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.xml").write_text("<annotation/>")
    samples, _, plan = read(tmp_path, layout="voc")
    assert edges(samples["a"]) == []
    assert {one.source: one.code for one in plan.refused} == {
        "JPEGImages/bare.png": "no-label",
        "Annotations/gone.xml": "missing-file",
        "other/a.xml": "other-folder",
    }
    samples, _, _ = read(tmp_path, layout="voc", labels="optional")
    assert samples["bare"].row["objects"] is None
    assert samples["bare"].row["has_label"] is False


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("<annotation>", "bad-annotations"),
        ("<other/>", "bad-annotations"),
        ("<!DOCTYPE a [<!ENTITY b 'c'>]><annotation/>", "bad-annotations"),
        (
            "<annotation><size><width>640</width><height>480</height></size></annotation>",
            "label-grid-mismatch",
        ),
        ("<annotation><size><width>x</width></size></annotation>", "bad-annotations"),
    ],
)
def test_files_that_are_no_annotations_are_refused(tmp_path: Path, text: str, code: str) -> None:
    from medray.errors import DataError

    voc(tmp_path, "a", [])
    (tmp_path / "Annotations" / "a.xml").write_text(text)
    with pytest.raises(DataError) as caught:
        read(tmp_path, layout="voc")
    assert caught.value.code == code


def test_an_object_without_edges_is_refused_by_itself(tmp_path: Path) -> None:
    voc(tmp_path, "a", [("cell", 5, 5, 9, 9)])
    path = tmp_path / "Annotations" / "a.xml"
    path.write_text(path.read_text().replace("<xmin>5</xmin>", "<xmin>nan</xmin>"))
    samples, refused, _ = read(tmp_path, layout="voc")
    assert edges(samples["a"]) == []
    assert [(one.sample, one.code) for one in refused] == [("a:1", "bad-box")]


SAID = [  # of a mark, in JSON or as text: does it say yes? None: neither
    *((yes, True) for yes in (1, 1.0, True, "1", "1.0", "true", "True", "yes")),
    *((no, False) for no in (0, 0.0, False, None, "", "0", "0.0", "false", "FALSE", "no")),
    *((neither, None) for neither in (2, -1, "2", "maybe", [], [1], {}, float("nan"))),
]


@pytest.mark.parametrize(("said", "meant"), [*SAID, ("Unspecified", False)])
def test_marks_of_boxes_are_read_as_they_are_meant(
    tmp_path: Path, said: Any, meant: bool | None
) -> None:
    voc(tmp_path / "voc", "a", [("cell", 5, 5, 9, 9)], difficult="" if said is None else said)
    picture(tmp_path / "coco" / "a.png")
    document = {
        "images": [{"id": 1, "file_name": "a.png"}],
        "categories": [{"id": 5, "name": "cell"}],
        "annotations": [
            {"image_id": 1, "category_id": 5, "bbox": [1, 2, 3, 4], "iscrowd": said},
        ],
    }
    (tmp_path / "coco" / "annotations.json").write_text(json.dumps(document))
    for layout, mark in (("voc", "difficult"), ("coco", "crowd")):
        samples, refused, _ = read(tmp_path / layout, layout=layout)
        marks = [one[mark] for sample in samples.values() for one in sample.row["objects"]]
        assert marks == ([] if meant is None else [meant])
        assert [one.code for one in refused] == ["bad-box"] * (meant is None)


def test_yolo_has_centres_and_sizes_as_shares(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "train" / "a.png")
    (tmp_path / "labels" / "train").mkdir(parents=True)
    lines = ["1 0.5 0.25 0.1 0.2", "7 0.5 0.5 0.1 0.1", "0 0.1 0.1 0.2 0.2 0.3 0.3", ""]
    (tmp_path / "labels" / "train" / "a.txt").write_text("\n".join(lines))
    samples, refused, _ = read(tmp_path, layout="yolo", classes=("cell", "seed"))
    (sample,) = samples.values()
    ((kind, begin, end),) = edges(sample)
    assert kind == "seed"
    assert (begin, end) == (pytest.approx([9, 36]), pytest.approx([21, 44]))
    assert sample.row["split"] == "train"
    assert [one.code for one in refused] == ["unknown-class", "bad-box"]


def test_coco_has_corner_and_size_from_0(tmp_path: Path) -> None:
    for name in ("a", "b", "unnamed"):
        picture(tmp_path / "pictures" / f"{name}.png")
    document = {
        "images": [
            {"id": 1, "file_name": "a.png", "width": WIDTH, "height": HEIGHT},
            {"id": 2, "file_name": "b.png"},
            {"id": 3, "file_name": "c.png"},
        ],
        "categories": [{"id": 5, "name": "cell"}],
        "annotations": [
            {"image_id": 1, "category_id": 5, "bbox": [10.5, 20, 4, 8.25], "iscrowd": 0},
            {"image_id": 1, "category_id": 5, "bbox": [1, 2, 3, 4], "iscrowd": 1},
            {"image_id": 1, "category_id": 9, "bbox": [1, 2, 3, 4]},
            {"image_id": 1, "category_id": 5, "bbox": [1, 2, 3]},
            {"image_id": 1, "category_id": 5, "bbox": "1234"},
            {"image_id": 8, "category_id": 5, "bbox": [1, 2, 3, 4]},
        ],
    }
    (tmp_path / "val.json").write_text(json.dumps(document))
    boxes = {"annotations": {"val": "val.json"}, "images": "pictures"}
    samples, refused, plan = read(tmp_path, layout="coco", boxes=boxes)
    first, second = samples["pictures_a"], samples["pictures_b"]
    assert edges(first) == [("cell", [20, 10.5], [28.25, 14.5]), ("cell", [2, 1], [6, 4])]
    assert [one["crowd"] for one in first.row["objects"]] == [False, True]
    assert first.row["split"] == "val"
    assert edges(second) == []
    assert second.row["has_label"] is True
    assert [one.code for one in refused] == ["unknown-class", "bad-box", "bad-box"]
    assert Counter(one.code for one in plan.refused) == {"missing-file": 2, "not-in-table": 1}


def test_a_table_has_a_row_for_each_box(tmp_path: Path) -> None:
    for name in ("a", "b"):
        picture(tmp_path / f"{name}.png")
    rows = ["file,class,ymin,xmin,ymax,xmax,split", "a.png,cell,1,2,3.5,4,train"]
    (tmp_path / "boxes.csv").write_text(
        "\n".join([*rows, "b.png,,,,,,test", "c.png,cell,1,1,2,2,"])
    )
    samples, refused, plan = read(tmp_path, layout="boxes-csv")
    assert edges(samples["a"]) == [("cell", [1, 2], [3.5, 4])]
    assert edges(samples["b"]) == []
    assert {name: one.row["split"] for name, one in samples.items()} == {"a": "train", "b": "test"}
    assert refused == []
    assert [(one.source, one.code) for one in plan.refused] == [("c.png", "missing-file")]


TWICE = (
    '{"images": [{"id": 1, "file_name": "a.png"}, {"id": 1, "file_name": "b.png"}],'
    ' "categories": [], "annotations": []}'
)


@pytest.mark.parametrize(
    ("layout", "name", "text"),
    [
        ("coco", "annotations.json", "{"),
        ("coco", "annotations.json", "[]"),
        ("coco", "annotations.json", '{"images": []}'),
        ("boxes-csv", "boxes.csv", "file,class\n"),
        ("boxes-csv", "boxes.csv", "file,class,ymin,xmin,ymax,xmax\na.png,cell,1,5,2,3,4\n"),
        ("boxes-csv", "boxes.csv", "file,class,ymin,xmin,ymax,xmax,xmin\n"),
        ("coco", "annotations.json", TWICE),
    ],
)
def test_files_of_another_form_are_mistakes_of_the_job(
    tmp_path: Path, layout: str, name: str, text: str
) -> None:
    picture(tmp_path / "a.png")
    with pytest.raises(SpecError) as caught:
        read(tmp_path, layout=layout)
    assert caught.value.code == "no-table"
    (tmp_path / name).write_text(text)
    with pytest.raises(SpecError) as caught:
        read(tmp_path, layout=layout)
    assert caught.value.code == "bad-table"


def test_blood_cells_are_all_accounted_for(data_dir: Path) -> None:
    root = data_dir / "imaging" / "detect_bccd"
    classes = ("RBC", "WBC", "Platelets")
    form = Image(Image.Options(layout="voc", classes=classes))
    plan = form.plan(Source(root))
    items = [item for group in plan.groups for item in group]
    assert Counter(item.extra["split"] for item in items) == {"train": 205, "val": 87, "test": 72}
    from medray.errors import DataError
    from medray.formats.image.boxes.voc import read_voc
    from medray.formats.imaging.objects import Placing

    found, refused = Counter[str](), Counter[str]()
    for item in items:
        placing = Placing((480, 640), classes)
        for one in placing.each(read_voc(root / item.paths[1], (480, 640))):
            if isinstance(one, DataError):
                refused[one.code] += 1
            else:
                found[one.kind] += 1
    # 4155, 372 and 361 stand in the files; two of the first are clicks of one pixel.
    assert found == {"RBC": 4153, "WBC": 372, "Platelets": 361}
    assert refused == {"box-without-area": 2}
