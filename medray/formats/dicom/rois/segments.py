"""Segments of DICOM SEG that reports name as their regions: each is as large as its voxels."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from medray.errors import DataError
from medray.formats.dicom.geometry import Floats
from medray.formats.dicom.rois.places import Edges, together
from medray.formats.dicom.segments import Grid, Segmentation

if TYPE_CHECKING:
    from pydicom import Dataset


@dataclass(frozen=True)
class Segments:
    """The segmentations beside a volume.

    Args:
        load: all of them, by SOP instance UID; asked once, when the first is needed.
        grid: (Z, Y, X) of the volume.
        affine: of the volume, voxel (x, y, z) to RAS+ mm.
    """

    load: Callable[[], Mapping[str, Segmentation]]
    grid: Grid
    affine: Floats

    @cached_property
    def _loaded(self) -> Mapping[str, Segmentation]:
        return self.load()

    def box(self, image: "Dataset") -> Edges:
        """The box of the segments that a reference names; where it names frames, of these alone.

        Args:
            image: an item of ReferencedSOPSequence with ReferencedSegmentNumber.

        Raises:
            DataError: the segmentation is not there ("missing-file"), does not lie on the volume's
                grid ("label-grid-mismatch"), or has no such voxels ("box-without-area").
        """
        found = self._loaded.get(str(image.ReferencedSOPInstanceUID))
        if found is None:
            raise DataError(
                "the segmentation that a region is a segment of is not there",
                code="missing-file",
                hint="put it into the source, beside its series",
            )
        wanted, named = (
            numbers(image, "ReferencedSegmentNumber"),
            numbers(image, "ReferencedFrameNumber"),
        )
        boxes = list[Edges]()
        for index, plane, voxels in found.placed(self.grid, self.affine):
            inside = np.isin(plane, wanted)
            if inside.any() and (not named or index + 1 in named):
                along = [axis[inside] for axis in voxels]
                begin = tuple(float(axis.min()) for axis in along)
                boxes.append((begin, tuple(float(axis.max() + 1) for axis in along)))
        return together(boxes)


def numbers(image: "Dataset", keyword: str) -> list[int]:
    """Values of an element that may hold one, several, or be absent."""
    value: Any = image.get(keyword)
    if value is None:
        return []
    return [int(one) for one in value] if hasattr(value, "__iter__") else [int(value)]
