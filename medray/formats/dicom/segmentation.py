"""DICOM SEG out: masks as DICOM objects in the frame of reference of the series they are about.

Everything in the file follows from the mask, the source's geometry and the options: UIDs are
2.25.<128 bits of a SHA-256>, dates are the study's. So a second export is the same file, byte for
byte, and sending it again changes nothing in an archive.
"""

import hashlib
import json
import warnings
from collections.abc import Iterable, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from medray.errors import DataError
from medray.formats.base import FormatOptions, WriteOnly
from medray.formats.dicom.references import geometry_of, source_images
from medray.formats.files import place, replacing
from medray.ids import canonical
from medray.storage.shards.holds import Needs, names
from medray.storage.shards.samples import Sample, Slabs
from medray.version import __version__

if TYPE_CHECKING:
    from pydicom import Dataset

# A date must stand there; this one says that the study has none.
NO_DATE = "19000101"
# Enhanced CT, MR, MR Color and PET: many slices in one file.
MULTI_FRAME = frozenset(
    f"1.2.840.10008.5.1.4.1.1.{suffix}" for suffix in ("2.1", "4.1", "4.3", "130")
)
_SYNTAX = {
    "none": "1.2.840.10008.1.2.1",
    "rle": "1.2.840.10008.1.2.5",
    "jpeg-ls": "1.2.840.10008.1.2.4.80",
}


class Code(FormatOptions):
    """A coded concept: value, coding scheme, meaning."""

    value: str = Field(max_length=16)
    scheme: str = Field("SCT", max_length=16)
    meaning: str = Field(max_length=64)


STRUCTURE = Code(value="91723000", meaning="Anatomical structure")


class Segment(FormatOptions):
    """What one class of the mask is, in words and codes."""

    label: str = Field(max_length=64)
    category: Code = STRUCTURE
    type: Code = STRUCTURE


class DicomSegOptions(FormatOptions):
    """How to write DICOM SEG."""

    encoding: Literal["labelmap", "binary"] = Field(
        "binary", description="labelmap: about 40 times smaller, and read by few tools"
    )
    compression: Literal["jpeg-ls", "rle", "none"] = Field(
        "jpeg-ls",
        description="of labelmaps; rle: read by older viewers too, 3 x larger, 5 x slower",
    )
    segments: tuple[Segment, ...] = Field(
        (), description="of the classes 1, 2, … in order; empty: named as the task's classes"
    )
    algorithm: str = Field("medray", max_length=64, description="name of the model")
    description: str = Field("Segmentation", max_length=64, description="of the series")
    array: str = Field("label", description="which array of a sample `write` takes")


class DicomSeg(WriteOnly):
    """DICOM SEG, write-only: segmentations of DICOM series are read by the format `dicom`."""

    name: ClassVar[str] = "dicom_seg"
    Options: ClassVar[type[FormatOptions]] = DicomSegOptions
    libraries: ClassVar[tuple[str, ...]] = ("highdicom", "pydicom")
    options: DicomSegOptions
    instead: ClassVar[str] = (
        "read series with their segmentations by the format `dicom`, `labels: seg`"
    )

    def needs(self) -> Needs:
        """A mask on the slices of a DICOM series."""
        return Needs(
            (names(self.options.array),),
            names("dicom_geometry"),
            hint="export it as NIfTI",
            code="no-dicom-geometry",
        )

    def takes(self, names: frozenset[str]) -> frozenset[str]:
        """The array that the options name."""
        return names & {self.options.array}

    def write(self, samples: Iterable[Sample], target: Path) -> Iterator[Path]:
        """`<sample>.dcm` each: the mask (Z, Y, X) on the slices of its series.

        Raises:
            DataError: "no-such-array", "no-dicom-geometry", "resampled-grid", "geometry-mismatch",
                "unnamed-segment", "multi-frame-subset".
        """
        for sample in samples:
            data = self._encode(sample)
            path = place(target, sample.id, ".dcm")
            with replacing(path) as temporary:
                temporary.write_bytes(data)
            yield path

    def _encode(self, sample: Sample) -> bytes:
        label = sample.arrays.get(self.options.array)
        if isinstance(label, Slabs):
            label = np.concatenate(list(label.parts), axis=label.axis)
        if label is None:
            raise DataError("the sample has no mask", code="no-such-array", about=sample.id)
        geometry = geometry_of(sample, "export it as NIfTI")
        kept = json.loads(geometry)
        grid = (len(kept["slices"]), kept["rows"], kept["columns"])
        if label.shape != grid or label.dtype not in (np.uint8, np.uint16):
            raise DataError(
                f"the mask is {label.dtype}{label.shape}, its series {grid}",
                code="geometry-mismatch",
                about=sample.id,
            )
        date = kept["date"].replace("-", "") or NO_DATE
        segments = self.options.segments or _named(sample.row.get("class_names") or (), label)
        highest = int(label.max()) if label.size else 0
        if highest > len(segments):
            raise DataError(
                f"the mask holds class {highest}, only {len(segments)} are named",
                code="unnamed-segment",
                about=sample.id,
                hint="name every class in `segments`",
            )
        return self._build(label, geometry, date, segments)

    def _build(
        self, label: np.ndarray, geometry: str, date: str, segments: tuple[Segment, ...]
    ) -> bytes:
        # Both cost about a second to import, and only exports of SEG need them.
        from highdicom.seg import Segmentation

        identity = hashlib.sha256(
            canonical(
                [
                    geometry,
                    self.options.model_dump(mode="json"),
                    [segment.model_dump(mode="json") for segment in segments],
                    __version__,
                ]
            )
        )
        identity.update(np.ascontiguousarray(label).data)
        compressed = self.options.encoding == "labelmap"
        syntax = _SYNTAX[self.options.compression if compressed else "none"]
        with warnings.catch_warnings():
            # highdicom warns of pseudonyms that are no person names, and of masks without a voxel.
            warnings.simplefilter("ignore")
            built = Segmentation(
                *_on_sources(geometry, label),
                self.options.encoding.upper(),
                self._descriptions(segments),
                series_instance_uid=uid_of(identity, "series"),
                series_number=1,
                sop_instance_uid=uid_of(identity, "instance"),
                instance_number=1,
                manufacturer="medray",
                manufacturer_model_name=self.options.algorithm,
                software_versions=__version__,
                device_serial_number="1",
                content_label="SEGMENTATION",
                series_description=self.options.description,
                transfer_syntax_uid=syntax,
                content_date=date,
                content_time="000000",
            )
        settled(built, date)
        for part in built.iterall():
            if part.keyword == "DimensionOrganizationUID":
                part.value = uid_of(identity, "dimensions")
        buffer = BytesIO()
        built.save_as(buffer)
        return buffer.getvalue()

    def _descriptions(self, segments: tuple[Segment, ...]) -> list[Any]:
        import highdicom
        from highdicom.seg import SegmentDescription

        algorithm = highdicom.AlgorithmIdentificationSequence(
            self.options.algorithm,
            concept(Code(value="123110", scheme="DCM", meaning="Artificial Intelligence")),
            __version__,
        )
        return [
            SegmentDescription(
                number,
                segment.label,
                concept(segment.category),
                concept(segment.type),
                "AUTOMATIC",
                algorithm,
            )
            for number, segment in enumerate(segments, start=1)
        ]


