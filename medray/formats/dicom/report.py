"""DICOM SR out: objects as a measurement report (TID 1500) about the series they were found in.

Each object is a measurement group with a rectangle on every slice that it touches (TID 1411, on one
slice TID 1410), its class as the finding, its score and its sizes. As of `segmentation`, UIDs and
dates follow from the content, so a second export is the same file.
"""

import hashlib
import json
import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from medray.errors import DataError
from medray.formats.base import FormatOptions, WriteOnly
from medray.formats.dicom.references import geometry_of, source_images
from medray.formats.dicom.segmentation import NO_DATE, Code, concept, settled, uid_of
from medray.formats.files import place, replacing
from medray.formats.imaging.objects import OBJECTS, Object, objects_of
from medray.ids import canonical
from medray.storage.shards.holds import Needs, names
from medray.storage.shards.samples import Sample
from medray.version import __version__

if TYPE_CHECKING:
    from pydicom import Dataset

CERTAINTY = Code(value="111012", scheme="DCM", meaning="Certainty of Finding")
SIZES = (
    Code(value="131197000", meaning="Depth"),
    Code(value="121207", scheme="DCM", meaning="Height"),
    Code(value="103355008", meaning="Width"),
)
"""Of an object along z, y and x, in mm."""
LENGTH = Code(value="mm", scheme="UCUM", meaning="mm")
NO_UNITS = Code(value="1", scheme="UCUM", meaning="no units")
PROCEDURE = Code(value="363679005", meaning="Imaging procedure")


class DicomSrOptions(FormatOptions):
    """How to write DICOM SR."""

    findings: dict[str, Code] = Field(
        {}, description="codes of classes; those that are not here get one of medray's own"
    )
    called: bool = Field(True, description="of what a model has found, only what it calls")
    algorithm: str = Field("medray", max_length=64, description="name of the model")
    description: str = Field("Detections", max_length=64, description="of the series")


