"""Masks for a series: NIfTI files beside it, or DICOM SEG objects that refer to it.

A mask must lie on the image's grid. Its axes may run otherwise (NIfTI tools prefer RAS, DICOM is
LPS), which is undone without interpolation; anything else is refused.
"""

import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medray.errors import DataError
from medray.formats.dicom.geometry import Floats, affine_of
from medray.formats.dicom.headers import tags
from medray.formats.dicom.headers.elements import Elements
from medray.formats.dicom.headers.headers import NATIVE, Header
from medray.formats.dicom.pixels.frame import Frame
from medray.formats.dicom.pixels.frames import frames
from medray.formats.dicom.pixels.pixels import decode
from medray.formats.imaging.values import as_label, same_grid

SUFFIXES = (".nii.gz", ".nii")
POSITION_VOXELS = 0.05
"""A segment's frame lies on the image's grid if its corners are nearer than this to voxels."""


def find_nifti(folder: Path, names: tuple[str, ...]) -> Path | None:
    """The mask of a series: the first of `names` with a NIfTI suffix that is a file in `folder`."""
    for name in names:
        for suffix in SUFFIXES:
            path = folder / (name + suffix)
            if path.is_file():
                return path
    return None


def read_nifti(path: Path, shape: tuple[int, int, int], affine: Floats) -> npt.NDArray[Any]:
    """A mask as (Z, Y, X) classes on the image's grid.

    Args:
        path: of the NIfTI file.
        shape: (Z, Y, X) of the image.
        affine: of the image, voxel (x, y, z) to RAS+ mm.

    Raises:
        DataError: "label-grid-mismatch", "bad-label", or of `imaging.as_label`.
    """
    import nibabel as nib

    try:
        image: Any = nib.load(path)
        theirs: Floats = np.array(image.affine, np.float64)
        sizes = tuple(int(n) for n in image.shape)
        # The header's claim is held against the image before a single voxel is read.
        if math.prod(sizes) != math.prod(shape):
            raise _mismatch(shape, sizes[::-1])
        values = np.asarray(image.dataobj).reshape(sizes[:3])
    except (OSError, EOFError, ValueError, zlib.error, nib.filebasedimages.ImageFileError) as error:
        raise DataError(
            f"the label cannot be read ({type(error).__name__})", code="bad-label"
        ) from None
    turned, turned_affine = _aligned(values, theirs, affine)
    mask = np.ascontiguousarray(turned.transpose(2, 1, 0))
    if not same_grid(shape, affine, mask.shape, turned_affine):
        raise _mismatch(shape, mask.shape)
    return as_label(mask)


def _aligned(
    values: npt.NDArray[Any], theirs: Floats, ours: Floats
) -> tuple[npt.NDArray[Any], Floats]:
    """Permute and flip (x, y, z) axes so that they run as the image's do."""
    cosines = np.linalg.pinv(ours[:3, :3]) @ theirs[:3, :3]
    axes = np.abs(cosines / np.maximum(np.linalg.norm(cosines, axis=0), 1e-12)).argmax(axis=0)
    if sorted(axes) != [0, 1, 2]:
        return values, theirs
    # `axes[i]` is the image's axis along which the mask's axis i runs.
    order = [int(np.flatnonzero(axes == axis)[0]) for axis in range(3)]
    values = values.transpose(order)
    affine = theirs[:, [*order, 3]]
    for axis, source in enumerate(order):
        if cosines[axis, source] < 0:
            values = np.flip(values, axis)
            affine[:, 3] += affine[:, axis] * (values.shape[axis] - 1)
            affine[:, axis] *= -1
    return values, affine


def _mismatch(ours: tuple[int, ...], theirs: tuple[int, ...]) -> DataError:
    return DataError(
        f"the image's grid is {ours}, its label's {theirs}, or their affines differ",
        code="label-grid-mismatch",
        hint="resample the label onto the image's grid before ingest",
    )


def read_segmentation(
    header: Header, buffer: bytes, shape: tuple[int, int, int], affine: Floats
) -> npt.NDArray[Any]:
    """A DICOM SEG (BINARY or LABELMAP) as (Z, Y, X) classes: the segment numbers.

    Frames are placed by position, orientation and spacing, so their axes may run otherwise than the
    image's, and they may cover a part of it. Where segments overlap the higher number wins, as in
    the order that segments are drawn; frames that are absent are background.

    Raises:
        DataError: "unsupported-label" (fractional, compressed bits, another background than 0),
            "label-grid-mismatch", "bad-label", or of `pixels.decode`.
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
    if kind == "BINARY":
        segments = _segments(top, len(described))
        planes = _bits(header, buffer, len(described), grid[0] * grid[1])
    else:
        segments = [1] * len(described)
        planes = decode(header, buffer)[0]
    planes = planes.reshape(len(described), *grid)
    highest = max(segments) if kind == "BINARY" else int(planes.max(initial=0))
    mask = np.zeros(shape, np.uint8 if highest < 256 else np.uint16)
    to_voxel: Floats = np.linalg.inv(affine).astype(np.float64)
    # In order of segment numbers, so that the higher one is written last.
    for index in np.argsort(segments, kind="stable"):
        plane = planes[index]
        voxels = _voxels(described[index], grid, to_voxel, shape)
        if voxels is None:
            if plane.any():
                raise _mismatch(shape, (len(described), *grid))
        elif kind == "BINARY":
            mask[voxels] = np.where(plane > 0, segments[index], mask[voxels])
        else:
            mask[voxels] = plane
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