def _on_sources(geometry: str, label: np.ndarray) -> "tuple[list[Dataset], np.ndarray]":
    """Source images as highdicom wants them, and the mask with its planes in their order.

    Raises:
        DataError: the slices are some frames of a multi-frame file, or of several
            (code "multi-frame-subset"): what the others are is not kept.
    """
    images = source_images(geometry)
    slices = json.loads(geometry)["slices"]
    if images[0].SOPClassUID not in MULTI_FRAME:
        return images, label
    frames = np.array([one["frame"] for one in slices])
    order = np.argsort(frames)
    whole = np.array_equal(frames[order], np.arange(1, len(slices) + 1))
    if len({one["sop"] for one in slices}) > 1 or not whole:
        raise DataError(
            "the volume is no whole multi-frame file",
            code="multi-frame-subset",
            hint="export it as NIfTI",
        )
    return [_multi_frame([images[index] for index in order])], label[order]


def _multi_frame(images: "list[Dataset]") -> "Dataset":
    """One data set that has the slices as frames, as in the file that they come from."""
    from pydicom import Dataset

    shared, measures, orientation = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing = images[0].PixelSpacing
    measures.SliceThickness = images[0].SliceThickness
    orientation.ImageOrientationPatient = images[0].ImageOrientationPatient
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [orientation]
    frames = []
    for image in images:
        frame, position = Dataset(), Dataset()
        position.ImagePositionPatient = image.ImagePositionPatient
        frame.PlanePositionSequence = [position]
        frames.append(frame)
    whole = images[0]
    whole.NumberOfFrames = len(images)
    whole.SharedFunctionalGroupsSequence = [shared]
    whole.PerFrameFunctionalGroupsSequence = frames
    return whole


def _named(classes: Sequence[str], label: np.ndarray) -> tuple[Segment, ...]:
    """Segments of the task's classes, background first; without a task, numbered."""
    if classes:
        return tuple(Segment(label=name[:64]) for name in classes[1:])
    highest = int(label.max()) if label.size else 0
    return tuple(Segment(label=f"class {number}") for number in range(1, max(1, highest) + 1))


def concept(code: Code) -> Any:
    """A code as highdicom takes it."""
    from highdicom.sr import CodedConcept

    return CodedConcept(code.value, code.scheme, code.meaning)


def uid_of(identity: "hashlib._Hash", use: str) -> str:
    """A UID that follows from the content, another for each use."""
    own = hashlib.sha256(identity.digest() + use.encode()).digest()
    return f"2.25.{int.from_bytes(own[:16], 'big')}"


def settled(built: "Dataset", date: str) -> None:
    """Replace what highdicom takes from the clock."""
    for part in built.iterall():
        if part.keyword in ("InstanceCreationDate", "ContentDate"):
            part.value = date
        elif part.keyword in ("InstanceCreationTime", "ContentTime"):
            part.value = "000000"
        elif part.keyword == "ContributionDateTime":
            part.value = f"{date}000000"
