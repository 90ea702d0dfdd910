"""DICOM SEG out: equal back, equal bytes twice, small and quick."""

import io
import json
import shutil
import time
import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest

from medray.errors import DataError, SpecError
from medray.formats.base import Source
from medray.formats.dicom import Dicom
from medray.formats.dicom.segmentation import DicomSeg
from medray.storage.shards.samples import Sample

CT = "1.2.840.10008.5.1.4.1.1.2"


def geometry(shape: tuple[int, int, int], **changes: object) -> str:
    depth, rows, columns = shape
    return json.dumps(
        {
            "study": "2.25.1",
            "series": "2.25.2",
            "frame_of_reference": "2.25.3",
            "sop_class": CT,
            "modality": "CT",
            "patient": "subject-1",
            "date": "2020-01-02",
            "rows": rows,
            "columns": columns,
            "spacing_mm": [0.7, 0.8],
            "orientation": [1, 0, 0, 0, 1, 0],
            "thickness_mm": 2.0,
            "deidentified": True,
            "slices": [
                {"sop": f"2.25.{100 + z}", "frame": 1, "position_mm": [-9.0, -8.0, 2.0 * z]}
                for z in range(depth)
            ],
            **changes,
        }
    )


def blobs(shape: tuple[int, int, int], classes: int) -> np.ndarray:
    """Ellipsoids of about organ size, one per class."""
    rng = np.random.default_rng(0)
    label = np.zeros(shape, np.uint8)
    for value in range(1, classes + 1):
        centre = rng.uniform(0.2, 0.8, 3) * shape
        radius = np.maximum(1, rng.uniform(0.03, 0.12, 3) * shape)
        low = np.maximum(0, centre - radius).astype(int)
        high = np.minimum(shape, centre + radius + 1).astype(int)
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        axes = zip(np.ogrid[box], centre, radius, strict=True)
        label[box][sum(((g - c) / r) ** 2 for g, c, r in axes) < 1] = value
    return label


def export(label: np.ndarray, target: Path, row: dict | None = None, **options: object) -> Path:
    sample = Sample("case", row or {"dicom_geometry": geometry(label.shape)}, {"label": label})
    form = DicomSeg(DicomSeg.Options(**options))
    return next(iter(form.write([sample], target)))


def back(path: Path) -> np.ndarray:
    import highdicom

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        seg = highdicom.seg.segread(path)
        found = seg.get_pixels_by_source_instance(
            [str(uid[2]) for uid in seg.get_source_image_uids()], combine_segments=True
        )
    return np.asarray(found)


@pytest.mark.parametrize("encoding", ["labelmap", "binary"])
@pytest.mark.parametrize("compression", ["rle", "jpeg-ls", "none"])
def test_reads_back_equal(tmp_path: Path, encoding: str, compression: str) -> None:
    label = blobs((6, 20, 30), 3)
    path = export(label, tmp_path, encoding=encoding, compression=compression)
    assert np.array_equal(back(path), label)
    file = pydicom.dcmread(path)
    assert file.StudyInstanceUID == "2.25.1"
    assert file.FrameOfReferenceUID == "2.25.3"
    assert file.ReferencedSeriesSequence[0].SeriesInstanceUID == "2.25.2"
    assert str(file.SOPInstanceUID).startswith("2.25.")
    first = file.PerFrameFunctionalGroupsSequence[0]
    assert list(first.PlanePositionSequence[0].ImagePositionPatient)[:2] == [-9.0, -8.0]


def test_second_export_is_the_same_file_and_another_mask_another_instance(tmp_path: Path) -> None:
    label = blobs((4, 16, 16), 2)
    once = export(label, tmp_path / "a")
    time.sleep(1.1)  # a clock's second that leaked in would show
    twice = export(label, tmp_path / "b")
    assert once.read_bytes() == twice.read_bytes()
    label[0, 0, 0] = 1
    other = export(label, tmp_path / "c")
    uids = {str(pydicom.dcmread(path).SOPInstanceUID) for path in (once, other)}
    assert len(uids) == 2
    assert b"20200102" in once.read_bytes()


def test_names_and_codes_of_segments(tmp_path: Path) -> None:
    spleen = {
        "label": "spleen",
        "category": {"value": "123037004", "meaning": "Anatomical Structure"},
        "type": {"value": "78961009", "meaning": "Spleen"},
    }
    file = pydicom.dcmread(export(blobs((3, 16, 16), 1), tmp_path, segments=[spleen]))
    segment = file.SegmentSequence[-1]
    assert segment.SegmentLabel == "spleen"
    assert segment.SegmentedPropertyTypeCodeSequence[0].CodeValue == "78961009"
    with pytest.raises(DataError) as caught:
        export(blobs((3, 16, 16), 2), tmp_path, segments=[spleen])
    assert caught.value.code == "unnamed-segment"


