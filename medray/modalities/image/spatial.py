"""Where a patch lies in its image, and cutting it out: crop, mirror, rotation, zoom, elastic
deformation and a change of spacing are one affine map, so voxels are interpolated at most once.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from medray.data.chance import Chance
from medray.modalities.image.augment import ImageAugment

ONE_HOT_CLASSES = 5  # up to here labels are interpolated linearly per class, which is smoother
ELASTIC_STEP = 8  # voxels between the control points of an elastic deformation


@dataclass(frozen=True)
class Pose:
    """Patch voxel p lies at image voxel matrix @ (p - (patch - 1) / 2) + centre.

    Args:
        matrix: (axes, axes), image voxels per patch voxel.
        centre: (axes,), in image voxels.
        elastic: displacements of control points, (axes, *points) in image voxels, or None.
    """

    matrix: np.ndarray
    centre: np.ndarray
    elastic: Tensor | None = None


def grid_ratio(
    network_mm: Sequence[float] | None, stored_mm: Sequence[float] | None, axes: int
) -> tuple[float, ...]:
    """Stored voxels per voxel of the network's grid, along each axis.

    1 where the two agree within 0.1 %, so that such images are cropped and not interpolated, and
    where either is unknown.
    """
    if not network_mm or not stored_mm:
        return (1.0,) * axes
    ratios = (to / of for to, of in zip(network_mm, stored_mm, strict=True))
    return tuple(1.0 if abs(ratio - 1) < 1e-3 else ratio for ratio in ratios)


def draw_pose(
    chance: Chance,
    patch: Sequence[int],
    shape: Sequence[int],
    ratio: Sequence[float],
    settings: ImageAugment | None,
    focus: Sequence[int] | None = None,
) -> Pose:
    """Draw where a patch lies: inside the image, or the image inside it where that is smaller.

    Args:
        chance: where randomness comes from.
        patch: size in voxels of the network's grid.
        shape: of the image, in its own voxels.
        ratio: image voxels per network voxel.
        settings: None: neither mirrored nor rotated, only placed.
        focus: an image voxel to centre on, as far as the border allows; None: anywhere.
    """
    centre = np.empty(len(patch))
    for axis, (size, length, step) in enumerate(zip(patch, shape, ratio, strict=True)):
        span = size * step
        low, high = sorted((0.0, length - span))
        if focus is not None:
            start = min(max(focus[axis] + 0.5 - span / 2, low), high)
        else:
            start = chance.uniform(low, high + 1) if step == 1 else chance.uniform(low, high)
        if step == 1:
            start = min(max(math.floor(start), low), high)
        centre[axis] = start + (span - 1) / 2
    matrix = np.diag(np.asarray(ratio, np.float64))
    if settings is None:
        return Pose(matrix, centre)
    return augment_pose(chance, matrix, centre, patch, settings)


def augment_pose(
    chance: Chance,
    matrix: np.ndarray,
    centre: np.ndarray,
    patch: Sequence[int],
    settings: ImageAugment,
) -> Pose:
    """Add rotation, zoom, mirroring, quarter turns and elastic deformation to a pose."""
    axes = len(patch)
    turn = np.eye(axes)
    if chance.hit(settings.spatial_chance):
        turn = _rotation(chance, patch, settings.rotate_deg)
        # Log-uniform: zooming in and out by the same factor are equally likely.
        zoom = math.exp(chance.uniform(*(math.log(limit) for limit in settings.scale)))
        turn = turn / zoom
    for axis in range(axes) if settings.mirror is None else settings.mirror:
        if chance.hit(0.5):
            turn[:, axis] *= -1
    if settings.rot90:
        for _ in range(chance.integer(0, 3)):
            turn[:, [-2, -1]] = turn[:, [-1, -2]] * np.array([1, -1])
    elastic = None
    if settings.elastic_chance and chance.hit(settings.elastic_chance):
        points = [max(2, math.ceil(size / ELASTIC_STEP)) for size in patch]
        scale = torch.tensor(np.diag(matrix) * settings.elastic_voxels, dtype=torch.float32)
        elastic = chance.normal((axes, *points), torch.device("cpu"))
        elastic = elastic * scale.view(axes, *[1] * axes)
    return Pose(matrix @ turn, centre, elastic)


def _rotation(chance: Chance, patch: Sequence[int], limit_deg: float) -> np.ndarray:
    axes = len(patch)
    turn = np.eye(axes)
    # A patch thin along its first axis is rotated in its plane only, as nnU-Net does.
    thin = axes == 3 and min(patch) * 3 < max(patch)
    planes = [(1, 2)] if thin else [(0, 1)] if axes == 2 else [(0, 1), (0, 2), (1, 2)]
    for one, two in planes:
        angle = math.radians(chance.uniform(-limit_deg, limit_deg))
        plane = np.eye(axes)
        plane[one, one] = plane[two, two] = math.cos(angle)
        plane[one, two], plane[two, one] = -math.sin(angle), math.sin(angle)
        turn = turn @ plane
    return turn


def window_of(pose: Pose, patch: Sequence[int], shape: Sequence[int]) -> tuple[slice, ...]:
    """The part of the image that the patch is made of: all that needs to be read."""
    reach = np.abs(pose.matrix) @ ((np.asarray(patch) - 1) / 2)
    if not _is_crop(pose, patch):
        reach = reach + 1
    if pose.elastic is not None:
        reach = reach + np.abs(pose.elastic.numpy()).reshape(len(reach), -1).max(axis=1)
    box = []
    for axis, size in enumerate(shape):
        low = math.floor(pose.centre[axis] - reach[axis] + 1e-6)
        high = math.ceil(pose.centre[axis] + reach[axis] - 1e-6) + 1
        low = min(max(low, 0), size - 1)
        box.append(slice(low, max(min(high, size), low + 1)))
    return tuple(box)


def cut(
    pose: Pose,
    image: Tensor,
    label: Tensor | None,
    start: Sequence[int],
    patch: Sequence[int],
    classes: int,
    padding: str = "zeros",
    grid: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Cut a patch out of the window that was read for it.

    Args:
        pose: where it lies.
        image: (C, *window), float32.
        label: (*window,), integer, or None.
        start: of the window in the image, in voxels.
        patch: size to cut.
        classes: of the label; up to 5 are interpolated linearly class by class, more by nearest.
        padding: of the image beyond its border: "zeros" or "border". Labels are 0 there.
        grid: the pose's `sampling_grid`, where it is at hand.

    Returns:
        (image (C, *patch), label int64 (*patch,) or None).
    """
    if grid is None:
        grid = sampling_grid(pose, image.shape[1:], start, patch)
    if grid is None:
        low = pose.centre - np.abs(pose.matrix) @ ((np.asarray(patch) - 1) / 2)
        corner = [round(at) - first for at, first in zip(low, start, strict=True)]
        image = _crop(
            pose, image, corner, patch, "replicate" if padding == "border" else "constant"
        )
        if label is not None:
            label = _crop(pose, label[None], corner, patch, "constant")[0].long()
        return image, label
    grid = grid.to(image.device)
    if label is None:
        return _sample(image, grid, padding), None
    if classes > ONE_HOT_CLASSES:
        labels = _sample(label[None].float(), grid, "zeros", mode="nearest")[0]
        return _sample(image, grid, padding), labels.long()
    masks = torch.stack([label == index for index in range(1, classes)]).float()
    if padding == "zeros":
        both = _sample(torch.cat([image, masks]), grid, padding)
        image, masks = both[: len(image)], both[len(image) :]
    else:
        image, masks = _sample(image, grid, padding), _sample(masks, grid, "zeros")
    # Plane by plane: torch's argmax over an outer axis takes twenty times as long.
    best, labels = 1 - masks.sum(0), torch.zeros(masks.shape[1:], dtype=torch.long)
    labels = labels.to(masks.device)
    for index, mask in enumerate(masks, start=1):
        labels.masked_fill_(mask > best, index)
        torch.maximum(best, mask, out=best)
    return image, labels


