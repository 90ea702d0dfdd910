"""Resampling of images that stream past as slabs along their slow axis.

The grid convention is that of torch.nn.functional.interpolate(align_corners=False): both grids
cover the same extent, voxel i of the new grid has its centre at (i + 0.5) * old / new - 0.5 of the
old one, and beyond the outermost centres the border repeats.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from medray.errors import SpecError

# Pieces and their copies stay in cache; a slab of 118 classes of a CT would be 12 GB.
PIECE_BYTES = 4 * 2**20

Mode = Literal["linear", "nearest"]
_PLANE_MODES = {
    ("linear", 1): "linear",
    ("linear", 2): "bilinear",
    ("nearest", 1): "nearest-exact",
    ("nearest", 2): "nearest-exact",
}


def grid_shape(
    shape: Sequence[int], spacing_mm: Sequence[float], target_mm: Sequence[float]
) -> tuple[int, ...]:
    """Shape of an image once resampled from `spacing_mm` to `target_mm`; at least 1 voxel.

    Raises:
        SpecError: axes don't match or a spacing is not positive and finite (code "spacing").
    """
    spacings = (*spacing_mm, *target_mm)
    if not len(shape) == len(spacing_mm) == len(target_mm) or not all(
        np.isfinite(value) and value > 0 for value in spacings
    ):
        raise SpecError(
            "one positive spacing in mm is needed for each axis of the image",
            code="spacing",
            about=f"{tuple(spacing_mm)} -> {tuple(target_mm)}",
        )
    axes = zip(shape, spacing_mm, target_mm, strict=True)
    return tuple(max(round(size * old / new), 1) for size, old, new in axes)


def resample_slabs(
    slabs: Iterable[Tensor], old: Sequence[int], new: Sequence[int], mode: Mode = "linear"
) -> Iterator[Tensor]:
    """Resample an image from shape `old` to shape `new`, holding a slab and one plane of halo.

    Equal to torch.nn.functional.interpolate of the whole image to rounding, in memory that does
    not grow with the depth.

    Args:
        slabs: (channels, depth, *rest), consecutive along axis 1, together of shape `old`. They
            may be views that become invalid when the next one is asked for.
        old: spatial shape of the image, slow axis first.
        new: the spatial shape wanted.
        mode: "linear", or "nearest" (interpolate's "nearest-exact").

    Yields:
        (channels, depth, *rest), consecutive, together of shape `new`, in the slabs' dtype;
        the slabs themselves where the shapes are equal.
    """
    if tuple(old) == tuple(new):
        yield from slabs
        return
    lower, upper, share = _sources(old[0], new[0], mode)
    pieces = _pieces(slabs, math.prod(new[1:]))
    held: Tensor | None = None  # planes [first, have) of the old depth, already on the new plane
    first = have = done = 0
    for slab in pieces:
        planes = _resample_planes(slab, new[1:], mode)
        have += planes.shape[1]
        held = planes if held is None else torch.cat([held, planes], dim=1)
        ready = int(np.searchsorted(upper, have))  # new planes that need no later old plane
        if ready > done:
            yield _mix(
                held, lower[done:ready] - first, upper[done:ready] - first, share[done:ready]
            )
            done = ready
        keep = lower[done] if done < new[0] else have
        keep = min(int(keep), have)
        # A copy: `held` may be a view of the slab, which does not outlive this turn.
        held = held[:, keep - first :].clone()
        first = keep


def _pieces(slabs: Iterable[Tensor], plane_voxels: int) -> Iterator[Tensor]:
    """Cut slabs so that a piece takes at most 4 MiB once its planes are resampled."""
    for slab in slabs:
        plane_bytes = slab.shape[0] * plane_voxels * slab.element_size()
        yield from torch.split(slab, max(PIECE_BYTES // plane_bytes, 1), dim=1)


def _sources(old: int, new: int, mode: Mode) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each new plane: the two old planes it lies between, and the second one's share."""
    # Coordinates are float32, as interpolate's are: exact ones would differ from its by 6e-5 at
    # a depth of 1,500. It multiplies and subtracts with one rounding; so does float64 here.
    scale = np.float32(old) / np.float32(new)
    index = np.arange(new, dtype=np.float32) + np.float32(0.5)
    if mode == "nearest":
        nearest = np.minimum((index * scale).astype(np.int64), old - 1)
        return nearest, nearest, np.zeros(new, np.float32)
    centre = np.maximum(index.astype(np.float64) * scale - 0.5, 0).astype(np.float32)
    lower = np.minimum(centre.astype(np.int64), old - 1)
    upper = np.minimum(lower + 1, old - 1)
    return lower, upper, np.clip(centre - lower.astype(np.float32), 0, 1)


def _mix(planes: Tensor, lower: np.ndarray, upper: np.ndarray, share: np.ndarray) -> Tensor:
    if np.all(share == 0.5) and np.all(upper == lower + 1) and np.all(np.diff(lower) == 2):
        # Right between two planes each, as of half the depth: they needn't be gathered.
        pairs = planes[:, lower[0] : upper[-1] + 1]
        return pairs[:, 0::2].lerp(pairs[:, 1::2], 0.5)
    # Of whole planes: indexing would look each voxel up.
    below = planes.index_select(1, torch.from_numpy(lower).to(planes.device))
    if not share.any():
        return below
    weight = torch.from_numpy(share).to(planes).view(-1, *[1] * (planes.ndim - 2))
    above = planes.index_select(1, torch.from_numpy(upper).to(planes.device))
    return below.lerp_(above, weight)


def _resample_planes(slab: Tensor, plane: Sequence[int], mode: Mode) -> Tensor:
    for axis, size in enumerate(plane, start=2):
        if mode == "linear" and slab.shape[axis] == 2 * size:
            # Right between two voxels each: half of what interpolation takes, which looks them up.
            pairs = slab.reshape(*slab.shape[:axis], size, 2, *slab.shape[axis + 1 :])
            slab = pairs.select(axis + 1, 0).lerp(pairs.select(axis + 1, 1), 0.5)
    if tuple(slab.shape[2:]) == tuple(plane):
        return slab
    flat = slab.flatten(0, 1).unsqueeze(0)
    resampled = F.interpolate(flat, size=tuple(plane), mode=_PLANE_MODES[mode, len(plane)])
    return resampled.view(slab.shape[0], slab.shape[1], *plane)
