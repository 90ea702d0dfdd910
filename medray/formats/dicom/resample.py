"""Bring a tilted or unevenly spaced stack onto a regular grid, when the job asks for it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from medray.errors import DataError
from medray.formats.dicom.geometry import Floats, affine_of
from medray.formats.dicom.headers.headers import LIMITS, Limits
from medray.formats.dicom.pixels.frame import Frame


def regularise(
    volume: npt.NDArray[Any],
    frames: Sequence[Frame],
    step_mm: float,
    limits: Limits = LIMITS,
) -> tuple[npt.NDArray[Any], Floats]:
    """Interpolate slices linearly onto a grid whose third axis is their normal.

    Each slice is shifted within its plane by the part of its position that lies there (the shear of
    a tilted gantry), so the grid grows by the largest shift; voxels that no slice covers get the
    smallest value of the volume. Linear in depth and in plane: values never leave the range of the
    input, and a plane that lies on a slice without shift is that slice.

    Args:
        volume: (C, Z, Y, X), slices in order along the normal.
        frames: the same slices, in the same order, with positions.
        step_mm: distance of the new slices.
        limits: sizes to refuse.

    Returns:
        The new volume (C, Z', Y', X') of the same type, and its affine to RAS+ mm.

    Raises:
        DataError: "too-large" when the grid grows beyond the limits.
    """
    positions = np.array([frame.position_mm for frame in frames])
    orientation = np.array(frames[0].orientation)
    spacing = np.array(frames[0].spacing_mm)
    row, column = orientation[:3], orientation[3:]
    normal = np.cross(row, column)
    offsets = positions - positions[0]
    depth = offsets @ normal
    shifts = np.stack([offsets @ column / spacing[0], offsets @ row / spacing[1]], axis=1)
    # Rounding keeps a shift of 1e-12 pixel from adding a column of background.
    shifts = np.round(shifts, 6)
    low = np.floor(shifts.min(axis=0)).astype(int)
    grown = np.ceil(shifts.max(axis=0)).astype(int) - low
    channels, _, rows, columns = volume.shape
    plane = (channels, rows + int(grown[0]), columns + int(grown[1]))
    count = int(np.floor(depth[-1] / step_mm + 1e-6)) + 1
    if count * plane[0] * plane[1] * plane[2] * volume.itemsize > limits.sample_bytes:
        raise DataError(f"resampling gives {count} slices of {plane}", code="too-large")
    fill = float(volume.min())
    out = np.empty((channels, count, *plane[1:]), volume.dtype)
    for index in range(count):
        at = min(index * step_mm, float(depth[-1]))
        below = min(int(np.searchsorted(depth, at, side="right")) - 1, len(depth) - 2)
        weight = (at - depth[below]) / (depth[below + 1] - depth[below])
        blended = np.zeros(plane, np.float64)
        for neighbour, share in ((below, 1 - weight), (below + 1, weight)):
            if share > 0:
                moved = shifts[neighbour] - low
                blended += share * _placed(volume[:, neighbour], moved, plane, fill)
        out[:, index] = np.rint(blended) if volume.dtype.kind in "iu" else blended
    origin = positions[0] + low[0] * spacing[0] * column + low[1] * spacing[1] * row
    return out, affine_of(orientation, spacing, origin, normal * step_mm)


def _placed(
    image: npt.NDArray[Any], shift: Floats, plane: tuple[int, int, int], fill: float
) -> Floats:
    whole = np.floor(shift).astype(int)
    part = shift - whole
    _, rows, columns = image.shape
    placed = np.zeros(plane, np.float64)
    for down, weight_down in ((0, 1 - part[0]), (1, part[0])):
        for right, weight_right in ((0, 1 - part[1]), (1, part[1])):
            weight = weight_down * weight_right
            if weight == 0:
                continue
            canvas = np.full(plane, fill)
            top, left = whole[0] + down, whole[1] + right
            canvas[:, top : top + rows, left : left + columns] = image
            placed += weight * canvas
    return placed
