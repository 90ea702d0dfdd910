"""From the network's grid back to that of the image, slab by slab, and where a map is highest."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from medray.modalities.image.loader import whole_pose
from medray.modalities.image.spatial import Pose, cut
from medray.storage.shards.stored import Sliceable

SLAB_BYTES = 16 * 2**20  # of a map are made at once, or a plane of it


def on_own_grid(found: np.ndarray, shape: Sequence[int]) -> Iterator[np.ndarray]:
    """A map of a whole image, interpolated linearly on the image's own grid.

    Args:
        found: float32 (*patch), as the network saw the image (`loader.whole_image`).
        shape: of the image, spatial.

    Yields:
        float32 (1, depth, *rest), consecutive along the image's first axis.
    """
    patch = found.shape
    # As the image came to the network: first shrunk by a whole factor, then fitted.
    factor = min(max(1, size // to) for size, to in zip(shape, patch, strict=True))
    fitted = [size // factor for size in shape]
    pose = whole_pose(patch, fitted)
    ratio = np.diag(pose.matrix)
    values = torch.from_numpy(np.ascontiguousarray(found, np.float32))[None]
    depth = max(1, SLAB_BYTES // (4 * int(np.prod(shape[1:]))))
    for start in range(0, shape[0], depth):
        size = [min(depth, shape[0] - start), *shape[1:]]
        middle = np.array([start, *[0] * (len(shape) - 1)]) + (np.array(size) - 1) / 2
        small = (middle - (factor - 1) / 2) / factor
        centre = (small - pose.centre) / ratio + (np.array(patch) - 1) / 2
        back = Pose(np.diag(1 / (factor * ratio)), centre)
        made, _ = cut(back, values, None, [0] * len(patch), size, 0, "border")
        yield np.ascontiguousarray(made.numpy())


def peaked(
    slabs: Iterator[np.ndarray], row: dict[str, Any], label: Sliceable | None
) -> Iterator[np.ndarray]:
    """The slabs as they are; once they have passed, `row` holds `peak`, the voxel where the map is
    highest, and of a sample with a mask `pointing`, whether that is inside of what was drawn.

    Args:
        slabs: of a map, (1, depth, *rest), none of which is empty.
        row: of the sample.
        label: its mask, (*space), if it has one.
    """
    best, peak, start = -np.inf, [0], 0
    for slab in slabs:
        at = int(slab.argmax())
        if slab.reshape(-1)[at] > best:
            best = float(slab.reshape(-1)[at])
            _, first, *rest = (int(one) for one in np.unravel_index(at, slab.shape))
            peak = [start + first, *rest]
        start += slab.shape[1]
        yield slab
    row["peak"] = peak
    if label is not None:
        row["pointing"] = bool(np.all(label[tuple(slice(at, at + 1) for at in peak)] > 0))


def drawn(row: Mapping[str, Any], label: Sliceable) -> bool:
    """Whether a mask holds anything but background."""
    voxels = row.get("label_voxels")
    return bool(np.any(label[...] if voxels is None else voxels[1:]))
