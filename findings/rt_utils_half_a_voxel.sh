#!/usr/bin/env bash
# Tool: rt-utils
# Version: 1.2.7
# Behaviour: get_roi_mask_by_name takes every voxel that a contour touches, so regions are half a voxel larger on each side
# Seen: a square contour around exactly 20 x 20 voxels becomes a mask of 21 x 21, 10 % too large
set -eu
venv="$(mktemp -d)/venv"
python3 -m venv "$venv"
"$venv/bin/pip" -q install --no-deps rt-utils==1.2.7 pydicom==3.0.2 opencv-python-headless==5.0.0.93 numpy==2.4.6
cd "$(dirname "$venv")"
"$venv/bin/python" - <<'PYTHON'
from pathlib import Path

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from rt_utils import RTStructBuilder

# Slices of 64 x 64 voxels of 1 mm; a square from the edge before voxel 20 to that behind voxel 39.
Path("ct").mkdir()
for number in range(4):
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, f"1.2.3.4.{number + 1}"
    data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = "1.2.3", "1.2.3.4", "1.2.3.9"
    data.PatientID, data.PatientName, data.Modality = "P1", "A^B", "CT"
    data.PatientBirthDate = data.PatientSex = data.StudyDate = data.StudyTime = data.StudyID = ""
    data.ImagePositionPatient, data.ImageOrientationPatient = [0, 0, number], [1, 0, 0, 0, 1, 0]
    data.PixelSpacing, data.SliceThickness, data.InstanceNumber = [1, 1], 1, number + 1
    data.Rows = data.Columns = 64
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated = data.BitsStored = 16
    data.HighBit, data.PixelRepresentation = 15, 0
    data.PixelData = bytes(2 * 64 * 64)
    data.save_as(f"ct/{number}.dcm", enforce_file_format=True)
made = RTStructBuilder.create_new("ct")
made.add_roi(np.pad(np.ones((20, 20, 4), bool), ((20, 24), (20, 24), (0, 0))), name="square")
edges = [(19.5, 19.5), (39.5, 19.5), (39.5, 39.5), (19.5, 39.5)]
for contour in made.ds.ROIContourSequence[0].ContourSequence:
    z = contour.ContourData[2]
    contour.ContourData = [value for x, y in edges for value in (x, y, z)]
    contour.NumberOfContourPoints = 4
made.save("square.dcm")
mask = RTStructBuilder.create_from("ct", "square.dcm").get_roi_mask_by_name("square")
print("voxels of each slice:", mask.sum((0, 1)), "drawn: 400")
assert set(mask.sum((0, 1))) == {441}, "edges are exact now"
PYTHON
