"""RT structure sets: the contours of each region of interest are an object."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from medray.errors import DataError
from medray.formats.dicom.rois.places import Places, around, together
from medray.formats.imaging.objects import Object

if TYPE_CHECKING:
    from pydicom import Dataset

CONTOURS = frozenset({"CLOSED_PLANAR", "CLOSEDPLANAR_XOR", "OPEN_PLANAR", "OPEN_NONPLANAR"})


def in_structures(structures: "Dataset", places: Places) -> Iterator[Object | DataError]:
    """An object for each region of interest: its class is the region's name, its box that of all
    its contours; each takes the whole of the slice that it is on."""
    contours = {
        int(one.ReferencedROINumber): one.get("ContourSequence") or ()
        for one in structures.get("ROIContourSequence") or ()
    }
    for roi in structures.get("StructureSetROISequence") or ():
        try:
            places.require_frame(str(roi.get("ReferencedFrameOfReferenceUID") or ""))
            boxes = [
                around(places.of_patient(_points(one)))
                for one in contours.get(int(roi.ROINumber), ())
                if str(one.get("ContourGeometricType")) in CONTOURS
            ]
            yield Object(str(roi.get("ROIName") or ""), *together(boxes))
        except DataError as error:
            yield error


def _points(contour: "Dataset") -> np.ndarray:
    points = np.array(contour.get("ContourData") or (), np.float64)
    if not points.size or points.size % 3 or not np.isfinite(points).all():
        raise DataError("a contour's coordinates are no numbers", code="bad-box")
    return points.reshape(-1, 3)