class DicomSr(WriteOnly):
    """DICOM SR, write-only: reports about DICOM series are read by the format `dicom`."""

    name: ClassVar[str] = "dicom_sr"
    Options: ClassVar[type[FormatOptions]] = DicomSrOptions
    libraries: ClassVar[tuple[str, ...]] = ("highdicom", "pydicom")
    options: DicomSrOptions
    instead: ClassVar[str] = "read series with their reports by the format `dicom`, `labels: sr`"

    def needs(self) -> Needs:
        """Objects in a DICOM series."""
        return Needs(
            columns=names("dicom_geometry", OBJECTS),
            hint="export objects of others as `detections`",
        )

    def takes(self, names: frozenset[str]) -> frozenset[str]:
        """No array: rows only."""
        return frozenset()

    def write(self, samples: Iterable[Sample], target: Path) -> Iterator[Path]:
        """`<sample>.dcm` each: the objects of the sample, on the slices of its series.

        Raises:
            DataError: "no-objects", "bad-objects", "no-dicom-geometry", "resampled-grid",
                "box-outside".
        """
        for sample in samples:
            data = self._encode(sample)
            path = place(target, sample.id, ".dcm")
            with replacing(path) as temporary:
                temporary.write_bytes(data)
            yield path

    def _encode(self, sample: Sample) -> bytes:
        geometry = geometry_of(sample, "export its objects as `detections`")
        found = objects_of(sample.row)
        if self.options.called:
            found = [one for one in found if one.called is not False]
        spacing_mm = [float(size) for size in sample.row["spacing_mm"]]
        return self._build(sample.id, found, geometry, spacing_mm)

    def _build(
        self, about: str, found: list[Object], geometry: str, spacing_mm: list[float]
    ) -> bytes:
        # Cost about a second to import, and only exports of SR need them.
        from highdicom import sr

        kept = json.loads(geometry)
        told = [one.told for one in found]
        options = self.options.model_dump(mode="json")
        identity = hashlib.sha256(canonical([geometry, told, options, spacing_mm, __version__]))
        images = source_images(geometry)
        date = kept["date"].replace("-", "") or NO_DATE
        device = sr.ObserverContext(
            observer_type=concept(Code(value="121007", scheme="DCM", meaning="Device")),
            observer_identifying_attributes=sr.DeviceObserverIdentifyingAttributes(
                uid=uid_of(identity, "observer"),
                name="medray",
                manufacturer_name="medray",
                model_name=self.options.algorithm,
            ),
        )
        with warnings.catch_warnings():
            # highdicom warns of pseudonyms that are no person names.
            warnings.simplefilter("ignore")
            groups = [
                self._group(about, number, one, kept, images, spacing_mm, identity)
                for number, one in enumerate(found, start=1)
            ]
            report = sr.MeasurementReport(
                sr.ObservationContext(observer_device_context=device),
                concept(PROCEDURE),
                imaging_measurements=groups or [self._nothing(identity)],
            )
            built = sr.Comprehensive3DSR(
                list({image.SOPInstanceUID: image for image in images}.values()),
                report[0],
                series_instance_uid=uid_of(identity, "series"),
                series_number=1,
                sop_instance_uid=uid_of(identity, "instance"),
                instance_number=1,
                manufacturer="medray",
                is_complete=True,
                manufacturer_model_name=self.options.algorithm,
                software_versions=__version__,
                device_serial_number="1",
                series_description=self.options.description,
            )
        settled(built, date)
        buffer = BytesIO()
        built.save_as(buffer)
        return buffer.getvalue()

    def _group(
        self,
        about: str,
        number: int,
        one: Object,
        kept: dict[str, Any],
        images: "Sequence[Dataset]",
        spacing_mm: Sequence[float],
        identity: "hashlib._Hash",
    ) -> Any:
        """The measurement group of an object."""
        from highdicom import sr

        regions = [
            sr.ImageRegion(
                "POLYLINE",
                rectangle(one),
                sr.SourceImageForRegion(
                    images[at].SOPClassUID,
                    images[at].SOPInstanceUID,
                    [kept["slices"][at]["frame"]] if _many(kept) else None,
                ),
            )
            for at in self._slices(about, one, kept)
        ]
        sizes = [
            (end - begin) * step
            for begin, end, step in zip(one.begin, one.end, spacing_mm, strict=True)
        ]
        measured = [(code, size, LENGTH) for code, size in zip(SIZES, sizes, strict=True)]
        if one.score is not None:
            measured.append((CERTAINTY, one.score, NO_UNITS))
        told = {
            "tracking_identifier": sr.TrackingIdentifier(
                uid_of(identity, f"object {number}"), f"object {number}"
            ),
            "finding_type": concept(self.options.findings.get(one.kind) or own_code(one.kind)),
            "algorithm_id": sr.AlgorithmIdentification(self.options.algorithm, __version__),
            "measurements": [_measurement(*what) for what in measured],
        }
        if len(regions) == 1:
            return sr.PlanarROIMeasurementsAndQualitativeEvaluations(
                referenced_region=regions[0], **told
            )
        return sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
            referenced_regions=regions, **told
        )

    def _nothing(self, identity: "hashlib._Hash") -> Any:
        """A group that says that nothing was found: a report has at least one."""
        from highdicom import sr

        return sr.MeasurementsAndQualitativeEvaluations(
            sr.TrackingIdentifier(uid_of(identity, "nothing"), "findings"),
            algorithm_id=sr.AlgorithmIdentification(self.options.algorithm, __version__),
            measurements=[_measurement(own_code("Number of findings"), 0, NO_UNITS)],
        )

    def _slices(self, about: str, one: Object, kept: dict[str, Any]) -> range:
        """Slices that an object touches.

        Raises:
            DataError: it is not inside of the series (code "box-outside").
        """
        shape = (len(kept["slices"]), kept["rows"], kept["columns"])
        inside = len(one.begin) == len(shape) and all(
            0 <= begin < end <= size
            for begin, end, size in zip(one.begin, one.end, shape, strict=True)
        )
        if not inside:
            raise DataError(
                f"a box lies outside of its series of {shape} voxels",
                code="box-outside",
                about=about,
            )
        return range(math.floor(one.begin[0]), math.ceil(one.end[0]))


def rectangle(one: Object) -> np.ndarray:
    """Corners of an object on a slice, closed, float32 (5, 2): column and row, from the corner of
    the first pixel (PS3.3, C.18.6)."""
    (_, top, left), (_, bottom, right) = one.begin, one.end
    corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
    return np.array(corners, np.float32)


def own_code(kind: str) -> Code:
    """The code of a class that nobody has given one."""
    value = hashlib.sha256(kind.encode()).hexdigest()[:16]
    return Code(value=value, scheme="99MEDRAY", meaning=kind[:64])


def _measurement(name: Code, value: float, unit: Code) -> Any:
    """A number as text, and as it is: a decimal string holds 16 characters of it."""
    from highdicom import sr

    made = sr.Measurement(concept(name), float(f"{value:.10g}"), concept(unit))
    made[0].MeasuredValueSequence[0].FloatingPointValue = float(value)
    return made


def _many(kept: dict[str, Any]) -> bool:
    """Whether slices are frames of one file."""
    return len({one["sop"] for one in kept["slices"]}) < len(kept["slices"])
