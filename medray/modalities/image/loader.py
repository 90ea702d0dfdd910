"""Batches for training: patches or whole images, prepared ahead on a thread.

What a batch holds is a function of the step alone: never of the rank, the thread or the past.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from medray.data.ahead import read_ahead
from medray.data.batch import Batch, in_parts
from medray.data.chance import Chance
from medray.data.order import Draw, Order
from medray.data.tree import Tree, channels_last, to_device
from medray.modalities.image.augment import ImageAugment
from medray.modalities.image.cases import Cases
from medray.modalities.image.guide.augment import augment_guide
from medray.modalities.image.intensity import augment_intensity
from medray.modalities.image.spatial import (
    Pose,
    augment_pose,
    cut,
    draw_pose,
    sampling_grid,
    window_of,
)


@dataclass(frozen=True)
class Raw:
    """A sample as read, before what is done on the device."""

    draw: Draw
    chance: Chance
    pose: Pose
    start: tuple[int, ...]
    image: Tensor
    label: Tensor | None


class Loader:
    """Prepares a rank's batches: images (B, C, *patch) float32, and as targets labels
    (B, *patch) int64, or what `targets` held, (B,) or (B, T).

    Args:
        cases: the training samples.
        order: of them.
        patch: size in voxels of the network's grid.
        targets: one per case, (cases, …), for tasks on whole images: these are then resized to the
            patch. None: labels are cut with the image.
        augment: None: none.
        foreground: share of patches that are centred on a voxel of some class.
        rank: whose share.
        size: number of ranks.
        device: where batches go; augmentation is done there.
        prefetch: batches that are prepared ahead.
        parts: that a batch is computed in.
        channels_last: lay images out so.
    """

    labelled = True  # labels are cut with images, where cases have some

    def __init__(
        self,
        cases: Cases,
        order: Order,
        patch: Sequence[int],
        *,
        targets: Tensor | None = None,
        augment: ImageAugment | None = None,
        foreground: float = 0.0,
        rank: int = 0,
        size: int = 1,
        device: torch.device | None = None,
        prefetch: int = 2,
        parts: int = 1,
        channels_last: bool = False,
    ) -> None:
        self.cases, self.order, self.patch = cases, order, tuple(patch)
        self._targets, self._augment, self._foreground = targets, augment, foreground
        self._rank, self._size = rank, size
        self._device = device or torch.device("cpu")
        self._prefetch, self._parts, self._channels_last = prefetch, parts, channels_last

    def batches(self, first: int, last: int) -> Iterator[Batch]:
        """This rank's batches of the steps first … last - 1."""
        steps, depth = range(first, last), max(1, self._prefetch - 1)  # and one is being made
        if self._device.type == "cpu":
            return read_ahead(map(self.batch, steps), depth)
        # On a GPU the kernels are queued from here, where the network's are.
        return map(self._finish, steps, read_ahead(map(self._read, steps), depth))

    def batch(self, step: int) -> Batch:
        """This rank's batch of one step."""
        return self._finish(step, self._read(step))

    def _read(self, step: int) -> list[Raw]:
        draws = self.order.share_at(step, self._rank, self._size)
        return [self.read(draw) for draw in draws]

    @property
    def whole(self) -> bool:
        """Whether images are seen whole."""
        return self._targets is not None

    def read(self, draw: Draw) -> Raw:
        """A sample, and where its patch lies."""
        chance, case = Chance(draw.seed), draw.sample
        if self.whole:
            image = fit_image(self.cases.image(case), self.patch)
            pose = whole_pose(self.patch, image.shape[1:])
            if self._augment is not None:
                pose = augment_pose(chance, pose.matrix, pose.centre, self.patch, self._augment)
            return Raw(draw, chance, pose, (0,) * len(self.patch), image, None)
        shape = self.cases.shapes[case]
        pose = draw_pose(
            chance,
            self.patch,
            shape,
            self.cases.ratio(case),
            self._augment,
            self._focus(draw, chance),
        )
        box = window_of(pose, self.patch, shape)
        start = tuple(axis.start for axis in box)
        label = self.cases.label(case, box) if self.labelled and self.cases.classes else None
        return Raw(draw, chance, pose, start, self.cases.image(case, box), label)

    def _focus(self, draw: Draw, chance: Chance) -> Sequence[int] | None:
        """A voxel to centre on. Decided by the position in the order: an even share, no luck."""
        share = self._foreground
        if int((draw.position + 1) * share) == int(draw.position * share):
            return None
        there = [voxels for voxels in self.cases.foreground(draw.sample) if len(voxels)]
        if not there:
            return None
        voxels = there[chance.integer(0, len(there) - 1)]
        focus: Sequence[int] = voxels[chance.integer(0, len(voxels) - 1)].tolist()
        return focus

    def _finish(self, step: int, raws: list[Raw]) -> Batch:
        inputs, labels = self.images(raws)
        return in_parts(step, *self.given(raws, inputs, labels), self._parts)

    def images(self, raws: Sequence[Raw]) -> tuple[Tensor, list[Tensor]]:
        """Images of a batch, (B, C, *patch), cut and augmented, and the labels of those that have
        some."""
        images, labels = [], []
        padding = self._augment.padding if self._augment else "zeros"
        for raw in raws:
            image, label = cut(
                raw.pose,
                to_device(raw.image, self._device),
                None if raw.label is None else to_device(raw.label, self._device),
                raw.start,
                self.patch,
                self.cases.values,
                padding,
            )
            if self._augment is not None:
                image, guide = image[: self.cases.channels], image[self.cases.channels :]
                image = augment_intensity(image, raw.chance, self._augment)
                if len(guide):
                    guide = augment_guide(guide, raw.chance, self._augment)
                    image = torch.cat([image, guide])
            images.append(image)
            if label is not None:
                labels.append(label)
        inputs = torch.stack(images)
        if self._channels_last:
            inputs = inputs.contiguous(memory_format=channels_last(len(self.patch)))
        return inputs, labels

    def given(
        self, raws: Sequence[Raw], inputs: Tensor, labels: Sequence[Tensor]
    ) -> tuple[Tree, Tree]:
        """What the network takes of a batch, and what the task learns of it.

        Args:
            raws: its samples, and where their patches lie.
            inputs: images, (B, C, *patch).
            labels: cut as the images are, where the cases have some.
        """
        return inputs, self.target(raws, labels)

    def target(self, raws: Sequence[Raw], labels: Sequence[Tensor]) -> Tree:
        """What the task learns of a batch.

        Args:
            raws: its samples, and where their patches lie.
            labels: cut as the images are, where the cases have some.
        """
        if self._targets is None:
            return torch.stack(list(labels))
        return to_device(self._targets[[raw.draw.sample for raw in raws]], self._device)


