"""RT structure sets: the contours of each region of interest, as an object or as a mask."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from medray.errors import DataError, PassedOver
from medray.formats.dicom.rois.contours import Grid, Points, region
from medray.formats.dicom.rois.places import Places, around, together
from medray.formats.imaging.objects import Object
from medray.formats.imaging.values import spacing_of

if TYPE_CHECKING:
    from pydicom import Dataset

CLOSED = frozenset({"CLOSED_PLANAR", "CLOSEDPLANAR_XOR"})
CONTOURS = CLOSED | {"OPEN_PLANAR", "OPEN_NONPLANAR"}


def in_structures(structures: "Dataset", places: Places) -> Iterator[Object | DataError]:
    """An object for each region of interest: its class is the region's name, its box that of all
    its contours; each takes the whole of the slice that it is on.

    Raises:
        DataError: two have one number (code "ambiguous-label").
    """
    contours = _contours(structures)
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


def mask_of(
    structures: "Dataset", places: Places, grid: Grid, classes: Sequence[str]
) -> tuple[npt.NDArray[np.uint8], int, list[tuple[int, DataError]]]:
    """Regions of interest as a mask (Z, Y, X): that of the n-th class has the number n, and where
    regions overlap the later class counts.

    Args:
        structures: the structure set.
        places: of the series.
        grid: (Z, Y, X) of the volume.
        classes: names of the regions that are taken; all must be there.

    Returns:
        the mask, how many slices of regions were interpolated, and why regions are passed over, by
        number from 1 in the file's order.

    Raises:
        DataError: a class has no region, or one without contours ("missing-region"), or several, or
            two have one number ("ambiguous-label"); a region lies in another frame of
            reference ("other-frame"), holds no voxel ("empty-region"), or is no area on slices
            ("unsupported-region").
    """
    contours = _contours(structures)
    found: dict[str, Any] = {}
    passed = list[tuple[int, DataError]]()
    for number, roi in enumerate(structures.get("StructureSetROISequence") or (), start=1):
        name = str(roi.get("ROIName") or "").strip()
        if name not in classes:
            fault = PassedOver("a region that is not asked for", code="unknown-class")
            passed.append((number, fault))
        elif name in found:
            raise DataError("two regions have the name of one class", code="ambiguous-label")
        else:
            found[name] = roi
    mask, interpolated = np.zeros(grid, np.uint8), 0
    sampling = spacing_of(places.affine)[1:]
    for number, name in enumerate(classes, start=1):
        roi = found.get(name, {})
        drawn = contours.get(int(roi.get("ROINumber") or 0), ())
        if not roi or not drawn:
            raise DataError(
                f"class {number} has no region with contours in the structure set",
                code="missing-region",
                hint="leave it out of `classes`, or the series out of the source: nobody has said "
                "where it is",
            )
        places.require_frame(str(roi.get("ReferencedFrameOfReferenceUID") or ""))
        inside, between = region(_outlines(drawn, places), grid, sampling)
        mask[inside] = number
        interpolated += between
    return mask, interpolated, passed


def _contours(structures: "Dataset") -> Mapping[int, Sequence[Any]]:
    """Of each region, by number.

    Raises:
        DataError: two have one number (code "ambiguous-label"): one would have the other's.
    """
    items = structures.get("ROIContourSequence") or ()
    drawn = {int(one.ReferencedROINumber): one.get("ContourSequence") or () for one in items}
    rois = structures.get("StructureSetROISequence") or ()
    numbers = {int(one.get("ROINumber") or 0) for one in rois}
    if len(drawn) < len(items) or len(numbers) < len(rois):
        raise DataError("two regions have one number", code="ambiguous-label")
    return drawn


def _outlines(contours: Sequence[Any], places: Places) -> list[Points]:
    if any(str(one.get("ContourGeometricType")) not in CLOSED for one in contours):
        raise DataError(
            "a region of points or open contours has no inside", code="unsupported-region"
        )
    return [places.of_patient(_points(one)) for one in contours]


def _points(contour: "Dataset") -> Points:
    # As it stands in the file: an object of each number, as pydicom has it, took most of the time.
    item = contour.get_item("ContourData")
    told = b"" if item is None else item.value
    cells = told.decode("ascii").strip(" \0").split("\\") if isinstance(told, bytes) else told
    points = np.array([] if cells == [""] else cells, np.float64)
    if not points.size or points.size % 3 or not np.isfinite(points).all():
        raise DataError("a contour's coordinates are no numbers", code="bad-box")
    return points.reshape(-1, 3)
