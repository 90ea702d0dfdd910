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
from medray.formats.dicom import tags
from medray.formats.dicom.elements import Elements
from medray.formats.dicom.frames import frames
from medray.formats.dicom.geometry import Floats
from medray.formats.dicom.headers import NATIVE, Header
from medray.formats.dicom.pixels import decode
from medray.formats.imaging import as_label, same_grid

SUFFIXES = (".nii.gz", ".nii")
POSITION_VOXELS = 0.05
"""A segment's frame lies on a slice if it is nearer than this share of the slice distance."""


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
) -> npt.NDArray[np.uint8]:
    """A DICOM SEG (BINARY or LABELMAP) as (Z, Y, X) classes: the segment numbers.

    Frames are placed by their positions. Where segments overlap the higher number wins, as in
    the order that segments are drawn; frames that are absent are background.

    Raises:
        DataError: "unsupported-label" (fractional, compressed bits, over 255 segments),
            "label-grid-mismatch", "bad-label", or of `pixels.decode`.
    """
    top = header.elements
    kind = top.text(tags.SEGMENTATION_TYPE)
    bits = top.unsigned(tags.BITS_ALLOCATED, 0)
    native = header.syntax in NATIVE
    if (kind, bits) not in (("BINARY", 1), ("LABELMAP", 8)) or (kind == "BINARY" and not native):
        raise DataError(
            "only uncompressed BINARY and 8-bit LABELMAP segmentations are read",
            code="unsupported-label",
        )
    rows, columns = top.unsigned(tags.ROWS, 0), top.unsigned(tags.COLUMNS, 0)
    if (rows, columns) != shape[1:]:
        raise _mismatch(shape, (header.frames, rows, columns))
    described = frames(header)
    if native:
        planes = _planes(header, buffer, len(described), rows * columns, bits)
    else:
        planes = decode(header, buffer)[0].reshape(len(described), rows * columns)
    to_voxel = np.linalg.inv(affine)
    mask = np.zeros(shape, np.uint8)
    segments = _segments(top, len(described)) if kind == "BINARY" else [0] * len(described)
    # In order of segment numbers, so that the higher one is written last.
    for index in np.argsort(segments, kind="stable"):
        position = described[index].position_mm
        if not position:
            raise DataError("a frame without position", code="bad-label")
        ras = np.array([-position[0], -position[1], position[2], 1.0])
        x, y, z = (to_voxel @ ras)[:3]
        level = round(z)
        if max(abs(x), abs(y), abs(z - level)) > POSITION_VOXELS or not 0 <= level < shape[0]:
            raise _mismatch(shape, (len(described), rows, columns))
        plane = planes[index].reshape(rows, columns)
        if kind == "BINARY":
            mask[level][plane > 0] = segments[index]
        else:
            mask[level] = plane
    return mask


def _planes(
    header: Header, buffer: bytes, count: int, pixels: int, bits: int
) -> npt.NDArray[np.uint8]:
    if header.pixels is None:
        raise DataError("a segmentation without pixels", code="bad-label")
    _, start, length, _ = header.pixels
    needed = (count * pixels * bits + 7) // 8
    if length < needed or start + needed > len(buffer):
        raise DataError("the segmentation ends before its pixels do", code="bad-label")
    raw = np.frombuffer(buffer, np.uint8, needed, start)
    if bits == 1:
        # Bits are packed without gaps between frames, the first pixel lowest (PS3.5, 8.1.1).
        raw = np.unpackbits(raw, count=count * pixels, bitorder="little")
    return raw.reshape(count, pixels)


def _segments(top: Elements, count: int) -> list[int]:
    shared = top.first(tags.SHARED_FUNCTIONAL_GROUPS)
    numbers = []
    for group in top.items.get(tags.PER_FRAME_FUNCTIONAL_GROUPS, []):
        item = group.first(tags.SEGMENT_IDENTIFICATION_SEQUENCE)
        if item is None and shared is not None:
            item = shared.first(tags.SEGMENT_IDENTIFICATION_SEQUENCE)
        number = item.unsigned(tags.REFERENCED_SEGMENT_NUMBER, 0) if item is not None else 0
        numbers.append(number)
    if len(numbers) != count or not all(0 < number < 256 for number in numbers):
        raise DataError("frames without a segment number of 1 to 255", code="unsupported-label")
    return numbers
