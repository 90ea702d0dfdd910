"""Objects from DICOM: measurement reports (SR, TID 1500) and structure sets (RTSTRUCT)."""

import shutil
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian, RTStructureSetStorage

from medray.formats.dicom import Dicom
from medray.formats.imaging.objects import objects_of

# Slices of 4 x 6 voxels of 2 x 3 mm, 5 mm apart, from (-10, -20, 30) on; see conftest.
ORIGIN, STEPS = np.array([-10.0, -20.0, 30.0]), np.array([3.0, 2.0, 5.0])  # x, y, z


def read(ingest: Any, labels: str = "sr", **options: Any) -> Any:
    return ingest(select={"min_slices": 1}, labels=labels, **options)


def boxes(found: Any) -> list[tuple[str, tuple[float, ...], tuple[float, ...], float | None]]:
    objects = objects_of(found.samples[0].row)
    return [(one.kind, one.begin, one.end, one.score) for one in objects]


class Report:
    """A report about the series of conftest, made by highdicom."""

    def __init__(self, slices: list[Dataset]) -> None:
        self.slices, self.groups = slices, []

    def add(self, kind: str, region: Any, **more: Any) -> "Report":
        finding = hd.sr.CodedConcept(f"C{len(self.groups)}", "99TEST", kind)
        one = hd.sr.TrackingIdentifier(hd.UID(), kind)
        named = {"tracking_identifier": one, "finding_type": finding, **more}
        if isinstance(region, hd.sr.VolumeSurface):
            made = hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
                referenced_volume_surface=region, **named
            )
        else:
            made = hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations(
                referenced_region=region, **named
            )
        self.groups.append(made)
        return self

    def flat(self, form: str, points: list[tuple[float, float]], at: int = 0) -> hd.sr.ImageRegion:
        one = self.slices[at]
        source = hd.sr.SourceImageForRegion(one.SOPClassUID, one.SOPInstanceUID)
        return hd.sr.ImageRegion(form, np.array(points), source)

    def save(self, path: Path, change: Any = lambda data: None) -> None:
        person = hd.sr.ObserverContext(
            observer_type=codes.DCM.Person,
            observer_identifying_attributes=hd.sr.PersonObserverIdentifyingAttributes("Doe^John"),
        )
        content = hd.sr.MeasurementReport(
            hd.sr.ObservationContext(observer_person_context=person),
            codes.SCT.ImagingProcedure,
            imaging_measurements=self.groups,
        )
        evidence = [_whole(one) for one in self.slices]
        made = hd.sr.Comprehensive3DSR(
            evidence, content[0], "1.2.3.77", 1, f"{hd.UID()}", 1, manufacturer="M"
        )
        change(made)
        made.save_as(path)


def _whole(one: Dataset) -> Dataset:
    for keyword in ("PatientBirthDate", "PatientSex", "StudyTime", "StudyID", "AccessionNumber"):
        if keyword not in one:
            setattr(one, keyword, "")
    one.ReferringPhysicianName = ""
    return one


def mm(points: list[tuple[float, float, float]]) -> np.ndarray:
    """Voxel coordinates (x, y, z), 0 at the middle of the first voxel, in mm."""
    return ORIGIN + np.array(points) * STEPS


def surface(report: Report, form: str, points: list[tuple[float, float, float]], frame="1.2.3.9"):
    one = report.slices[0]
    source = hd.sr.SourceImageForSegmentation(one.SOPClassUID, one.SOPInstanceUID)
    return hd.sr.VolumeSurface(form, mm(points), frame, [source])


def test_regions_of_every_form(write_series, ingest, tmp_path) -> None:
    report = Report(write_series(4))
    report.add("rectangle", report.flat("POLYLINE", [(1, 1), (3, 1), (3, 2), (1, 2), (1, 1)], 2))
    report.add("circle", report.flat("CIRCLE", [(3, 2), (3, 3)], 1))
    report.add("ellipse", report.flat("ELLIPSE", [(1, 2), (5, 2), (3, 1), (3, 3)], 3))
    ends = [(0.5, 2, 2), (4.5, 2, 2), (2.5, 1, 2), (2.5, 3, 2), (2.5, 2, 1), (2.5, 2, 3)]
    report.add("ellipsoid", surface(report, "ELLIPSOID", ends))
    report.save(tmp_path / "source" / "report")
    found = read(ingest)
    # A circle in pixels of 3 x 2 mm; 3-D coordinates have 0.5 for the middle of a voxel.
    assert boxes(found) == [
        ("rectangle", (2, 1, 1), (3, 2, 3), None),
        ("circle", (1, 1, 2), (2, 3, 4), None),
        ("ellipse", (3, 1, 1), (4, 3, 5), None),
        ("ellipsoid", (1.5, 1.5, 1), (3.5, 3.5, 5), None),
    ]
    assert not found.refused
    found = read(ingest, classes=["circle", "ellipse"])
    assert [one[0] for one in boxes(found)] == ["circle", "ellipse"]
    assert [one.code for one in found.refused] == ["unknown-class"] * 2
    assert [one.sample for one in found.refused] == ["1.2.3.4:1", "1.2.3.4:4"]


