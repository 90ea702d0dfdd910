"""Batches for training: patches, and the boxes of what is in them."""

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor

from medray.data.tree import Tree, to_device
from medray.modalities.image.loader import Loader, Raw
from medray.modalities.image.objects.cases import ObjectCases
from medray.modalities.image.spatial import Pose

SEEN = 0.3  # share of a box that must lie in a patch; of less nobody could tell what it is


class ObjectLoader(Loader):
    """Images as Loader has them. Targets are `boxes` (B, objects, 2 * axes) as shares of the patch,
    `kinds` int64 (B, objects), -1 behind the last, and `ignored` bool (B, objects)."""

    def target(self, raws: Sequence[Raw], labels: Sequence[Tensor]) -> Tree:
        """See Loader."""
        cases = cast("ObjectCases", self.cases)
        axes, most = len(self.patch), cases.most
        boxes = np.zeros((len(raws), most, 2 * axes), np.float32)
        kinds = np.full((len(raws), most), -1, np.int64)
        ignored = np.zeros((len(raws), most), bool)
        for at, raw in enumerate(raws):
            truth = cases.boxes[raw.draw.sample]
            inside, seen = posed(truth[:, :-2], raw.pose, self.patch)
            there = seen > 0
            count = int(there.sum())
            boxes[at, :count] = inside[there] / np.tile(self.patch, 2)
            kinds[at, :count] = truth[there, -2]
            ignored[at, :count] = (truth[there, -1] > 0) | (seen[there] < SEEN)
        made = {"boxes": boxes, "kinds": kinds, "ignored": ignored}
        return {name: to_device(torch.from_numpy(one), self._device) for name, one in made.items()}


def posed(boxes: np.ndarray, pose: Pose, patch: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Boxes where a patch shows them.

    A rotated box takes the room of the ellipsoid in it, which is what cells and lesions are like:
    that of its corners would grow by up to the square root of two.

    Args:
        boxes: edges in the image's voxels, (objects, 2 * axes).
        pose: of the patch. An elastic deformation moves voxels by few and is left out.
        patch: its size.

    Returns:
        Edges in the patch's voxels, cut to the patch, and the share of each box that is in it.
    """
    axes = len(patch)
    back = np.linalg.inv(pose.matrix)
    middle = (boxes[:, :axes] + boxes[:, axes:]) / 2 - 0.5  # of voxels, whose middles have numbers
    half = (boxes[:, axes:] - boxes[:, :axes]) / 2
    middle = (middle - pose.centre) @ back.T + np.asarray(patch) / 2
    half = np.sqrt((half**2) @ (back**2).T)
    edges = np.concatenate([middle - half, middle + half], 1)
    inside = np.clip(edges, 0, np.tile(patch, 2))
    sizes = np.clip(inside[:, axes:] - inside[:, :axes], 0, None)
    seen = sizes.prod(1) / np.maximum((2 * half).prod(1), 1e-12)
    return inside.astype(np.float32), seen
