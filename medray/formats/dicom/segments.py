"""DICOM SEG in: the planes of its segments, each on the grid of the image that they are of.

A plane is placed by its position, orientation and spacing. Its axes may run otherwise than the
image's, and it may cover a part of it; anything else is refused, and nothing is interpolated.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from medray.errors import DataError
from medray.formats.dicom.geometry import Floats, affine_of
from medray.formats.dicom.headers import tags
from medray.formats.dicom.headers.elements import Elements
from medray.formats.dicom.headers.headers import NATIVE, Header
from medray.formats.dicom.labels import grid_mismatch
from medray.formats.dicom.pixels.frame import Frame
from medray.formats.dicom.pixels.frames import frames
from medray.formats.dicom.pixels.pixels import decode
from medray.formats.imaging.values import as_label

POSITION_VOXELS = 0.05
"""A segment's frame lies on the image's grid if its corners are nearer than this to voxels."""

Grid = tuple[int, int, int]
Voxels = tuple[npt.NDArray[np.intp], ...]


@dataclass(frozen=True)
class Segmentation:
    """The frames of a segmentation.

    Args:
        frames: where each lies.
        planes: (frames, rows, columns).
        segments: of each frame; None: its values are the numbers of segments.
    """

    frames: list[Frame]
    planes: npt.NDArray[np.integer]
    segments: list[int] | None

    @property
    def highest(self) -> int:
        """The highest number of a segment."""
        return int(self.planes.max(initial=0)) if self.segments is None else max(self.segments)

    def placed(self, shape: Grid, affine: Floats) -> Iterator[tuple[int, npt.NDArray[Any], Voxels]]:
        """Of each frame that lies on the image's grid its index, the number of the segment of each
        of its pixels (0: of none), and their voxels, in order of the segments' numbers.

        Args:
            shape: (Z, Y, X) of the image.
            affine: of the image, voxel (x, y, z) to RAS+ mm.

        Raises:
            DataError: a frame that is not empty lies elsewhere ("label-grid-mismatch"), or nobody
                says where ("bad-label").
        """
        to_voxel: Floats = np.linalg.inv(affine).astype(np.float64)
        grid = (int(self.planes.shape[1]), int(self.planes.shape[2]))
        order = (
            range(len(self.frames))
            if self.segments is None
            else np.argsort(self.segments, kind="stable").tolist()
        )
        for index in order:
            plane = self.planes[index]
            voxels = _voxels(self.frames[index], grid, to_voxel, shape)
            if voxels is None:
                if plane.any():
                    raise grid_mismatch(shape, self.planes.shape)
                continue
            if self.segments is not None:
                plane = np.where(plane > 0, self.segments[index], 0)
            yield index, plane, voxels


def open_segmentation(header: Header, buffer: bytes) -> Segmentation:
    """A DICOM SEG (BINARY or LABELMAP).

    Raises:
        DataError: "unsupported-label" (fractional, compressed bits, another background than 0),
            "bad-label", or of `pixels.decode`.
    """
    top = header.elements
    kind = top.text(tags.SEGMENTATION_TYPE)
    bits = top.unsigned(tags.BITS_ALLOCATED, 0)
    native = header.syntax in NATIVE
    if (kind, bits) not in (("BINARY", 1), ("LABELMAP", 8), ("LABELMAP", 16)) or (
        kind == "BINARY" and not native
    ):
        raise DataError(
            "only uncompressed BINARY and LABELMAP segmentations are read",
            code="unsupported-label",
            hint="a FRACTIONAL one is no mask: threshold it first" if kind == "FRACTIONAL" else "",
        )
    if top.unsigned(tags.PIXEL_PADDING_VALUE, 0):
        raise DataError("a label map whose background is not 0", code="unsupported-label")
    described = frames(header)
    grid = (top.unsigned(tags.ROWS, 0), top.unsigned(tags.COLUMNS, 0))
    if kind == "LABELMAP":
        planes = decode(header, buffer)[0].reshape(len(described), *grid)
        return Segmentation(described, planes, None)
    segments = _segments(top, len(described))
    planes = _bits(header, buffer, len(described), grid[0] * grid[1])
    return Segmentation(described, planes.reshape(len(described), *grid), segments)


def read_segmentation(
    header: Header, buffer: bytes, shape: Grid, affine: Floats
) -> npt.NDArray[Any]:
    """A DICOM SEG as (Z, Y, X) classes: the segment numbers.

    Where segments overlap the higher number wins, as in the order that segments are drawn; frames
    that are absent are background.

    Raises:
        DataError: see `open_segmentation` and `Segmentation.placed`.
    """
    found = open_segmentation(header, buffer)
    mask = np.zeros(shape, np.uint8 if found.highest < 256 else np.uint16)
    for _, plane, voxels in found.placed(shape, affine):
        mask[voxels] = np.where(plane > 0, plane, mask[voxels])
    return as_label(mask)


def _voxels(
    frame: Frame, grid: tuple[int, int], to_voxel: Floats, shape: tuple[int, int, int]
) -> tuple[npt.NDArray[np.intp], ...] | None:
    """Indices (z, y, x), each to broadcast to (rows, columns), of the voxels that a frame covers.

    None where it is not on the image's grid, or reaches beyond it.
    """
    if not (frame.position_mm and frame.orientation and frame.spacing_mm):
        raise DataError("a frame without position, orientation or spacing", code="bad-label")
    plane = to_voxel @ affine_of(
        np.array(frame.orientation),
        np.array(frame.spacing_mm),
        np.array(frame.position_mm),
        np.zeros(3),
    )
    steps = np.rint(plane[:3, :2])
    origin = np.rint(plane[:3, 3])
    rows, columns = grid
    corners = np.array([(0, 0, 0, 1), (columns - 1, 0, 0, 1), (0, rows - 1, 0, 1)]).T
    exact = np.column_stack([steps, np.zeros(3), origin]) @ corners
    # One voxel a step, along one axis each, and not both along the same.
    if (
        np.abs(plane[:3] @ corners - exact).max() > POSITION_VOXELS
        or (np.abs(steps).sum(axis=0) != 1).any()
        or (np.abs(steps).sum(axis=1) > 1).any()
    ):
        return None
    found = []
    for axis in (2, 1, 0):
        along = (
            origin[axis]
            + steps[axis, 0] * np.arange(columns)
            + steps[axis, 1] * np.arange(rows)[:, None]
        ).astype(np.intp)
        if along.min() < 0 or along.max() >= shape[2 - axis]:
            return None
        found.append(along)
    return tuple(found)


def _bits(header: Header, buffer: bytes, count: int, pixels: int) -> npt.NDArray[np.uint8]:
    if header.pixels is None:
        raise DataError("a segmentation without pixels", code="bad-label")
    _, start, length, _ = header.pixels
    needed = (count * pixels + 7) // 8
    if length < needed or start + needed > len(buffer):
        raise DataError("the segmentation ends before its pixels do", code="bad-label")
    raw = np.frombuffer(buffer, np.uint8, needed, start)
    # Bits are packed without gaps between frames, the first pixel lowest (PS3.5, 8.1.1).
    return np.unpackbits(raw, count=count * pixels, bitorder="little")


def _segments(top: Elements, count: int) -> list[int]:
    shared = top.first(tags.SHARED_FUNCTIONAL_GROUPS)
    numbers = []
    for group in top.items.get(tags.PER_FRAME_FUNCTIONAL_GROUPS, []):
        item = group.first(tags.SEGMENT_IDENTIFICATION_SEQUENCE)
        if item is None and shared is not None:
            item = shared.first(tags.SEGMENT_IDENTIFICATION_SEQUENCE)
        number = item.unsigned(tags.REFERENCED_SEGMENT_NUMBER, 0) if item is not None else 0
        numbers.append(number)
    if len(numbers) != count or not all(numbers):
        raise DataError("frames without a segment number", code="bad-label")
    return numbers
