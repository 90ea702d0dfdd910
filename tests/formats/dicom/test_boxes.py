"""Boxes of series from a table, which names them by their UID."""

from typing import Any

import pytest

from medray.formats.dicom import Dicom
from medray.formats.imaging.objects import objects_of

HEAD = "series,class,zmin,ymin,xmin,zmax,ymax,xmax\n"
# Slices of 4 x 6 voxels of 2 x 3 mm, 5 mm apart; the middle of the first is at (-10, -20, 30).
IN_MM = "1.2.3.4,nodule,32.5,-19,-8.5,42.5,-15,0.5\n"
BOX = ("nodule", (1, 1, 1), (3, 3, 4))


@pytest.fixture
def boxed(write_series, ingest, tmp_path) -> Any:
    def make(table: str, unit: str = "voxel", space: str | None = None, **options: Any) -> Any:
        write_series(4)
        (tmp_path / "source" / "boxes.csv").write_text(table)
        boxes = {"annotations": "boxes.csv", "unit": unit, "space": space, "classes": ["nodule"]}
        return ingest(boxes=boxes, **options)

    return make


def boxes(found: Any) -> list[Any]:
    return [(one.kind, one.begin, one.end) for one in objects_of(found.samples[0].row)]


def test_in_voxels_and_in_millimetres_of_the_patient(boxed) -> None:
    found = boxed(HEAD + "1.2.3.4,nodule,1,1,1,3,3,4\n")
    assert boxes(found) == [BOX]
    assert not found.refused  # the table itself is used
    assert boxes(boxed(HEAD + IN_MM, "mm", "lps")) == [BOX]
    assert "label" not in found.samples[0].arrays


def test_what_fits_nothing_is_in_the_account(boxed) -> None:
    rows = "1.2.3.4,nodule,1,1,1,3,3,4\n1.2.3.4,Doe,1,1,1,3,3,4\n1.2.99,nodule,1,1,1,3,3,4\n"
    found = boxed(HEAD + rows)
    assert boxes(found) == [BOX]
    assert found.codes == {"unknown-class": 1, "missing-file": 1}
    assert "Doe" not in str(found.plan.groups[0][0].extra)  # a class may name a patient
    other = boxed(HEAD + "1.2.99,nodule,1,1,1,3,3,4\n")
    assert other.codes == {"no-label": 4, "missing-file": 1}
    optional = boxed(HEAD + "1.2.99,nodule,1,1,1,3,3,4\n", require_labels=False)
    assert optional.samples[0].row["objects"] is None


def test_names_of_series_are_pseudonyms_where_others_are(boxed, monkeypatch) -> None:
    monkeypatch.setenv("MEDRAY_DEID_KEY", "k" * 40)
    rows = "1.2.3.4,nodule,1,1,1,3,3,4\n1.2.99,nodule,1,1,1,3,3,4\n"
    found = boxed(HEAD + rows, deidentify={"method": "keyed"})
    assert boxes(found) == [BOX]
    assert "1.2.99" not in str(found.refused)


def test_boxes_or_labels() -> None:
    table = {"annotations": "boxes.csv", "unit": "voxel"}
    with pytest.raises(ValueError, match="not both"):
        Dicom.Options.model_validate({"boxes": table, "labels": "seg"})
    with pytest.raises(ValueError, match="name `classes`"):
        Dicom.Options.model_validate({"boxes": table})