def test_a_polygon_lies_in_its_slice_or_across_slices(write_series, ingest, tmp_path) -> None:
    report = Report(write_series(4))
    flat = [(1, 1, 2), (3, 1, 2), (3, 2.5, 2), (1, 1, 2)]
    report.add("flat", hd.sr.ImageRegion3D("POLYGON", mm(flat), "1.2.3.9"))
    upright = [(2, 0, 0), (2, 2, 0), (2, 2, 3), (2, 0, 0)]
    report.add("upright", hd.sr.ImageRegion3D("POLYGON", mm(upright), "1.2.3.9"))
    report.save(tmp_path / "source" / "report")
    assert boxes(read(ingest)) == [
        ("flat", (2, 1.5, 1.5), (3, 3, 3.5), None),
        ("upright", (0.5, 0.5, 2), (3.5, 2.5, 3), None),
    ]


def test_what_cannot_be_placed_is_refused_by_itself(write_series, ingest, tmp_path) -> None:
    report = Report(write_series(4))
    report.add("good", report.flat("POLYLINE", [(0, 0), (2, 2), (0, 2), (0, 0)]))
    report.add("point", report.flat("POINT", [(1, 1)]))
    report.add("outside", report.flat("POLYLINE", [(7, 7), (9, 9), (7, 9), (7, 7)]))
    report.add("flat", report.flat("POLYLINE", [(1, 1), (2, 1), (1, 1)]))
    square = [(0, 0, 1), (1, 1, 1), (0, 1, 1), (0, 0, 1)]
    report.add("frame", hd.sr.ImageRegion3D("POLYGON", mm(square), "1.2.3.10"))
    report.add("image", report.flat("CIRCLE", [(1, 1), (1, 2)]))
    report.add("segment", report.flat("CIRCLE", [(1, 1), (1, 2)]))

    def change(data: Dataset) -> None:
        *_, image, segment = data.ContentSequence[-1].ContentSequence
        (region,) = (one for one in image.ContentSequence if one.ValueType == "SCOORD")
        region.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID = "1.2.99"
        (region,) = (one for one in segment.ContentSequence if one.ValueType == "SCOORD")
        (source,) = region.ContentSequence
        source.ReferencedSOPSequence[0].ReferencedSegmentNumber = 1
        others = [one for one in segment.ContentSequence if one.ValueType != "SCOORD"]
        segment.ContentSequence = Sequence([*others, source])

    report.save(tmp_path / "source" / "report", change)
    found = read(ingest)
    assert [one[0] for one in boxes(found)] == ["good"]
    assert [one.code for one in found.refused] == [
        "box-without-area", "box-outside", "box-without-area", "other-frame", "other-image",
        "missing-file",
    ]  # fmt: skip


def test_files_about_no_series_and_several_about_one(write_series, ingest, tmp_path) -> None:
    slices = write_series(4)
    found = read(ingest)
    assert found.codes == {"no-label": 4}
    report = Report(slices)
    report.add("a", report.flat("POLYLINE", [(0, 0), (2, 2), (0, 2), (0, 0)]))
    report.save(tmp_path / "source" / "report")
    (tmp_path / "source" / "copy").write_bytes((tmp_path / "source" / "report").read_bytes())
    found = read(ingest)
    assert found.codes == {"rejected-duplicate": 1}
    assert len(boxes(found)) == 1
    report.save(tmp_path / "source" / "copy")
    assert read(ingest).codes["many-labels"] == 4
    # Who asks for no objects sees them as what they are: no images.
    assert ingest().codes == {"rejected-no-image": 2}
    assert read(ingest, labels="rtstruct").codes == {"no-label": 4, "rejected-no-image": 2}
    optional = read(ingest, labels="rtstruct", require_labels=False)
    assert optional.samples[0].row["objects"] is None
    assert not optional.samples[0].row["has_label"]


def test_a_file_that_is_no_report_or_damaged_is_named(write_series, ingest, tmp_path) -> None:
    report = Report(write_series(4))
    report.add("a", report.flat("POLYLINE", [(0, 0), (2, 2), (0, 2), (0, 0)]))
    path = tmp_path / "source" / "report"

    def other_title(data: Dataset) -> None:
        data.ConceptNameCodeSequence[0].CodeValue = "126001"

    report.save(path, other_title)
    assert [one.code for one in read(ingest).errors] == ["unsupported-label"]

    def no_finding(data: Dataset) -> None:
        for item in data.ContentSequence[-1].ContentSequence[0].ContentSequence:
            if item.ValueType == "CODE":
                item.ConceptCodeSequence = []

    report.save(path)
    whole = path.read_bytes()
    report.save(path, no_finding)
    assert [one.code for one in read(ingest).errors] == ["bad-label"]
    random = np.random.default_rng(1)
    for _ in range(40):
        raw = bytearray(whole)
        for at in random.integers(600, len(raw), 3):
            raw[at] = random.integers(256)
        path.write_bytes(raw[: random.integers(600, len(raw) + 1)])
        found = read(ingest, require_labels=False)  # nothing but errors of ours
        assert len(found.samples) + len(found.errors) <= 1 or found.refused


