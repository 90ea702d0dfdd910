"""Exported DICOM SEG has no error by dciodvfy, whatever series it is about."""

import hashlib
import shutil
import subprocess

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.sequence import Sequence
from pydicom.uid import EnhancedCTImageStorage, MRImageStorage

from medray.errors import DataError
from medray.formats.dicom.segmentation import DicomSeg
from tests import parts


def enhanced(data, index):
    data.SOPClassUID = EnhancedCTImageStorage
    shared, orientation, measures = Dataset(), Dataset(), Dataset()
    orientation.ImageOrientationPatient = data.ImageOrientationPatient
    measures.PixelSpacing, measures.SliceThickness = data.PixelSpacing, 5
    shared.PlaneOrientationSequence = Sequence([orientation])
    shared.PixelMeasuresSequence = Sequence([measures])
    groups = []
    for number in range(4):
        group, position = Dataset(), Dataset()
        position.ImagePositionPatient = [0, 0, 15.0 - 5 * number]
        group.PlanePositionSequence = Sequence([position])
        groups.append(group)
    data.SharedFunctionalGroupsSequence = Sequence([shared])
    data.PerFrameFunctionalGroupsSequence = Sequence(groups)
    data.NumberOfFrames = 4
    data.PixelData = data.PixelData * 4


def oblique(data, index):
    data.ImageOrientationPatient = [0.976293, 0.154299, -0.151799, -0.156108, 0.98774, 0]
    normal = np.cross(data.ImageOrientationPatient[:3], data.ImageOrientationPatient[3:])
    data.ImagePositionPatient = [f"{v:.8e}" for v in normal * 1.2345678 * index - 1e-5]
    data.PixelSpacing = ["0.3333333333333", "0.66666666666666"]


def lacking(data, index):
    for keyword in ("FrameOfReferenceUID", "SliceThickness", "StudyDate", "PatientID"):
        delattr(data, keyword)


def magnetic(data, index):
    data.SOPClassUID, data.Modality = MRImageStorage, "MR"


KINDS = {
    "ct": (4, lambda data, index: None),
    "mr": (4, magnetic),
    "lacking": (4, lacking),
    "oblique": (4, oblique),
    "one slice": (1, lambda data, index: None),
    "enhanced": (1, enhanced),
}


def exported(ingest, tmp_path, **options):
    (sample,) = ingest(select={"min_slices": 1}, **options).samples
    image = sample.arrays.pop("image")[0]
    sample.arrays["label"] = (image > np.median(image)).astype(np.uint8)
    (path,) = DicomSeg(DicomSeg.Options()).write([sample], tmp_path / "out")
    return path


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["none", "keyed"])
def test_a_validator_finds_no_error(write_series, ingest, tmp_path, kind, method, monkeypatch):
    parts.need("dicom3tools")
    monkeypatch.setenv("MEDRAY_DEID_KEY", "k" * 40)
    count, change = KINDS[kind]
    write_series(count, change=change)
    path = exported(ingest, tmp_path, deidentify={"method": method})
    tool = shutil.which("dciodvfy")
    said = subprocess.run([tool, path], capture_output=True, text=True, check=False).stderr
    assert "Segmentation" in said
    assert not [line for line in said.splitlines() if line.startswith("Error")]


def test_what_a_source_lacks_is_made_from_the_rest(write_series, ingest, tmp_path):
    write_series(4, change=lacking)
    file = dcmread(exported(ingest, tmp_path))
    # Every export about the series lies in the same frame of reference.
    made = hashlib.sha256(b"1.2.3.4\0frame of reference").digest()[:16]
    assert file.FrameOfReferenceUID == f"2.25.{int.from_bytes(made, 'big')}"
    measures = file.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert float(measures.SliceThickness) == 5


def test_a_tilted_series_takes_no_segmentation_on_other_slices(write_series, ingest, tmp_path):
    def tilt(data, index):
        data.ImagePositionPatient = [0, 2.0 * index, 5.0 * index]

    write_series(4, change=tilt)
    with pytest.raises(DataError, match="none of the series'"):
        exported(ingest, tmp_path, resample=True)
