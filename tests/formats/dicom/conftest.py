"""Real DICOM files, made as each test needs them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from medray.errors import DataError
from medray.formats.base import Found, Source
from medray.formats.dicom import Dicom
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Sample

WriteSeries = Callable[..., list[Dataset]]


def _stored_plane(index: int, rows: int = 4, columns: int = 6) -> np.ndarray:
    """Stored values that differ in every voxel of a series: 100 * slice + 10 * row + column."""
    return np.fromfunction(lambda y, x: 100 * index + 10 * y + x, (rows, columns)).astype("<u2")


def _ct_slice(index: int, *, gap: float = 5.0, syntax: str = ExplicitVRLittleEndian) -> Dataset:
    """One axial CT slice of 4 x 6 voxels with pixels of `stored_plane`."""
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = syntax
    data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, f"1.2.3.4.{index + 1}"
    data.StudyInstanceUID, data.SeriesInstanceUID = "1.2.3", "1.2.3.4"
    data.FrameOfReferenceUID = "1.2.3.9"
    data.StudyDate, data.Modality = "20240229", "CT"
    data.PatientID, data.PatientName = "P1", "Doe^Jane"
    data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    data.SeriesDescription, data.ConvolutionKernel = "Thorax", "B30f"
    data.SliceThickness, data.InstanceNumber = gap, index + 1
    data.ImagePositionPatient = [-10.0, -20.0, 30.0 + gap * index]
    data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    data.PixelSpacing = [2.0, 3.0]
    data.Rows, data.Columns, data.SamplesPerPixel = 4, 6, 1
    data.PhotometricInterpretation = "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit = 16, 16, 15
    data.PixelRepresentation = 0
    data.RescaleSlope, data.RescaleIntercept = 1, -1024
    data.PixelData = _stored_plane(index).tobytes()
    return data


@pytest.fixture
def stored_plane() -> Callable[..., np.ndarray]:
    """See `_stored_plane`."""
    return _stored_plane


@pytest.fixture
def ct_slice() -> Callable[..., Dataset]:
    """See `_ct_slice`."""
    return _ct_slice


@pytest.fixture
def write_series(tmp_path: Path) -> WriteSeries:
    """Write slices below `tmp_path/source` and return them; `change(data, index)` may edit each."""

    def write(
        count: int = 4,
        folder: str = "a",
        change: Callable[[Dataset, int], object] = lambda data, index: None,
        **values: Any,
    ) -> list[Dataset]:
        target = tmp_path / "source" / folder
        target.mkdir(parents=True, exist_ok=True)
        made = []
        for index in range(count):
            data = _ct_slice(index)
            for keyword, value in values.items():
                setattr(data, keyword, value)
            change(data, index)
            data.save_as(target / f"IM{index:03d}", enforce_file_format=True)
            made.append(data)
        return made

    return write


class Ingested:
    """What became of a source: the plan, the samples, and the refusals of plan and read alike."""

    def __init__(self, root: Path, **options: Any) -> None:
        options.setdefault("deidentify", {"method": "none"})
        self.format = Dicom(Dicom.Options.model_validate(options))
        self.source = Source(root)
        self.plan: Found = self.format.plan(self.source)
        self.samples: list[Sample] = []
        self.refused: list[Refusal] = list(self.plan.refused)
        self.errors: list[DataError] = []
        self.taken = 0
        for item in (item for group in self.plan.groups for item in group):
            try:
                read = list(self.format.read(self.source, item))
            except DataError as fault:
                self.errors.append(fault)
                refusal = Refusal(item.key, fault.code, fault.message, files=len(item.paths))
                self.refused.append(refusal)
            else:
                self.samples += [sample for sample in read if isinstance(sample, Sample)]
                self.refused += [one for one in read if isinstance(one, Refusal)]
                self.taken += len(item.paths)
        for sample in self.samples:
            # However a series became samples: whole, in parts, or on another grid.
            image = np.asarray(sample.arrays["image"])
            ends = (sample.row["image_min"], sample.row["image_max"])
            assert ends == (image.min(), image.max())

    @property
    def codes(self) -> dict[str, int]:
        """Files refused, by code."""
        counts: dict[str, int] = {}
        for refusal in self.refused:
            counts[refusal.code] = counts.get(refusal.code, 0) + refusal.files
        return counts


@pytest.fixture
def ingest(tmp_path: Path) -> Callable[..., Ingested]:
    """Found and read `tmp_path/source`, or another root, without de-identification by default."""
    return lambda root=tmp_path / "source", **options: Ingested(root, **options)