def whole_pose(patch: Sequence[int], shape: Sequence[int]) -> Pose:
    """The pose of a patch that shows the whole image, its longest side filling the patch."""
    ratio = max(length / size for length, size in zip(shape, patch, strict=True))
    centre = (np.asarray(shape, np.float64) - 1) / 2
    return Pose(np.eye(len(patch)) * ratio, centre)


def fit_image(image: Tensor, patch: Sequence[int]) -> Tensor:
    """Shrink by whole factors while the image is at least twice the patch: no aliasing later."""
    factors = [max(1, size // to) for size, to in zip(image.shape[1:], patch, strict=True)]
    factor = min(factors)
    if factor == 1:
        return image
    pool = functional.avg_pool3d if len(factors) == 3 else functional.avg_pool2d
    return pool(image[None], factor)[0]


def whole_image(image: Tensor, patch: Sequence[int]) -> Tensor:
    """A whole image as training sees it, but not augmented: (C, *patch)."""
    image = fit_image(image, patch)
    shape = tuple(image.shape[1:])
    if shape == tuple(patch):
        return image
    pose, grid = _whole(tuple(patch), shape)
    return cut(pose, image, None, (0,) * len(patch), patch, 0, grid=grid)[0]


@lru_cache(maxsize=2)  # most images of a dataset are of one shape
def _whole(patch: tuple[int, ...], shape: tuple[int, ...]) -> tuple[Pose, Tensor | None]:
    """How whole images of a shape lie in the patch, and where they are sampled for it."""
    pose = whole_pose(patch, shape)
    return pose, sampling_grid(pose, shape, (0,) * len(patch), patch)
