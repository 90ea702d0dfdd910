"""Drawn images as DICOM: Multi-frame Secondary Captures that say for ever that they are synthetic.

(0008,001C) Synthetic Data is YES, the conversion SYN, the image DERIVED and SECONDARY, its content
for RESEARCH: whatever becomes of table and page, a file says by itself what it is. As of
`segmentation`, UIDs follow from the content, so a second export is the same file.
"""

import hashlib
from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field

from medray.errors import DataError
from medray.formats.base import FormatOptions, WriteOnly
from medray.formats.dicom.capture.frames import in_space
from medray.formats.dicom.segmentation import NO_DATE, uid_of
from medray.formats.files import place, replacing
from medray.formats.imaging.values import SYNTHETIC
from medray.ids import canonical
from medray.storage.shards.holds import Needs, names
from medray.storage.shards.samples import Sample
from medray.storage.shards.stored import whole
from medray.version import __version__

if TYPE_CHECKING:
    from pydicom import Dataset

_CLASSES = {"|u1": "1.2.840.10008.5.1.4.1.1.7.2", "<u2": "1.2.840.10008.5.1.4.1.1.7.3"}
_COLOUR = "1.2.840.10008.5.1.4.1.1.7.4"
_SYNTAX = "1.2.840.10008.1.2.1"  # explicit, little endian


class DicomScOptions(FormatOptions):
    """How to write Secondary Captures."""

    algorithm: str = Field("medray", max_length=64, description="name of the model that drew them")
    description: str = Field("Synthetic images", max_length=64, description="of the series")
    array: str = Field("image", description="which array of a sample `write` takes")


class DicomSc(WriteOnly):
    """Drawn images as DICOM, write-only: each a study, a series and a patient of its own."""

    name: ClassVar[str] = "dicom_sc"
    Options: ClassVar[type[FormatOptions]] = DicomScOptions
    libraries: ClassVar[tuple[str, ...]] = ("pydicom",)
    options: DicomScOptions
    instead: ClassVar[str] = "read them by `dicom`, `select: {secondary_captures: true}`"

    def needs(self) -> Needs:
        """An image that is drawn."""
        hint = "real images have a DICOM of their own; export masks as `dicom_seg`"
        return Needs((names(self.options.array),), names(SYNTHETIC), hint=hint)

    def takes(self, names: frozenset[str]) -> frozenset[str]:
        """The array that the options name."""
        return names & {self.options.array}

    def write(self, samples: Iterable[Sample], target: Path) -> Iterator[Path]:
        """`<sample>.dcm` each: an image (C, Y, X) as one frame, (C, Z, Y, X) as a frame a slice.

        Whole numbers from 0 to 65,535 are written as they are, of one channel, or of three of 8
        bits as red, green and blue. All others are brought to 0 … 65,535 in equal steps, and a Real
        World Value Mapping has the way back.

        Raises:
            DataError: the sample is not drawn ("not-synthetic"), has no such array
                ("no-such-array"), other channels ("not-a-capture"), or NaN among its values
                ("nonfinite-voxels").
        """
        for sample in samples:
            path = place(target, sample.id, ".dcm")
            data = self._encode(sample)
            with replacing(path) as temporary:
                temporary.write_bytes(data)
            yield path

    def _encode(self, sample: Sample) -> bytes:
        if not sample.row.get(SYNTHETIC):
            raise DataError(
                "the image was not drawn by a model",
                code="not-synthetic",
                about=sample.id,
                hint="a file that says so of a real image would be wrong for ever",
            )
        if self.options.array not in sample.arrays:
            raise DataError("the sample has no image", code="no-such-array", about=sample.id)
        image = whole(sample.arrays[self.options.array])
        coloured = image.shape[0] == 3 and image.dtype == np.uint8
        if image.ndim not in (3, 4) or not (coloured or image.shape[0] == 1):
            raise DataError(
                f"an image of {image.shape}, {image.dtype}",
                code="not-a-capture",
                about=sample.id,
                hint="one channel, or three of 8 bits",
            )
        planes = image if image.ndim == 4 else image[:, None]
        stored, slope, intercept = _stored(planes, sample.id)
        spacing = [float(size) for size in sample.row.get("spacing_mm") or ()]
        made = self._data(sample, stored, spacing if image.ndim == len(spacing) + 1 else [])
        if (slope, intercept) != (1.0, 0.0):
            made.RealWorldValueMappingSequence = [_mapping(slope, intercept)]
        buffer = BytesIO()
        made.save_as(buffer, enforce_file_format=True)
        return buffer.getvalue()

    def _data(self, sample: Sample, planes: np.ndarray, spacing_mm: list[float]) -> "Dataset":
        from pydicom import Dataset
        from pydicom.dataset import FileMetaDataset
        from pydicom.uid import UID

        told = {name: sample.row.get(name) for name in ("class_name", "subject")}
        options = self.options.model_dump(mode="json")
        identity = hashlib.sha256(
            canonical([sample.id, told, options, list(planes.shape), spacing_mm, __version__])
        )
        identity.update(np.ascontiguousarray(planes).data)
        data = Dataset()
        data.file_meta = FileMetaDataset()
        data.file_meta.TransferSyntaxUID = UID(_SYNTAX)
        data.SpecificCharacterSet = "ISO_IR 192"
        coloured = planes.shape[0] == 3
        data.SOPClassUID = _COLOUR if coloured else _CLASSES[planes.dtype.str]
        data.SOPInstanceUID = uid_of(identity, "instance")
        data.StudyInstanceUID = uid_of(identity, "study")
        data.SeriesInstanceUID = uid_of(identity, "series")
        data.SyntheticData = "YES"
        data.PatientID, data.PatientName = sample.id[:64], "Synthetic^"
        data.PatientBirthDate = data.PatientSex = data.StudyDate = data.StudyTime = ""
        data.StudyID = data.AccessionNumber = data.ReferringPhysicianName = ""
        data.PatientOrientation = data.Laterality = ""
        data.Modality, data.ConversionType = "OT", "SYN"
        data.SeriesNumber = data.InstanceNumber = 1
        data.SeriesDescription = self.options.description
        data.Manufacturer, data.ManufacturerModelName = "medray", self.options.algorithm
        data.DeviceSerialNumber, data.SoftwareVersions = "1", __version__
        data.ImageType = ["DERIVED", "SECONDARY"]
        data.DerivationDescription = "drawn by a generative network; shows nobody"
        if sample.row.get("class_name"):
            data.ImageComments = f"synthetic, of the class {sample.row['class_name']}"
        data.BurnedInAnnotation, data.LossyImageCompression = "NO", "00"
        data.ContentQualification = "RESEARCH"
        data.ContentDate, data.ContentTime = NO_DATE, "000000"
        _pixels(data, planes)
        in_space(data, planes.shape[1], spacing_mm, uid_of(identity, "frame of reference"))
        return data