def _is_crop(pose: Pose, patch: Sequence[int]) -> bool:
    """Whether every patch voxel is an image voxel: axes swapped and mirrored at most."""
    sizes = np.abs(pose.matrix)
    if pose.elastic is not None or not np.array_equal(sizes, sizes.round()):
        return False
    if not (sizes.sum(0) == 1).all() or not (sizes.sum(1) == 1).all():
        return False
    corner = pose.centre - pose.matrix @ ((np.asarray(patch) - 1) / 2)
    return bool(np.allclose(corner, corner.round(), atol=1e-6))


def _crop(
    pose: Pose, window: Tensor, corner: Sequence[int], patch: Sequence[int], mode: str
) -> Tensor:
    source = np.abs(pose.matrix).argmax(axis=0)  # image axis of each patch axis
    lengths = np.empty(len(patch), int)
    lengths[source] = patch
    pads: list[int] = []
    box = []
    for first, length, size in zip(corner, lengths, window.shape[1:], strict=True):
        last = first + int(length)
        pads = [max(-first, 0), max(last - size, 0), *pads]
        box.append(slice(max(first, 0), min(last, size)))
    window = window[(slice(None), *box)]
    if any(pads):
        window = functional.pad(window[None], pads, mode=mode)[0]
    window = window.permute(0, *(int(axis) + 1 for axis in source))
    flips = [axis + 1 for axis, at in enumerate(source) if pose.matrix[at, axis] < 0]
    return window.flip(flips) if flips else window


def sampling_grid(
    pose: Pose, window: Sequence[int], start: Sequence[int], patch: Sequence[int]
) -> Tensor | None:
    """Points as grid_sample wants them: (1, *patch, axes), x first, -1 … 1 at the ends. None where
    the patch is cropped, and nothing is interpolated; arguments are those of `cut`."""
    if _is_crop(pose, patch):
        return None
    axes = len(patch)
    span = np.maximum(np.asarray(window, np.float64) - 1, 1) / 2
    linear = pose.matrix / span[:, None]
    offset = (pose.centre - np.asarray(start)) / span - 1
    grid = torch.empty((1, *patch, axes))
    # Sums of one ramp per axis: a tenth of the time of affine_grid, which multiplies matrices.
    for row in range(axes):
        total = torch.tensor(offset[row], dtype=torch.float32)
        for axis, size in enumerate(patch):
            ramp = torch.arange(size, dtype=torch.float32) - (size - 1) / 2
            shape = [1] * axes
            shape[axis] = size
            total = total + (ramp * float(linear[row, axis])).view(shape)
        grid[0, ..., axes - 1 - row] = total
    if pose.elastic is not None:
        smooth = functional.interpolate(
            pose.elastic[None],
            size=tuple(patch),
            mode="trilinear" if axes == 3 else "bilinear",
            align_corners=True,
        )
        scaled = smooth / torch.tensor(span, dtype=torch.float32).view(1, axes, *[1] * axes)
        grid = grid + scaled.flip(1).movedim(1, -1)
    return grid


def _sample(image: Tensor, grid: Tensor, padding: str, mode: str = "bilinear") -> Tensor:
    return functional.grid_sample(
        image[None], grid, mode=mode, padding_mode=padding, align_corners=True
    )[0]