@pytest.mark.parametrize("encoding", ["labelmap", "binary"])
def test_an_empty_mask_is_a_result_too(tmp_path: Path, encoding: str) -> None:
    label = np.zeros((3, 8, 8), np.uint8)
    path = export(label, tmp_path, encoding=encoding)
    assert pydicom.dcmread(path).SegmentSequence[-1].SegmentLabel == "class 1"


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ({}, "no-dicom-geometry"),
        ({"dicom_geometry": geometry((4, 8, 9))}, "geometry-mismatch"),
        ({"dicom_geometry": geometry((4, 8, 8)), "resampled": "gantry-tilt"}, "resampled-grid"),
    ],
)
def test_refusals(tmp_path: Path, row: dict, code: str) -> None:
    with pytest.raises(DataError) as caught:
        export(np.zeros((4, 8, 8), np.uint8), tmp_path, row=row or {"subject": "a"})
    assert caught.value.code == code
    assert not list(tmp_path.iterdir())


def test_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="write-only-format"):
        DicomSeg(DicomSeg.Options()).plan(Source(tmp_path))


@pytest.mark.drill
def test_thirty_organs_of_a_whole_body(tmp_path: Path) -> None:
    label = blobs((200, 512, 512), 30)
    for encoding, limit_bytes in (("labelmap", 2e6), ("binary", 50e6)):
        path = export(label, tmp_path, encoding=encoding)
        assert path.stat().st_size <= limit_bytes
        assert np.array_equal(back(path), label)


def test_nothing_but_the_geometry_enters(tmp_path: Path) -> None:
    label = blobs((3, 8, 8), 1)
    row = {"dicom_geometry": geometry(label.shape), "subject": "CANARY^JOHN"}
    data = export(label, tmp_path, row=row).read_bytes()
    assert b"CANARY" not in data
    assert pydicom.dcmread(io.BytesIO(data)).PatientIdentityRemoved == "YES"


@pytest.mark.parametrize("encoding", ["labelmap", "binary"])
def test_slices_of_one_multi_frame_file(tmp_path: Path, encoding: str) -> None:
    """The volume runs against the order of the frames; every plane keeps its place."""
    label = blobs((5, 16, 16), 2)
    places = [
        {"sop": "2.25.100", "frame": 5 - z, "position_mm": [-9.0, -8.0, 2.0 * z]} for z in range(5)
    ]
    enhanced = "1.2.840.10008.5.1.4.1.1.2.1"
    row = {"dicom_geometry": geometry(label.shape, sop_class=enhanced, slices=places)}
    file = pydicom.dcmread(export(label, tmp_path, row, encoding=encoding, compression="none"))
    assert file.SourceImageSequence[0].ReferencedSOPInstanceUID == "2.25.100"
    planes = file.pixel_array.reshape(-1, 16, 16)
    for plane, group in zip(planes, file.PerFrameFunctionalGroupsSequence, strict=True):
        z = round(float(group.PlanePositionSequence[0].ImagePositionPatient[2]) / 2)
        if encoding == "labelmap":
            assert np.array_equal(plane, label[z])
        else:
            segment = group.SegmentIdentificationSequence[0].ReferencedSegmentNumber
            assert np.array_equal(plane, label[z] == segment)
    del places[2]  # another volume's frame, in a file of several
    row = {"dicom_geometry": geometry((4, 16, 16), sop_class=enhanced, slices=places)}
    with pytest.raises(DataError, match="multi-frame-subset"):
        export(label[:4], tmp_path, row)


def test_series_of_vendors_take_their_masks_back(data_dir: Path, tmp_path: Path) -> None:
    """Ingest, segment by threshold, export, and ingest again with the segmentation as label."""
    root = data_dir / "imaging" / "dicom_mr_torchio"
    form = Dicom(Dicom.Options(deidentify={"method": "none"}))
    ((item,),) = form.plan(Source(root)).groups
    (sample,) = form.read(Source(root), item)
    image = sample.arrays["image"][0]
    label = (image > np.percentile(image, 90)).astype(np.uint8)
    for encoding, compression in (("labelmap", "jpeg-ls"), ("labelmap", "rle"), ("binary", "none")):
        target = tmp_path / f"{encoding}-{compression}"
        export(label, target, sample.row, encoding=encoding, compression=compression)
        for number, path in enumerate(item.paths):
            shutil.copy(root / path, target / f"{number}.dcm")
        both = Dicom(Dicom.Options(deidentify={"method": "none"}, labels="seg"))
        ((again,),) = both.plan(Source(target)).groups
        (back,) = both.read(Source(target), again)
        assert np.array_equal(back.arrays["label"], label)
