"""From contours on planes to voxels.

A voxel belongs to a region if its middle lies inside of an odd number of its contours on the plane
(the even-odd rule), so that an inner contour is a hole, whether it is drawn by itself, as
CLOSEDPLANAR_XOR, or joined to the outer one by a keyhole. A middle on a contour is inside where the
region lies towards higher rows and columns, so that regions that share an edge share no voxel.

A slice takes the nearest plane within half a slice, of two that are as near the higher one, and a
plane in the middle between slices is the lower slice's. A contour that is drawn twice counts once:
it would be its own hole. One that encloses nothing (a stray click, a line) makes no plane: between
two others its slice would be empty. Where contours were drawn on every n-th slice,
those between are interpolated by shape: the mean of the signed distances to the outlines of both
planes, weighted by nearness (Raya & Udupa 1990).
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from medray.errors import DataError
from medray.formats.dicom.rois.places import DIGITS

Grid = tuple[int, int, int]
Points = npt.NDArray[np.float64]
Inside = npt.NDArray[np.bool_]
Sampling = tuple[float, float]

LEAN = 0.05  # voxels: what is less far apart lies on one plane
TIE = 1e-3  # voxels: planes in the middle between slices are not told apart by rounding
PLANES = 3  # from as many on it can be told how far apart contours were drawn
STRIDE = 1.5  # of the median distance of planes: where they are farther apart, nothing is between


def region(contours: Sequence[Points], grid: Grid, sampling: Sampling) -> tuple[Inside, int]:
    """The voxels of a region, and on how many slices they are interpolated.

    Args:
        contours: points (z, y, x) of each in voxels, 0 at the middle of the first voxel.
        grid: (Z, Y, X) of the volume.
        sampling: its spacing along (Y, X), in mm.

    Raises:
        DataError: contours do not lie along slices (code "unsupported-region"), or no voxel has its
            middle inside ("empty-region").
    """
    planes = _planes(contours)
    if not planes:
        raise DataError("a region whose contours enclose nothing", code="empty-region")
    places = np.array(list(planes))
    filled = {at: fill(outlines, grid[1:]) for at, outlines in planes.items()}
    between = _between(places, grid[0])
    inside = np.zeros(grid, np.bool_)
    for index in range(grid[0]):
        nearest = float(places[np.abs(places - index - TIE).argmin()])
        if abs(nearest - index - TIE) <= 0.5:
            inside[index] = filled[nearest]
        elif index in between:
            below, above = between[index]
            share = (index - below) / (above - below)
            distance = (1 - share) * _signed(filled[below], sampling)
            # Ties are frequent on a grid: discs are 3 % too small without them, 1 % too large with.
            inside[index] = distance + share * _signed(filled[above], sampling) >= 0
    if not inside.any():
        raise DataError("a region in which no voxel has its middle", code="empty-region")
    return inside, len(between)


def _planes(contours: Sequence[Points]) -> dict[float, list[Points]]:
    """Outlines (row, column) by the place of their plane along the slices, in order."""
    planes: dict[float, list[Points]] = {}
    last = -np.inf
    for points in sorted(contours, key=lambda points: float(points[:, 0].mean())):
        if np.ptp(points[:, 0]) > LEAN:
            raise DataError("contours that lie across slices", code="unsupported-region")
        if not _encloses(points[:, 1:]):
            continue
        at = float(points[:, 0].mean())
        last = last if at - last < LEAN else at
        outlines = planes.setdefault(last, [])
        if not any(np.array_equal(points[:, 1:], one) for one in outlines):
            outlines.append(points[:, 1:])
    return planes


def _encloses(outline: Points) -> bool:
    """Whether its points lie on no one line."""
    offsets = outline - outline[0]
    far = offsets[np.abs(offsets).sum(1).argmax()]
    across = np.abs(offsets[:, 0] * far[1] - offsets[:, 1] * far[0])
    return bool((across > 10.0**-DIGITS * np.hypot(*far)).any())


def _between(places: npt.NDArray[np.float64], depth: int) -> dict[int, tuple[float, float]]:
    """Slices that no plane is near and that lie between two, with both."""
    if len(places) < PLANES:
        return {}
    most = STRIDE * float(np.median(np.diff(places)))
    found = {}
    for below, above in zip(places[:-1].tolist(), places[1:].tolist(), strict=True):
        if above - below <= most:
            for index in range(max(0, int(below)), min(depth, int(above) + 1)):
                if below + 0.5 < index + TIE < above - 0.5:
                    found[index] = (below, above)
    return found


def fill(contours: Sequence[Points], shape: tuple[int, int]) -> Inside:
    """Pixels whose middle lies inside of an odd number of contours.

    Args:
        contours: points (row, column) of each; the middle of the first pixel is 0.
        shape: (rows, columns).
    """
    inside = np.zeros(shape, np.bool_)
    rounded = [np.round(points, DIGITS) for points in contours]
    ends = np.concatenate(rounded)
    low = np.clip(np.ceil(ends.min(0)), 0, shape).astype(np.intp)
    rows, columns = np.clip(np.floor(ends.max(0)) + 1, low, shape).astype(np.intp) - low
    # Along a row the inside begins and ends where an edge crosses the middle of the row.
    turns = np.zeros((rows, columns + 1), np.int32)
    for points in rounded:
        points = points - low
        (y, x), (next_y, next_x) = points.T, np.roll(points, -1, 0).T
        first = np.clip(np.ceil(np.minimum(y, next_y)), 0, rows).astype(np.intp)
        last = np.clip(np.ceil(np.maximum(y, next_y)), 0, rows).astype(np.intp)
        edge = np.repeat(np.arange(len(points)), last - first)
        ahead = np.cumsum(last - first) - (last - first)
        row = np.arange(len(edge)) - ahead[edge] + first[edge]
        slope = (next_x - x)[edge] / (next_y - y)[edge]
        cross = np.round(x[edge] + (row - y[edge]) * slope, DIGITS)
        np.add.at(turns, (row, np.clip(np.ceil(cross), 0, columns).astype(np.intp)), 1)
    odd = np.bitwise_xor.accumulate((turns[:, :-1] & 1).astype(np.bool_), axis=1)
    inside[low[0] : low[0] + rows, low[1] : low[1] + columns] = odd
    return inside


def _signed(inside: Inside, sampling: Sampling) -> npt.NDArray[np.float64]:
    """Distance to the outline in mm, negative outside; where nothing is inside, far outside."""
    from scipy.ndimage import distance_transform_edt  # loads slowly, and few regions need it

    if not inside.any():
        return np.full(inside.shape, -np.inf)
    there = np.pad(inside, 1)
    distance = distance_transform_edt(there, sampling) - distance_transform_edt(~there, sampling)
    made: npt.NDArray[np.float64] = distance[1:-1, 1:-1]
    return made
