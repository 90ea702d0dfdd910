"""From places in patients and pictures to boxes in the voxels of a volume."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from medray.errors import DataError
from medray.formats.dicom.geometry import Floats
from medray.formats.dicom.pixels.frame import Frame

FLAT = 1e-3  # voxels: what is thinner along an axis lies in a plane of voxels
DIGITS = 4  # of edges in voxels: GraphicData has 24 bits

Edges = tuple[tuple[float, ...], tuple[float, ...]]


@dataclass(frozen=True)
class Places:
    """Where the slices of a volume lie.

    Args:
        frames: its slices, in order.
        affine: (4, 4), voxel (x, y, z) to RAS+ mm.
        frame_of_reference: UID, "" where absent.
    """

    frames: Sequence[Frame]
    affine: Floats
    frame_of_reference: str

    @cached_property
    def _slices(self) -> dict[tuple[str, int], Frame]:
        return {(frame.sop, frame.index + 1): frame for frame in self.frames}

    @cached_property
    def _to_voxel(self) -> Floats:
        turned = np.diag([-1.0, -1.0, 1.0, 1.0])  # LPS to RAS
        made: Floats = (np.linalg.inv(self.affine) @ turned).astype(np.float64)
        return made

    def require_frame(self, uid: str) -> None:
        """Refuse places in another frame of reference.

        Raises:
            DataError: it is another (code "other-frame").
        """
        if uid and self.frame_of_reference and uid != self.frame_of_reference:
            raise DataError(
                "a region lies in another frame of reference than the series", code="other-frame"
            )

    def of_patient(self, points_mm: np.ndarray) -> np.ndarray:
        """Voxel coordinates, (points, 3) as (z, y, x), of points in LPS mm as (x, y, z); the
        centre of the first voxel is 0."""
        whole = np.column_stack([points_mm, np.ones(len(points_mm))])
        found: np.ndarray = (whole @ self._to_voxel.T)[:, 2::-1]
        return found

    def of_picture(self, sop: str, frame: int, points: np.ndarray) -> np.ndarray:
        """The same of points (column, row) on a slice, from the corner of its first pixel.

        Raises:
            DataError: it is no slice of the volume (code "other-image"), or has no place
                ("no-geometry").
        """
        found = self._slices.get((sop, frame))
        if found is None:
            raise DataError(
                "a region lies on an image that is no slice of the volume", code="other-image"
            )
        if not (found.position_mm and found.orientation and found.spacing_mm):
            raise DataError("a slice has no place", code="no-geometry")
        row, column = np.reshape(found.orientation, (2, 3))
        down, across = found.spacing_mm
        steps = (points - 0.5) * (across, down)
        return self.of_patient(found.position_mm + steps @ np.stack([row, column]))


def around(points: np.ndarray) -> Edges:
    """The box of voxel coordinates (points, axes); along axes on which they are flat, the voxel
    that they lie in."""
    return edges(points.min(0), points.max(0))


def around_ellipse(ends: np.ndarray) -> Edges:
    """The box of an ellipse or ellipsoid by the ends of its axes, (2 * axes, 3): half its extent
    along an axis of space is the root of the sum of squares of its half axes along it."""
    first, second = ends[0::2], ends[1::2]
    half = np.sqrt((((second - first) / 2) ** 2).sum(0))
    centre = ends.mean(0)
    return edges(centre - half, centre + half)


def edges(low: np.ndarray, high: np.ndarray) -> Edges:
    """Edges in voxels, where the first voxel reaches from 0 to 1, of voxel coordinates.

    Raises:
        DataError: it is a line or a point (code "box-without-area").
    """
    if (high - low < FLAT).sum() > 1:
        raise DataError("a region that is a line or a point", code="box-without-area")
    begin, end = [], []
    for one, other in zip((low + 0.5).tolist(), (high + 0.5).tolist(), strict=True):
        if other - one < FLAT:
            one = math.floor((one + other) / 2)
            other = one + 1
        begin.append(round(float(one), DIGITS))
        end.append(round(float(other), DIGITS))
    return tuple(begin), tuple(end)


def together(found: Sequence[Edges]) -> Edges:
    """The box of several.

    Raises:
        DataError: there are none (code "box-without-area").
    """
    if not found:
        raise DataError("a region without a place", code="box-without-area")
    begins, ends = zip(*found, strict=True)
    low = tuple(min(values) for values in zip(*begins, strict=True))
    return low, tuple(max(values) for values in zip(*ends, strict=True))
