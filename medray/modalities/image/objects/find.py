"""Boxes of an image that is never held whole: found window by window, told once."""

from collections.abc import Sequence
from itertools import combinations, pairwise

import numpy as np
import torch
from torch import Tensor

from medray.modalities.ask import Net, forward, require_finite
from medray.modalities.base import Precision
from medray.modalities.image.sliding.grid import Grid, gather_windows, plan_grid
from medray.modalities.image.sliding.incoming import incoming
from medray.storage.shards.samples import Slabs
from medray.tasks.objects import ObjectTask


def find(
    net: Net,
    image: Slabs,
    task: ObjectTask,
    *,
    roi: Sequence[int],
    overlap: float = 0.5,
    batch: int = 1,
    mirror_axes: Sequence[int] = (),
    precision: Precision = "fp32",
    network_shape: Sequence[int] | None = None,
    device: torch.device | str = "cpu",
) -> np.ndarray:
    """The objects of an image, in memory that does not grow with its depth.

    Of windows that overlap, each tells what has its middle in the window's part of the image, up to
    halfway into what it shares with its neighbours: there it sees most of it. What two windows
    tell all the same is merged by the task.

    Args:
        net: maps (batch, channels, *roi) to maps of cells.
        image: (channels, *spatial) on its native grid, normalised, in slabs along axis 1.
        task: reads boxes off maps.
        roi: window on the network's grid, in voxels, slow axis first.
        overlap: share of a window that neighbours have in common.
        batch: windows per call of the network.
        mirror_axes: maps are averaged over mirrored copies of the window.
        precision: of the network.
        network_shape: spatial shape that the image is resampled to; None: its own.
        device: where the network is.

    Returns:
        (objects, 2 * axes + 2): edges in voxels of the native grid, cut to the image, score and
        class; highest score first.

    Raises:
        DataError: the network's output is NaN or Inf (code "nonfinite-output").
        SpecError: roi, overlap and image don't fit each other (code "window-grid").
    """
    native = tuple(image.shape[1:])
    inner = native if network_shape is None else tuple(network_shape)
    grid = plan_grid(inner, roi, overlap)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    slabs = incoming(image, inner, dtype)
    try:
        places, found = list[tuple[int, ...]](), list[np.ndarray]()
        for starts, windows in gather_windows(slabs, grid, batch):
            maps = _maps(net, windows.to(device), precision, mirror_axes)
            require_finite(maps)
            places += starts
            found += task.found(maps)
    finally:
        slabs.close()
    cell = np.asarray(roi) / np.asarray(maps.shape[2:])
    everything = task.merged(_placed(found, places, cell, grid))
    scale = np.tile(np.asarray(native) / np.asarray(inner), 2)
    everything[:, :-2] = np.clip(everything[:, :-2] * scale, 0, np.tile(native, 2))
    return everything


def _placed(
    found: Sequence[np.ndarray], places: Sequence[Sequence[int]], cell: np.ndarray, grid: Grid
) -> np.ndarray:
    """Of the boxes of all windows those that are their window's to tell, in voxels of the
    network's grid.

    Args:
        found: of each window, in its cells.
        places: where each starts.
        cell: its size along each axis, in voxels.
        grid: of the windows.
    """
    axes = len(cell)
    made = np.concatenate(found)
    starts = np.repeat(np.asarray(places), [len(boxes) for boxes in found], 0)
    made[:, :-2] *= np.tile(cell, 2)
    for axis, (begins, size) in enumerate(zip(grid.starts, grid.roi, strict=True)):
        if len(begins) == 1:
            continue
        before = [(last + size - at) / 2 for last, at in pairwise(begins)]
        after = [(then + size - at) / 2 for at, then in pairwise(begins)]
        # A cell more on either side: what lies between two windows is told by both, and merged.
        low = np.array([-np.inf, *before]) - cell[axis]
        high = np.array([*after, np.inf]) + cell[axis]
        middle = (made[:, axis] + made[:, axes + axis]) / 2
        window = np.searchsorted(begins, starts[:, axis])
        own = (middle >= low[window]) & (middle <= high[window])
        made, starts = made[own], starts[own]
    made[:, :-2] += np.tile(starts - np.asarray(grid.before), 2)
    return made


def _maps(net: Net, windows: Tensor, precision: Precision, mirror_axes: Sequence[int]) -> Tensor:
    """The maps of windows, or the mean over their mirrored copies: mirrored along an axis, what was
    the face towards 0 is the opposite one."""
    maps = forward(net, windows, precision).float()
    axes = windows.ndim - 2
    classes = maps.shape[1] - 2 * axes
    count = 1
    for several in range(1, len(mirror_axes) + 1):
        for mirrored in combinations(mirror_axes, several):
            dims = [axis + 2 for axis in mirrored]
            turned = forward(net, windows.flip(dims), precision).float().flip(dims)
            order = list(range(maps.shape[1]))
            for axis in mirrored:
                low, high = classes + axis, classes + axes + axis
                order[low], order[high] = high, low
            maps, count = maps + turned[:, order], count + 1
    return maps / count if count > 1 else maps
