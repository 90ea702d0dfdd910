"""What an export needs of the source images, kept as JSON in the row; and back to data sets.

A DICOM SEG refers to every slice by its UIDs, position and orientation. The row keeps exactly that,
with the pseudonyms of the rest of the row, so that results are written without the source.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from medray.errors import DataError
from medray.formats.dicom.deidentify import Plain, Pseudonyms
from medray.formats.dicom.headers import tags
from medray.formats.dicom.headers.elements import Elements
from medray.formats.dicom.pixels.frame import Frame
from medray.formats.dicom.pixels.pixels import Layout
from medray.storage.shards.samples import Sample

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.valuerep import DSfloat

# Coding of the methods in (0012,0064), PS3.16 CID 7050.
METHODS = (
    ("113100", "Basic Application Confidentiality Profile"),
    ("113107", "Retain Longitudinal Temporal Information Modified Dates Option"),
)


def geometry_of(sample: Sample, instead: str) -> str:
    """Column `dicom_geometry` of a sample whose voxels are its series' own.

    Args:
        sample: to be written as DICOM.
        instead: what to do with one that can't be, as an order.

    Raises:
        DataError: it does not come from DICOM ("no-dicom-geometry"), or was interpolated
            ("resampled-grid").
    """
    geometry = sample.row.get("dicom_geometry")
    if not geometry:
        raise DataError(
            "the sample does not come from DICOM",
            code="no-dicom-geometry",
            about=sample.id,
            hint=instead,
        )
    if sample.row.get("resampled"):
        raise DataError(
            "the volume was interpolated, so its slices are none of the series'",
            code="resampled-grid",
            about=sample.id,
            hint=instead,
        )
    return str(geometry)


def describe_source(
    ordered: Sequence[Frame],
    head: Elements,
    layout: Layout,
    subject: str,
    date: str,
    names: Pseudonyms,
) -> str:
    """JSON of the source's places and pseudonymous identities, slices in the order of the volume.

    Keys: study, series, frame_of_reference, sop_class, modality, patient, date, rows, columns,
    spacing_mm (rows, columns), orientation (6), thickness_mm, deidentified, and per slice `sop`,
    `frame` (number in its file from 1) and `position_mm` (LPS).
    """
    first = ordered[0]
    return json.dumps(
        {
            "study": names.uid(head.text(tags.STUDY_INSTANCE_UID)),
            "series": names.uid(head.text(tags.SERIES_INSTANCE_UID)),
            "frame_of_reference": names.uid(head.text(tags.FRAME_OF_REFERENCE_UID)),
            "sop_class": head.text(tags.SOP_CLASS_UID),
            "modality": head.text(tags.MODALITY),
            "patient": subject,
            "date": date,
            "rows": layout.rows,
            "columns": layout.columns,
            "spacing_mm": list(first.spacing_mm),
            "orientation": list(first.orientation),
            "thickness_mm": first.thickness_mm,
            "deidentified": not isinstance(names, Plain),
            "slices": [
                {
                    "sop": names.uid(frame.sop),
                    "frame": frame.index + 1,
                    "position_mm": list(frame.position_mm),
                }
                for frame in ordered
            ],
        },
        separators=(",", ":"),
    )


def source_images(dicom_geometry: str) -> "list[Dataset]":
    """Data sets without pixels, one per slice, as highdicom wants them for `source_images`.

    Each carries the identity, the place and the grid of a slice of the row's series, and says in
    (0012,0062) to (0012,0064) how it was de-identified. Slices of an enhanced multi-frame file are
    given as single-frame images, under the UID of their file.

    Two attributes that must stand there and that some sources lack are made from the rest: the
    frame of reference from the series, the slice thickness from the distance of the slices.

    Args:
        dicom_geometry: the row's column of that name.
    """
    from pydicom import Dataset

    kept = json.loads(dicom_geometry)
    frame_of_reference = kept["frame_of_reference"] or _made_uid(kept["series"])
    thickness_mm = kept["thickness_mm"] or _distance_mm(kept["slices"])
    images = []
    for number, place in enumerate(kept["slices"], start=1):
        image = Dataset()
        image.SOPClassUID = kept["sop_class"]
        image.SOPInstanceUID = place["sop"]
        image.StudyInstanceUID = kept["study"]
        image.SeriesInstanceUID = kept["series"]
        image.FrameOfReferenceUID = frame_of_reference
        image.Modality = kept["modality"]
        image.PatientID = kept["patient"]
        # The caret says that the single component is meant.
        image.PatientName = kept["patient"] + "^"
        image.PatientBirthDate = image.PatientSex = ""
        image.StudyDate = kept["date"].replace("-", "")
        image.StudyTime = image.StudyID = image.AccessionNumber = ""
        image.ReferringPhysicianName = ""
        image.SeriesNumber, image.InstanceNumber = 1, number
        image.PositionReferenceIndicator = ""
        image.Rows, image.Columns = kept["rows"], kept["columns"]
        image.PixelSpacing = _decimal(kept["spacing_mm"])
        image.ImageOrientationPatient = _decimal(kept["orientation"])
        image.ImagePositionPatient = _decimal(place["position_mm"])
        image.SliceThickness = _decimal([thickness_mm])[0]
        if kept["deidentified"]:
            image.PatientIdentityRemoved = "YES"
            image.DeidentificationMethod = "medray: allow-list of attributes, keyed pseudonyms"
            image.DeidentificationMethodCodeSequence = [_code(*method) for method in METHODS]
        images.append(image)
    return images


def _made_uid(series: str) -> str:
    made = hashlib.sha256(f"{series}\0frame of reference".encode()).digest()
    return f"2.25.{int.from_bytes(made[:16], 'big')}"


def _distance_mm(slices: Sequence[dict[str, list[float]]]) -> float:
    first, last = slices[0]["position_mm"], slices[-1]["position_mm"]
    return math.dist(first, last) / max(1, len(slices) - 1)


def _decimal(numbers: Sequence[float]) -> "list[DSfloat]":
    """Decimal strings of at most 16 characters."""
    from pydicom.valuerep import DSfloat

    return [DSfloat(number, auto_format=True) for number in numbers]


def _code(value: str, meaning: str) -> "Dataset":
    from pydicom import Dataset

    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, "DCM", meaning
    return code
