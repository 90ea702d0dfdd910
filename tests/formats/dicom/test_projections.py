"""X-rays, which have no place in space: each image is a sample of two axes."""

import json
from typing import Any

import numpy as np
import pytest
from pydicom.uid import DigitalXRayImageStorageForPresentation as DX

from medray.formats.dicom import Dicom
from medray.formats.imaging.objects import objects_of

SELECT = {"modality": ["DX"]}
BOX = ("opacity", (1, 2), (3, 5))


@pytest.fixture
def x_rays(write_series, ingest, tmp_path) -> Any:
    def make(
        files: dict[str, str] | None = None,
        count: int = 1,
        change: Any = lambda data, index: None,
        **options: Any,
    ) -> Any:
        def placeless(data: Any, index: int) -> None:
            del data.ImagePositionPatient, data.ImageOrientationPatient, data.SliceThickness
            data.SOPClassUID, data.ImagerPixelSpacing = DX, [0.2, 0.1]
            data.PixelSpacing = None
            data.ImageType = ["ORIGINAL", "PRIMARY", ""]
            change(data, index)

        write_series(count, change=placeless, Modality="DX", RescaleIntercept=0)
        for name, text in (files or {}).items():
            (tmp_path / "source" / name).write_text(text)
        return ingest(projections=True, select=SELECT, **options)

    return make


def boxes(found: Any) -> list[Any]:
    return [(one.kind, one.begin, one.end) for one in objects_of(found.samples[0].row)]


def test_an_x_ray_is_a_sample_of_two_axes(x_rays, stored_plane) -> None:
    found = x_rays()
    (sample,) = found.samples
    assert sample.id == "1.2.3.4.1"
    np.testing.assert_array_equal(sample.arrays["image"], stored_plane(0)[None])
    assert sample.row["spacing_mm"] == [0.2, 0.1]  # of the detector, as nothing else is told
    assert sample.row["modality"] == "DX"
    assert sample.row["has_label"] is False
    assert not {"affine", "geometry", "dicom_geometry"} & sample.row.keys()
    assert not found.refused


def test_boxes_of_a_table_and_of_coco(x_rays) -> None:
    head = "series,class,ymin,xmin,ymax,xmax\n"
    told = {"annotations": "boxes.csv", "unit": "voxel", "classes": ["opacity"]}
    rows = "1.2.3.4,opacity,1,2,3,5\n1.2.3.4,opacity,3,1,3,4\n"
    found = x_rays({"boxes.csv": head + rows}, boxes=told)
    assert boxes(found) == [BOX]
    assert found.codes == {"box-without-area": 1}
    assert found.samples[0].row["has_label"] is True
    document = {
        "images": [{"id": 1, "file_name": "1.2.3.4"}],
        "categories": [{"id": 1, "name": "opacity"}],
        "annotations": [
            {"image_id": 1, "category_id": 1, "bbox": [2, 1, 3, 2]},
            {"image_id": 1, "category_id": 1, "bbox": [2, 1, 0, 3, 2, 1]},  # of a volume
        ],
    }
    told["annotations"] = "boxes.json"
    found = x_rays({"boxes.json": json.dumps(document)}, boxes=told)
    assert boxes(found) == [BOX]
    assert found.codes["bad-box"] == 1


def from_two_sides(data: Any, index: int) -> None:
    data.ViewPosition = ["PA", "LL", "JANE"][index]
    if index == 1:  # another size, too
        data.Rows, data.PixelData = 3, data.PixelData[:36]


def test_each_image_of_a_series_is_a_sample(x_rays, stored_plane) -> None:
    found = x_rays(count=3, change=from_two_sides)
    assert not found.refused
    assert [one.id for one in found.samples] == ["1.2.3.4.1", "1.2.3.4.2", "1.2.3.4.3"]
    assert [one.row["view"] for one in found.samples] == ["PA", "LL", ""]
    assert {one.row["series"] for one in found.samples} == {"1.2.3.4"}
    for at, rows in enumerate((4, 3, 4)):
        image = found.samples[at].arrays["image"]
        np.testing.assert_array_equal(image, stored_plane(at)[None, :rows])


def test_an_image_is_refused_alone(x_rays, monkeypatch) -> None:
    monkeypatch.setenv("MEDRAY_DEID_KEY", "ab" * 32)

    def change(data: Any, index: int) -> None:
        if index == 1:
            data.NumberOfFrames, data.PixelData = 2, 2 * data.PixelData
        if index == 2:
            data.BurnedInAnnotation = "YES"
        if index == 3:
            data.PixelData = data.PixelData[:-8]

    found = x_rays(count=5, change=change, deidentify={"method": "keyed"})
    assert found.codes == {"no-projection": 1, "burned-in-risk": 1, "truncated-pixels": 1}
    assert len(found.samples) == 2
    assert all(one.id.startswith("image-") for one in found.samples)


def test_images_that_nothing_tells_apart_are_refused(x_rays) -> None:
    def nameless(data: Any, index: int) -> None:
        if index != 1:
            data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
            del data.SOPInstanceUID

    found = x_rays(count=3, change=nameless)
    assert found.codes == {"blank-uid": 2}
    assert [one.id for one in found.samples] == ["1.2.3.4.2"]


def test_one_sop_instance_in_two_series_is_no_image(x_rays, write_series, ingest) -> None:
    x_rays(count=2)

    def elsewhere(data: Any, index: int) -> None:
        del data.ImagePositionPatient, data.ImageOrientationPatient
        data.SOPClassUID, data.SeriesInstanceUID = DX, "1.2.3.5"

    write_series(1, folder="b", change=elsewhere, Modality="DX", ImageType=["ORIGINAL", "PRIMARY"])
    found = ingest(projections=True, select=SELECT)
    assert found.codes == {"ambiguous-uid": 2}
    assert [one.id for one in found.samples] == ["1.2.3.4.2"]


def test_boxes_name_an_image_or_a_series_of_one(x_rays) -> None:
    head = "series,class,ymin,xmin,ymax,xmax\n"
    told = {"annotations": "boxes.csv", "unit": "voxel", "classes": ["opacity"]}
    rows = "1.2.3.4.1,opacity,1,2,3,5\n1.2.3.4,opacity,1,1,3,4\n"
    alone = x_rays({"boxes.csv": head + rows}, boxes=told)
    assert boxes(alone) == [BOX, ("opacity", (1, 1), (3, 4))]
    found = x_rays({"boxes.csv": head + rows}, count=2, boxes=told, require_labels=False)
    assert boxes(found) == [BOX]
    assert found.samples[1].row["has_label"] is False
    assert found.codes == {"missing-file": 1}  # of which of two?


def test_a_slice_of_a_volume_is_refused(write_series, ingest) -> None:
    write_series(1)
    assert ingest(projections=True).codes == {"no-projection": 1}


def test_without_the_option_it_has_no_geometry(x_rays, ingest) -> None:
    x_rays()
    found = ingest(select={**SELECT, "min_slices": 1})
    assert found.codes == {"no-geometry": 1}


def test_what_needs_a_place_in_space_is_refused() -> None:
    table = {"annotations": "boxes.csv", "unit": "mm", "space": "lps", "classes": ["a"]}
    for more in ({"labels": "seg"}, {"boxes": table}):
        with pytest.raises(ValueError, match="no place in space"):
            Dicom.Options.model_validate({"projections": True, **more})