def _stored(planes: np.ndarray, about: str) -> tuple[np.ndarray, float, float]:
    """Values as DICOM stores them, with slope and intercept of the way back."""
    if planes.dtype.kind == "u" and planes.dtype.itemsize <= 2:
        return planes.astype(planes.dtype.newbyteorder("<")), 1.0, 0.0
    if not np.isfinite(planes).all():
        raise DataError("the image holds NaN or infinity", code="nonfinite-voxels", about=about)
    low, high = float(planes.min()), float(planes.max())
    if planes.dtype.kind in "iu" and high - low <= 0xFFFF:
        slope, low = 1.0, min(low, 0.0) if high - min(low, 0.0) <= 0xFFFF else low
    else:
        slope = (high - low) / 0xFFFF or 1.0
    return np.rint((planes.astype(np.float64) - low) / slope).astype("<u2"), slope, low


def _pixels(data: "Dataset", planes: np.ndarray) -> None:
    coloured = planes.shape[0] == 3
    bits = 8 * planes.dtype.itemsize
    data.SamplesPerPixel = 3 if coloured else 1
    data.PhotometricInterpretation = "RGB" if coloured else "MONOCHROME2"
    if coloured:
        data.PlanarConfiguration = 0
    else:
        data.PresentationLUTShape = "IDENTITY"
        data.RescaleIntercept, data.RescaleSlope, data.RescaleType = 0, 1, "US"
    data.NumberOfFrames, data.Rows, data.Columns = planes.shape[1:]
    data.BitsAllocated = data.BitsStored = bits
    data.HighBit, data.PixelRepresentation = bits - 1, 0
    raw = np.moveaxis(planes, 0, -1).tobytes()
    data.add_new(0x7FE00010, "OW" if bits > 8 else "OB", raw + b"\0" * (len(raw) % 2))


def _mapping(slope: float, intercept: float) -> "Dataset":
    """Real World Value Mapping: what stored values stand for."""
    from pydicom import Dataset

    unit, made = Dataset(), Dataset()
    unit.CodeValue, unit.CodingSchemeDesignator, unit.CodeMeaning = "1", "UCUM", "no units"
    made.LUTExplanation = made.LUTLabel = "intensity"
    made.MeasurementUnitsCodeSequence = [unit]
    made.RealWorldValueFirstValueMapped, made.RealWorldValueLastValueMapped = 0, 0xFFFF
    made.RealWorldValueIntercept, made.RealWorldValueSlope = intercept, slope
    return made
