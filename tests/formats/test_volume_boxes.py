"""Boxes of volumes from tables: numbers in voxels and in millimetres, whose they are, refusals."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from medray.errors import SpecError
from medray.formats.base import Source
from medray.formats.imaging.objects import objects_of
from medray.formats.imaging.volume_boxes import VolumeBoxes
from medray.formats.nifti import Nifti
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Sample

HEAD = "file,class,zmin,ymin,xmin,zmax,ymax,xmax,difficult\n"
# x runs to the left with 2 mm, y to the front with 3, z up with 4; voxel 0 lies at (30, -40, 5).
AFFINE = np.array([[-2.0, 0, 0, 30], [0, 3, 0, -40], [0, 0, 4, 5], [0, 0, 0, 1]])


class Ingested:
    """What became of a folder of volumes of 5 x 6 x 7 voxels (z, y, x)."""

    def __init__(self, root: Path, boxes: dict[str, Any], **options: Any) -> None:
        form = Nifti(Nifti.Options.model_validate({"boxes": boxes, **options}))
        plan = form.plan(Source(root))
        made = list(self._read(form, root, plan.groups))
        self.samples = {one.id: one for one in made if isinstance(one, Sample)}
        self.refused = [*plan.refused, *(one for one in made if isinstance(one, Refusal))]
        self.codes = sorted((one.sample or one.source, one.code) for one in self.refused)

    def _read(self, form: Nifti, root: Path, groups: Any) -> Iterator[Any]:
        for group in groups:
            for item in group:
                yield from form.read(Source(root), item)

    def boxes(self, name: str) -> list[Any]:
        return [(one.kind, one.begin, one.end) for one in objects_of(self.samples[name].row)]


@pytest.fixture
def ingest(tmp_path: Path) -> Any:
    def make(table: str, affine: np.ndarray = AFFINE, **options: Any) -> Ingested:
        (tmp_path / "images").mkdir(exist_ok=True)
        for name in ("a", "b"):
            image = nib.Nifti1Image(np.zeros((7, 6, 5), np.int16), affine)
            nib.save(image, tmp_path / "images" / f"{name}.nii.gz")
        file = "boxes.json" if table.startswith("{") else "boxes.csv"
        (tmp_path / file).write_text(table)
        more = options.pop("more", {})
        return Ingested(tmp_path, {"annotations": file, "unit": "voxel", **options}, **more)

    return make


def test_voxels_count_from_faces(ingest) -> None:
    rows = "images/a.nii.gz,nodule,1,2,3,2,4,6,yes\nimages/b.nii.gz,,,,,,,,\n"
    found = ingest(HEAD + rows)
    assert found.boxes("a") == [("nodule", (1, 2, 3), (2, 4, 6))]
    assert found.boxes("b") == []
    assert found.samples["a"].row["objects"][0]["difficult"]
    assert found.samples["b"].row["has_label"]
    assert not found.codes
    assert "label" not in found.samples["a"].arrays


@pytest.mark.parametrize(("space", "sign"), [("ras", 1), ("lps", -1)])
def test_millimetres_are_places_and_voxels_are_around_their_middles(ingest, space, sign) -> None:
    # Voxels z 1, y 2 to 3, x 3 to 5 have their middles at x 24 … 20, y -34 … -31, z 9.
    x, y = sorted((sign * 25, sign * 19)), sorted((sign * -35.5, sign * -29.5))
    row = f"images/a.nii.gz,nodule,7,{y[0]},{x[0]},11,{y[1]},{x[1]},\n"
    found = ingest(HEAD + row + "images/b.nii.gz\n", unit="mm", space=space)
    assert found.boxes("a") == [("nodule", (1, 2, 3), (2, 4, 6))]


def test_of_a_volume_that_lies_aslant_all_corners_are_inside(ingest) -> None:
    turn = np.eye(4)
    turn[:2, :2] = np.array([[1, -1], [1, 1]]) / np.sqrt(2)  # by 45 degrees
    row = "images/a.nii.gz,nodule,1,2,-1,3,4,1,\n"
    found = ingest(HEAD + row + "images/b.nii.gz\n", affine=turn, unit="mm", space="ras")
    ((_, begin, end),) = found.boxes("a")
    # x' = (x + y) / 2 ** .5 and y' = (y - x) / 2 ** .5, of x in -1 … 1 and y in 2 … 4
    root = np.sqrt(0.5)
    assert begin == pytest.approx((1.5, 1 * root + 0.5, 1 * root + 0.5), abs=1e-4)
    assert end == pytest.approx((3.5, 5 * root + 0.5, 5 * root + 0.5), abs=1e-4)


def test_coco_with_boxes_of_six_numbers(ingest) -> None:
    document = {
        "images": [
            {"id": 7, "file_name": "images/a.nii.gz"},
            {"id": 8, "file_name": "images/b.nii.gz"},
        ],
        "categories": [{"id": 1, "name": "nodule"}],
        "annotations": [
            {"image_id": 7, "category_id": 1, "bbox": [3, 2, 1, 3, 2, 1]},
            {"image_id": 7, "category_id": 1, "bbox": [3, 2, 3, 2]},
            {"image_id": 9, "category_id": 1, "bbox": [3, 2, 1, 3, 2, 1]},
        ],
    }
    found = ingest(json.dumps(document))
    assert found.boxes("a") == [("nodule", (1, 2, 3), (2, 4, 6))]
    assert found.boxes("b") == []
    assert found.codes == [("a:2", "bad-box"), ("boxes.json:image 9", "missing-file")]


def test_crowds_are_told_by_numbers_and_by_text(ingest) -> None:
    said = (0, "0", "false", 1, "1", True, "maybe")
    box = {"image_id": 7, "category_id": 1, "bbox": [3, 2, 1, 3, 2, 1]}
    document = {
        "images": [{"id": 7, "file_name": "images/a.nii.gz"}],
        "categories": [{"id": 1, "name": "nodule"}],
        "annotations": [box | {"iscrowd": one} for one in said],
    }
    found = ingest(json.dumps(document))
    marks = [one["crowd"] for one in found.samples["a"].row["objects"]]
    assert marks == [False, False, False, True, True, True]
    assert ("a:7", "bad-box") in found.codes


def test_boxes_that_cannot_be_meant_are_refused_by_row(ingest) -> None:
    rows = [
        "nodule,0,0,0,1,1,9,", "nodule,0,0,7,1,1,8,", "nodule,1,0,0,1,1,1,", "mass,0,0,0,1,1,1,",
        "nodule,0,x,0,1,1,1,",
    ]  # fmt: skip
    table = HEAD + "".join(f"images/a.nii.gz,{row}\n" for row in rows)
    found = ingest(table + "images/b.nii.gz\n", classes=["nodule"])
    assert found.boxes("a") == [("nodule", (0, 0, 0), (1, 1, 7))]
    assert found.samples["a"].row["objects_clipped"] == 1
    assert found.codes == [
        ("a:2", "box-outside"), ("a:3", "box-without-area"), ("a:4", "unknown-class"),
        ("a:5", "bad-box"),
    ]  # fmt: skip
    mm = ingest(HEAD + "images/a.nii.gz,nodule,9,0,0,7,1,1,\n", unit="mm", space="ras")
    assert ("a:1", "box-without-area") in mm.codes


def test_names_that_fit_nothing_and_volumes_that_nothing_names(ingest) -> None:
    table = HEAD + "images/a.nii.gz,nodule,1,2,3,2,4,6,\nimages/c.nii.gz,nodule,1,2,3,2,4,6,\n"
    found = ingest(table)
    assert set(found.samples) == {"a"}
    assert found.codes == [("b", "no-label"), ("images/c.nii.gz", "missing-file")]
    assert {one.hint for one in found.refused if one.code == "missing-file"} == {
        "a volume is named by the path of an image below the source, its folder included"
    }
    optional = ingest(table, more={"labels": "optional"})
    assert optional.samples["b"].row["objects"] is None
    assert not optional.samples["b"].row["has_label"]


def test_a_table_that_is_none(ingest, tmp_path) -> None:
    for table in ("file,class\n", "{}", "{", HEAD[:-1] + ",zmin\n"):
        with pytest.raises(SpecError) as caught:
            ingest(table)
        assert caught.value.code == "bad-table"
    with pytest.raises(SpecError) as caught:
        Ingested(tmp_path, {"annotations": "other.csv", "unit": "voxel"})
    assert caught.value.code == "no-table"


def test_a_comma_in_a_number_does_not_move_the_numbers_behind_it(ingest) -> None:
    row = "images/a.nii.gz,nodule,0,5,1,2,4,3,5"  # zmin is 0,5
    assert ingest(f"{HEAD}{row},\nimages/b.nii.gz\n").codes == [("a:1", "bad-box")]
    with pytest.raises(SpecError) as caught:
        ingest(HEAD.replace(",difficult", "") + row)
    assert caught.value.code == "bad-table"
    assert caught.value.message == "line 2 has more cells than there are columns"
    # As spreadsheets end lines.
    rows = "images/a.nii.gz,nodule,1,2,3,2,4,6,,,,\nimages/b.nii.gz,,,,,,,,,,,\n"
    assert ingest(HEAD + rows).boxes("a") == [("nodule", (1, 2, 3), (2, 4, 6))]


def test_ids_of_coco_that_are_given_twice(ingest) -> None:
    images = [{"id": 1, "file_name": f"images/{name}.nii.gz"} for name in "ab"]
    kinds = [{"id": 1, "name": name} for name in ("nodule", "mass")]
    for listed in ((images, kinds[:1]), (images[:1], kinds)):
        document = dict(zip(("images", "categories"), listed, strict=True)) | {"annotations": []}
        with pytest.raises(SpecError) as caught:
            ingest(json.dumps(document))
        assert caught.value.code == "bad-table"
        assert "have one id" in caught.value.message


def test_numbers_that_are_too_large_or_text(ingest) -> None:
    large = "images/a.nii.gz,nodule,-1e308,-1e308,-1e308,1e308,1e308,1e308,\nimages/b.nii.gz\n"
    assert ingest(HEAD + large, unit="mm", space="ras").codes == [("a:1", "bad-box")]
    document = {
        "images": [{"id": n, "file_name": f"images/{n}.nii.gz"} for n in "ab"],
        "categories": [{"id": 1, "name": "nodule"}],
        "annotations": [{"image_id": "a", "category_id": 1, "bbox": "123456"}],
    }
    assert ("a:1", "bad-box") in ingest(json.dumps(document)).codes


def test_millimetres_say_where_they_run_to() -> None:
    for unit, space in (("mm", None), ("voxel", "ras")):
        with pytest.raises(ValueError, match="`space` says"):
            VolumeBoxes(annotations="boxes.csv", unit=unit, space=space)  # type: ignore[arg-type]