def structures(path: Path, rois: dict[str, list[tuple[str, np.ndarray]]], frame: str) -> None:
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID, data.SOPInstanceUID = RTStructureSetStorage, "1.2.3.88.1"
    data.StudyInstanceUID, data.SeriesInstanceUID = "1.2.3", "1.2.3.88"
    data.Modality, data.PatientID = "RTSTRUCT", "P1"
    series, study, reference = Dataset(), Dataset(), Dataset()
    series.SeriesInstanceUID = "1.2.3.4"
    study.RTReferencedSeriesSequence = [series]
    reference.FrameOfReferenceUID, reference.RTReferencedStudySequence = frame, [study]
    data.ReferencedFrameOfReferenceSequence = [reference]
    data.StructureSetROISequence, data.ROIContourSequence = [], []
    for number, (name, contours) in enumerate(rois.items(), start=1):
        roi, drawn = Dataset(), Dataset()
        roi.ROINumber, roi.ROIName, roi.ReferencedFrameOfReferenceUID = number, name, frame
        drawn.ReferencedROINumber, drawn.ContourSequence = number, []
        for form, points in contours:
            contour = Dataset()
            contour.ContourGeometricType, contour.NumberOfContourPoints = form, len(points)
            contour.ContourData = [f"{value:.8g}" for value in points.ravel()]
            drawn.ContourSequence.append(contour)
        data.StructureSetROISequence.append(roi)
        data.ROIContourSequence.append(drawn)
    data.save_as(path, enforce_file_format=True)


def test_contours_of_a_structure_set_are_boxes(write_series, ingest, tmp_path) -> None:
    write_series(4)
    square = [(1, 0.5), (4, 0.5), (4, 2), (1, 2)]
    planes = [mm([(x, y, z) for x, y in square]) for z in (1, 2)]
    rois = {
        "GTV": [("CLOSED_PLANAR", one) for one in planes],
        "isocentre": [("POINT", mm([(1, 1, 1)]))],
        "empty": [],
        "body": [("CLOSED_PLANAR", mm([(-3, -3, z), (9, -3, z), (9, 9, z)])) for z in range(4)],
    }
    path = tmp_path / "source" / "structures"
    structures(path, rois, "1.2.3.9")
    found = read(ingest, "rtstruct")
    assert boxes(found) == [
        ("GTV", (1, 1, 1.5), (3, 2.5, 4.5), None),
        ("body", (0, 0, 0), (4, 4, 6), None),
    ]
    assert found.samples[0].row["objects_clipped"] == 1
    assert {one.sample: one.code for one in found.refused} == {
        "1.2.3.4:2": "box-without-area", "1.2.3.4:3": "box-without-area",
    }  # fmt: skip
    structures(path, rois, "1.2.3.10")
    assert read(ingest, "rtstruct").codes["other-frame"] == 4


def test_names_of_regions_are_free_text(monkeypatch) -> None:
    monkeypatch.setenv("MEDRAY_DEID_KEY", "k" * 40)
    with pytest.raises(ValueError, match="name `classes`"):
        Dicom.Options(labels="rtstruct")
    Dicom.Options(labels="rtstruct", classes=("GTV",))
    with pytest.raises(ValueError, match="`classes` are those"):
        Dicom.Options(labels="seg", classes=("GTV",))


@pytest.mark.parametrize(
    ("file", "wanted"),
    [
        ("sr_document.dcm", [("Spinal cord", (0, 41, 47), (1, 63, 69))]),
        (
            "sr_document_with_multiple_groups.dcm",
            [("Nodule", (0, 45, 35), (1, 65, 55)), ("Aorta", (0, 45, 25), (1, 65, 45))],
        ),
    ],
)
def test_reports_of_highdicom(data_dir, ingest, tmp_path, file: str, wanted: list[Any]) -> None:
    folder = tmp_path / "real"
    folder.mkdir()
    for name in ("ct_image.dcm", file):
        shutil.copy(data_dir / "imaging" / "dicom_seg_highdicom" / name, folder / name)
    found = ingest(folder, select={"min_slices": 1}, labels="sr")
    assert [one[:3] for one in boxes(found)] == wanted
    refused = [one.code for one in found.refused]
    assert refused == ["box-without-area"] * (len(wanted) - 1)  # of a volume a point is told
    assert dcmread(folder / file).Modality == "SR"
