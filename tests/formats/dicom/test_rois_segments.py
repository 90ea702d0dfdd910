"""Regions of reports that are segments of a SEG: each is as large as its voxels."""

from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.sr.codedict import codes

from medray.formats.imaging.objects import objects_of

pytestmark = pytest.mark.filterwarnings("ignore")

WANTED = {"PatientBirthDate": "", "PatientSex": "", "StudyID": "", "StudyTime": "",
          "AccessionNumber": "", "ReferringPhysicianName": ""}  # fmt: skip


def segmentation(slices: list[Dataset], mask: np.ndarray, encoding: str) -> Dataset:
    named = hd.sr.CodedConcept("49755003", "SCT", "Lesion")
    algorithm = hd.AlgorithmIdentificationSequence(
        "t", hd.sr.CodedConcept("123110", "DCM", "Artificial Intelligence"), "1"
    )
    described = [
        hd.seg.SegmentDescription(n, f"s{n}", named, named, "AUTOMATIC", algorithm)
        for n in (1, 2, 3)
    ]
    return hd.seg.Segmentation(
        slices, mask, encoding, described, "1.2.9", 1, "1.2.9.1", 1, "m", "m", "1", "1"
    )


def report(about: list[Dataset], groups: list[Any]) -> Dataset:
    observer = hd.sr.PersonObserverIdentifyingAttributes("Doe^John")
    person = hd.sr.ObserverContext(codes.DCM.Person, observer)
    content = hd.sr.MeasurementReport(
        hd.sr.ObservationContext(observer_person_context=person),
        codes.SCT.ImagingProcedure,
        imaging_measurements=groups,
    )
    return hd.sr.Comprehensive3DSR(about, content[0], "1.2.8", 1, "1.2.8.1", 1, manufacturer="M")


def whole(number: int, source: Dataset, seg: Dataset) -> Any:
    images = [hd.sr.SourceImageForSegmentation(source.SOPClassUID, source.SOPInstanceUID)]
    region = hd.sr.ReferencedSegment(
        seg.SOPClassUID, seg.SOPInstanceUID, number, source_images=images
    )
    return hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        hd.sr.TrackingIdentifier(hd.UID(), f"{number}"),
        referenced_segment=region,
        finding_type=hd.sr.CodedConcept(f"C{number}", "99T", f"kind {number}"),
    )


def on_frame(number: int, frame: int, source: Dataset, seg: Dataset) -> Any:
    image = hd.sr.SourceImageForSegmentation(source.SOPClassUID, source.SOPInstanceUID)
    region = hd.sr.ReferencedSegmentationFrame(
        seg.SOPClassUID, seg.SOPInstanceUID, frame, number, image
    )
    return hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        hd.sr.TrackingIdentifier(hd.UID(), f"frame {frame}"),
        referenced_segment=region,
        finding_type=hd.sr.CodedConcept("F", "99T", "on a frame"),
    )


@pytest.fixture
def source(write_series: Any, tmp_path: Path) -> Any:
    """A series with a segmentation and a report about its segments; `groups(series, seg)`."""

    def write(groups: Any, encoding: str = "BINARY", evidence: Any = None, **kept: bool) -> None:
        slices = write_series(4, **WANTED)
        mask = np.zeros((4, 4, 6), np.uint8)
        mask[1:3, 1:3, 2:5] = 1
        mask[2, 0, 0] = mask[3, 3, 1] = 2
        seg = segmentation(slices, mask, encoding)
        folder = tmp_path / "source"
        made = report([*slices, seg], groups(slices, seg))
        if evidence is not None:
            evidence(made)
        if kept.get("seg", True):
            seg.save_as(folder / "seg")
        made.save_as(folder / "report")

    return write


def boxes(found: Any) -> list[Any]:
    return [(one.kind, one.begin, one.end) for one in objects_of(found.samples[0].row)]


def both(slices: list[Dataset], seg: Dataset) -> list[Any]:
    return [whole(number, slices[0], seg) for number in (1, 2, 3)]


@pytest.mark.parametrize("encoding", ["BINARY", "LABELMAP"])
def test_a_segment_is_as_large_as_its_voxels(source, ingest, encoding) -> None:
    source(both, encoding)
    found = ingest(labels="sr")
    assert boxes(found) == [
        ("kind 1", (1, 1, 2), (3, 3, 5)),
        ("kind 2", (2, 0, 0), (4, 4, 2)),
    ]
    (empty,) = found.refused  # the third segment has no voxel; the SEG itself is used
    assert (empty.sample, empty.code) == ("1.2.3.4:3", "box-without-area")
    # Whoever reads masks has the report in the account.
    assert ingest(labels="seg").codes == {"rejected-no-image": 1}


def frame_at(seg: Dataset, number: int, z_mm: float) -> int:
    (found,) = (
        at
        for at, group in enumerate(seg.PerFrameFunctionalGroupsSequence, start=1)
        if group.PlanePositionSequence[0].ImagePositionPatient[2] == z_mm
        and group.SegmentIdentificationSequence[0].ReferencedSegmentNumber == number
    )
    return found


def test_of_named_frames_these_alone(source, ingest) -> None:
    source(lambda slices, seg: [on_frame(1, frame_at(seg, 1, 40.0), slices[2], seg)])
    assert boxes(ingest(labels="sr")) == [("on a frame", (2, 1, 2), (3, 3, 5))]


def only_of_segmentations(made: Dataset) -> None:
    for study in made.CurrentRequestedProcedureEvidenceSequence:
        kept = [one for one in study.ReferencedSeriesSequence if one.SeriesInstanceUID == "1.2.9"]
        study.ReferencedSeriesSequence = kept


def test_a_report_about_segmentations_is_about_their_series(source, ingest) -> None:
    source(both, evidence=only_of_segmentations)
    assert len(boxes(ingest(labels="sr"))) == 2


def test_a_segmentation_that_is_not_there_is_named(source, ingest) -> None:
    source(both, seg=False)
    found = ingest(labels="sr")
    assert boxes(found) == []
    assert [one.code for one in found.refused] == ["missing-file"] * 3


def test_a_segmentation_that_the_report_does_not_name_is_passed_over(
    source, ingest, tmp_path
) -> None:
    source(both)
    other = tmp_path / "source" / "other"
    seg = dcmread(tmp_path / "source" / "seg")
    seg.SOPInstanceUID = seg.file_meta.MediaStorageSOPInstanceUID = "1.2.9.2"
    seg.save_as(other)
    found = ingest(labels="sr")
    assert len(boxes(found)) == 2
    assert found.codes == {"box-without-area": 1, "rejected-modality": 1}
    other.write_bytes((tmp_path / "source" / "seg").read_bytes())
    assert ingest(labels="sr").codes == {"box-without-area": 1, "rejected-duplicate": 1}


def test_a_segmentation_on_another_grid_costs_its_objects_alone(source, ingest, tmp_path) -> None:
    source(both)
    path = tmp_path / "source" / "seg"
    seg = dcmread(path)
    for group in seg.PerFrameFunctionalGroupsSequence:
        group.PlanePositionSequence[0].ImagePositionPatient[0] += 1.5  # half a voxel
    seg.save_as(path)
    found = ingest(labels="sr")
    assert boxes(found) == []
    assert {one.code for one in found.refused} == {"label-grid-mismatch"}
