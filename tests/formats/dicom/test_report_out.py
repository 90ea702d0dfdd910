"""Objects to DICOM: measurement reports (SR, TID 1500)."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pytest
from pydicom.sr.codedict import codes

from medray.errors import DataError
from medray.formats.dicom.report import DicomSr
from medray.formats.imaging.objects import Object, objects_of
from tests import parts

# Slices of 4 x 6 voxels of 2 x 3 mm, 5 mm apart, from (-10, -20, 30) on; see conftest.
ORIGIN, STEPS = np.array([-10.0, -20.0, 30.0]), np.array([3.0, 2.0, 5.0])  # x, y, z
FOUND = [
    Object("nodule", (0.0, 0.5, 1.25), (2.0, 3.0, 4.5), 0.8251, called=True),
    Object("mass", (3.0, 0.0, 0.0), (4.0, 4.0, 6.0), 0.5, called=True),
    Object("nodule", (1.0, 1.0, 1.0), (2.0, 2.0, 2.0), 0.1, called=False),
]


def export(ingest: Any, target: Path, found: list[Object], **options: Any) -> Path:
    sample = ingest(select={"min_slices": 1}, **options.pop("read", {})).samples[0]
    sample.arrays.clear()
    sample.row["objects"] = [one.told for one in found]
    (path,) = DicomSr(DicomSr.Options.model_validate(options)).write([sample], target)
    return path


def read(ingest: Any, labels: str = "sr", **options: Any) -> Any:
    return ingest(select={"min_slices": 1}, labels=labels, **options)


def boxes(found: Any) -> list[tuple[str, tuple[float, ...], tuple[float, ...], float | None]]:
    objects = objects_of(found.samples[0].row)
    return [(one.kind, one.begin, one.end, one.score) for one in objects]


def test_what_is_written_is_read_again(write_series, ingest, tmp_path) -> None:
    write_series(4)
    first = export(ingest, tmp_path / "out", FOUND)
    again = export(ingest, tmp_path / "again", FOUND)
    assert first.read_bytes() == again.read_bytes()
    shutil.copy(first, tmp_path / "source" / "report")
    found = read(ingest)
    assert boxes(found) == [(one.kind, one.begin, one.end, one.score) for one in FOUND[:2]]
    assert not found.refused
    assert found.samples[0].row["has_label"]
    shutil.copy(export(ingest, tmp_path / "all", FOUND, called=False), tmp_path / "source/report")
    assert len(boxes(read(ingest))) == 3


def test_edges_between_slices_go_outwards(write_series, ingest, tmp_path) -> None:
    write_series(4)
    some = [Object("nodule", (0.7, 1.0, 1.0), (2.1, 2.0, 3.0))]
    shutil.copy(export(ingest, tmp_path, some), tmp_path / "source" / "report")
    assert boxes(read(ingest)) == [("nodule", (0.0, 1.0, 1.0), (3.0, 2.0, 3.0), None)]


def test_nothing_found_is_a_report_too(write_series, ingest, tmp_path) -> None:
    write_series(4)
    shutil.copy(export(ingest, tmp_path, []), tmp_path / "source" / "report")
    found = read(ingest)
    assert boxes(found) == []
    assert found.samples[0].row["has_label"]


def test_a_report_says_what_was_found_by_what(write_series, ingest, tmp_path) -> None:
    write_series(4)
    code = {"value": "27925004", "scheme": "SCT", "meaning": "Nodule"}
    path = export(ingest, tmp_path, FOUND, findings={"nodule": code}, algorithm="net@3")
    report = hd.sr.srread(path)
    assert (report.Modality, report.SeriesDescription) == ("SR", "Detections")
    assert report.VerificationFlag == "UNVERIFIED"
    (volume,) = report.content.get_volumetric_roi_measurement_groups()
    (plane,) = report.content.get_planar_roi_measurement_groups()
    assert volume.finding_type == codes.SCT.Nodule
    assert plane.finding_type.meaning == "mass"
    assert plane.finding_type.scheme_designator == "99MEDRAY"
    told = {one.name.meaning: (one.value, one.unit.value) for one in volume.get_measurements()}
    assert told == {
        "Depth": (10.0, "mm"), "Height": (5.0, "mm"), "Width": (9.75, "mm"),
        "Certainty of Finding": (0.8251, "1"),
    }  # fmt: skip
    text = str(report)
    assert text.count("'net@3'") >= 2
    assert "Algorithm Version" in text


@pytest.mark.parametrize("method", ["none", "keyed"])
@pytest.mark.parametrize("count", [1, 4])
def test_a_validator_finds_no_error(
    write_series, ingest, tmp_path, monkeypatch, method: str, count: int
) -> None:
    parts.need("dicom3tools")
    monkeypatch.setenv("MEDRAY_DEID_KEY", "k" * 40)
    write_series(count)
    some = FOUND[:1] if count == 4 else [Object("nodule", (0, 1, 1), (1, 2, 2), 0.5)]
    path = export(ingest, tmp_path, some, read={"deidentify": {"method": method}})
    tool = shutil.which("dciodvfy")
    said = subprocess.run([tool, path], capture_output=True, text=True, check=False).stderr
    assert "Comprehensive3DSR" in said
    assert not [line for line in said.splitlines() if line.startswith("Error")]
    raw = path.read_bytes()
    assert (b"Doe^Jane" in raw, b"1.2.3.4" in raw) == (False, method == "none")
    assert (b"Basic Application Confidentiality Profile" in raw) == (method == "keyed")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"dicom_geometry": None}, "no-dicom-geometry"),
        ({"resampled": "gantry-tilt"}, "resampled-grid"),
        ({"objects": None}, "no-objects"),
        ({"objects": [Object("a", (0, 0, 0), (9, 1, 1)).told]}, "box-outside"),
        ({"objects": [Object("a", (0, 0), (1, 1)).told]}, "box-outside"),
    ],
)
def test_what_cannot_be_written_is_named(write_series, ingest, tmp_path, change, code) -> None:
    write_series(4)
    (sample,) = ingest().samples
    sample.row |= {"objects": []} | change
    with pytest.raises(DataError) as caught:
        list(DicomSr(DicomSr.Options()).write([sample], tmp_path))
    assert caught.value.code == code
