"""Drawn images as Secondary Captures: they say that they are synthetic, and hold what was drawn."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from medray.errors import DataError
from medray.formats.dicom.capture import DicomSc
from medray.storage.shards.samples import Sample
from tests import parts

KINDS: dict[str, tuple[tuple[int, ...], str, list[float] | None]] = {
    "picture": ((1, 28, 27), "uint8", [1.0, 0.5]),
    "coloured": ((3, 28, 27), "uint8", None),
    "volume": ((1, 5, 20, 22), "uint8", [2.0, 1.0, 0.5]),
    "deep": ((1, 5, 20, 22), "uint16", [2.0, 1.0, 0.5]),
    "signed": ((1, 5, 20, 22), "int16", [2.0, 1.0, 0.5]),
    "floats": ((1, 5, 20, 22), "float32", None),
}


def drawn(kind: str) -> Sample:
    shape, dtype, spacing = KINDS[kind]
    image = np.random.default_rng(3).normal(90, 30, shape)
    image = (image - 200 if dtype == "int16" else np.clip(image, 0, 250)).astype(dtype)
    row: dict[str, Any] = {"synthetic": True, "subject": "synthetic-1", "class_name": "sound"}
    if spacing is not None:
        row["spacing_mm"] = spacing
    return Sample("synthetic-00000001", row, {"image": image})


def write(sample: Sample, folder: Path, **options: Any) -> Path:
    (path,) = DicomSc(DicomSc.Options(**options)).write([sample], folder)
    return path


def values(data: Dataset) -> np.ndarray:
    """What stored values stand for, (frames, rows, columns[, colours])."""
    raw = data.pixel_array.astype(np.float64)
    if "RealWorldValueMappingSequence" in data:
        (mapping,) = data.RealWorldValueMappingSequence
        raw = raw * mapping.RealWorldValueSlope + mapping.RealWorldValueIntercept
    return raw if data.NumberOfFrames > 1 else raw[None]


@pytest.mark.parametrize("kind", KINDS)
def test_it_says_what_it_is_and_holds_what_was_drawn(tmp_path, kind) -> None:
    sample = drawn(kind)
    path = write(sample, tmp_path, algorithm="net@3")
    data = dcmread(path)
    assert data.SyntheticData == "YES"
    assert (data.ConversionType, data.ImageType) == ("SYN", ["DERIVED", "SECONDARY"])
    assert (data.BurnedInAnnotation, data.ContentQualification) == ("NO", "RESEARCH")
    assert data.ManufacturerModelName == "net@3"
    image = np.asarray(sample.arrays["image"])
    planes = image if image.ndim == 4 else image[:, None]
    wanted = np.moveaxis(planes, 0, -1) if kind == "coloured" else planes[0]
    step = float(np.ptp(image)) / 0xFFFF if kind == "floats" else 0
    np.testing.assert_allclose(values(data), wanted, atol=step / 2 + 1e-9)
    assert write(sample, tmp_path / "again", algorithm="net@3").read_bytes() == path.read_bytes()
    other = Sample("synthetic-00000002", sample.row, sample.arrays)
    again = dcmread(write(other, tmp_path))
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "PatientID"):
        assert data[keyword].value != again[keyword].value


@pytest.mark.parametrize("kind", KINDS)
def test_a_validator_finds_no_error(tmp_path, kind) -> None:
    parts.need("dicom3tools")
    tool = shutil.which("dciodvfy")
    said = subprocess.run(
        [tool, write(drawn(kind), tmp_path)], capture_output=True, text=True, check=False
    ).stderr
    errors = [line for line in said.splitlines() if line.startswith("Error")]
    # Synthetic Data came in 2023; the tool's dictionary may be older.
    assert [one for one in errors if "(0x0008,0x001c)" not in one] == []


@pytest.mark.parametrize("kind", ["volume", "deep", "signed"])
def test_read_again_it_is_the_same_and_still_synthetic(tmp_path, ingest, kind) -> None:
    sample = drawn(kind)
    write(sample, tmp_path / "source")
    select = {"modality": ["OT"], "secondary_captures": True, "min_slices": 1}
    (found,) = ingest(select=select).samples
    np.testing.assert_array_equal(found.arrays["image"], sample.arrays["image"])
    assert found.row["synthetic"] is True
    assert found.row["spacing_mm"] == sample.row["spacing_mm"]


def test_values_in_steps_are_read_again_within_one(tmp_path, ingest) -> None:
    sample = drawn("volume")
    image = np.asarray(sample.arrays["image"]).astype(np.float32) / 7 - 3
    write(Sample(sample.id, sample.row, {"image": image}), tmp_path / "source")
    select = {"modality": ["OT"], "secondary_captures": True, "min_slices": 1}
    (found,) = ingest(select=select).samples
    assert found.arrays["image"].dtype == np.float32
    step = float(np.ptp(image)) / 0xFFFF
    np.testing.assert_allclose(found.arrays["image"], image, atol=step / 2 + 1e-5)


@pytest.mark.parametrize(("keyword", "value"), [("Slope", 0.0), ("Intercept", float("nan"))])
def test_a_way_back_that_is_none_is_refused(tmp_path, ingest, keyword, value) -> None:
    path = write(drawn("signed"), tmp_path / "source")
    data = dcmread(path)
    setattr(data.RealWorldValueMappingSequence[0], f"RealWorldValue{keyword}", value)
    data.save_as(path)
    found = ingest(select={"modality": ["OT"], "secondary_captures": True, "min_slices": 1})
    assert not found.samples
    assert "bad-value" in {one.code for one in (*found.errors, *found.refused)}


def test_a_real_series_is_not_called_synthetic(write_series, ingest) -> None:
    write_series(4)
    assert "synthetic" not in ingest().samples[0].row


def test_what_was_not_drawn_or_is_no_picture_is_refused(tmp_path) -> None:
    sample = drawn("volume")
    image = np.asarray(sample.arrays["image"])
    cases = {
        "not-synthetic": Sample("a", {"synthetic": False}, sample.arrays),
        "no-such-array": Sample("a", sample.row, {}),
        "not-a-capture": Sample("a", sample.row, {"image": np.concatenate([image, image])}),
        "nonfinite-voxels": Sample("a", sample.row, {"image": np.full((1, 4, 4), np.nan)}),
    }
    for code, one in cases.items():
        with pytest.raises(DataError) as caught:
            write(one, tmp_path)
        assert caught.value.code == code
        assert not list(tmp_path.iterdir())
