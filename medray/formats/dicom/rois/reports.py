"""Reports of measurements (DICOM SR, TID 1500): each group with a region is an object."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from medray.errors import DataError
from medray.formats.dicom.rois.places import Edges, Places, around, around_ellipse, together
from medray.formats.dicom.rois.segments import Segments
from medray.formats.imaging.objects import Object

if TYPE_CHECKING:
    from pydicom import Dataset

REPORT = ("DCM", "126000")
GROUP = ("DCM", "125007")
FINDING = ("DCM", "121071")
CERTAINTY = ("DCM", "111012")
REGIONS = ("SCOORD", "SCOORD3D")


def in_report(
    report: "Dataset", places: Places, segments: Segments
) -> Iterator[Object | DataError]:
    """An object for each measurement group that has a region, or a segment of a segmentation: its
    class is the finding's meaning, its score the certainty of the finding, its box that of all its
    regions together, or where there are none of its segments.

    Raises:
        DataError: it is no report of measurements (code "unsupported-label").
    """
    if concept_of(report) != REPORT:
        raise DataError(
            "an SR that is no imaging measurement report (TID 1500)", code="unsupported-label"
        )
    for group in _below(report):
        if group.get("ValueType") == "CONTAINER" and concept_of(group) == GROUP:
            try:
                found = _object(group, places, segments)
            except DataError as error:
                yield error
            else:
                if found is not None:
                    yield found


def _object(group: "Dataset", places: Places, segments: Segments) -> Object | None:
    """The object of a group; None where it has no region.

    Raises:
        DataError: it is of what can't be placed.
    """
    kind, score, boxes, referenced = "", None, list[Edges](), list[Any]()
    for item in _below(group):
        value, concept = item.get("ValueType"), concept_of(item)
        if value == "CODE" and concept == FINDING:
            kind = str(item.ConceptCodeSequence[0].CodeMeaning)
        elif value == "NUM" and concept == CERTAINTY:
            score = _share(item)
        elif value in REGIONS:
            boxes.append(_box(item, places))
        elif value == "IMAGE":
            image = item.ReferencedSOPSequence[0]
            referenced += [image] * ("ReferencedSegmentNumber" in image)
    boxes = boxes or [segments.box(image) for image in referenced]
    return Object(kind, *together(boxes), score) if boxes else None


def _box(item: "Dataset", places: Places) -> Edges:
    flat = item.ValueType == "SCOORD"
    form = str(item.GraphicType)
    points = np.array(item.GraphicData, np.float64).reshape(-1, 2 if flat else 3)
    if not np.isfinite(points).all() or not len(points):
        raise DataError("a region's coordinates are no numbers", code="bad-box")
    if form == "POINT":
        raise DataError("a region that is a point", code="box-without-area")
    if form == "CIRCLE":
        points = _around_circle(points)
    if flat:
        image = _image(item)
        frame = image.get("ReferencedFrameNumber") or 1
        if not isinstance(frame, int):
            raise DataError("a region on several frames", code="unsupported-region")
        sop = str(image.ReferencedSOPInstanceUID)
        voxels = places.of_picture(sop, int(frame), points)
    else:
        places.require_frame(str(item.get("ReferencedFrameOfReferenceUID") or ""))
        voxels = places.of_patient(points)
    if form in ("ELLIPSE", "ELLIPSOID", "CIRCLE"):
        return around_ellipse(voxels)
    if form in ("POLYLINE", "POLYGON", "MULTIPOINT"):
        return around(voxels)
    raise DataError("a region of an unknown form", code="unsupported-region")


def _around_circle(points: np.ndarray) -> np.ndarray:
    """The ends of two axes of a circle, of its centre and a point on it."""
    centre, radius = points[0], float(np.hypot(*(points[1] - points[0])))
    ends: np.ndarray = centre + radius * np.array([(-1, 0), (1, 0), (0, -1), (0, 1)])
    return ends


def _image(item: "Dataset") -> "Dataset":
    for one in item.get("ContentSequence", ()):
        if one.get("ValueType") == "IMAGE":
            found: Dataset = one.ReferencedSOPSequence[0]
            return found
    raise DataError("a region that says of no image", code="other-image")


def _share(item: "Dataset") -> float:
    """A certainty from 0 to 1, as it is told: of one, or of a hundred."""
    value = item.MeasuredValueSequence[0]
    number = float(value.get("FloatingPointValue") or value.NumericValue)
    unit = str(value.MeasurementUnitsCodeSequence[0].CodeValue)
    return number / 100 if unit == "%" else number


def concept_of(item: Any) -> tuple[str, str]:
    """Scheme and value of what an item is called."""
    named = item.get("ConceptNameCodeSequence")
    if not named:
        return "", ""
    return str(named[0].get("CodingSchemeDesignator")), str(named[0].get("CodeValue"))


def _below(item: "Dataset") -> Iterator["Dataset"]:
    """All content items below one, in order."""
    waiting = list(reversed(item.get("ContentSequence") or ()))
    while waiting:
        one = waiting.pop()
        yield one
        waiting += reversed(one.get("ContentSequence") or ())
