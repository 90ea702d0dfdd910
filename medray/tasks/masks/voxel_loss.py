"""Loss of voxels: Dice and cross-entropy, of classes that exclude each other, or of regions.

After Isensee et al. 2021 (nnU-Net); focal on request (Lin et al. 2017).
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from medray.models.base import Logits
from medray.tasks.base import TaskOptions
from medray.tasks.labels.class_weights import ClassWeights, weights_of

SMOOTH = 1e-5  # of the Dice loss, as nnU-Net; matters for classes that a patch lacks


class VoxelLossOptions(TaskOptions):
    """What can be chosen of the loss."""

    dice: float = Field(1, ge=0, description="weight of the Dice loss")
    cross_entropy: float = Field(1, ge=0, description="weight of the cross-entropy")
    dice_over: Literal["sample", "batch"] = Field(
        "sample",
        description="batch: of all samples together, steadier for rare classes, but it hangs "
        "on how a batch is spread over workers",
    )
    dice_background: bool = Field(False, description="count class 0 in the Dice loss")
    focal_gamma: float = Field(0, ge=0, description="0: plain cross-entropy")
    class_weights: ClassWeights = Field("none", description="in the cross-entropy")
    label_smoothing: float = Field(0, ge=0, lt=1)


class DeepLoss(ABC):
    """The loss of each sample, of one output or of those of several resolutions."""

    def __call__(self, outputs: Logits, target: Tensor) -> Tensor:
        """Loss per sample, (B,), of logits (B, channels, *space) and targets int64 (B, *space).

        With deep supervision each coarser output weighs half of the one before it; targets are
        shrunk to it by nearest neighbour.
        """
        if isinstance(outputs, Tensor):
            return self._loss(outputs, target)
        total, weight = torch.zeros(len(target), device=target.device), 0.0
        for level, logits in enumerate(outputs):
            shrunk = target
            if level:
                coarse = functional.interpolate(target[:, None].float(), logits.shape[2:])
                shrunk = coarse[:, 0].long()
            total = total + self._loss(logits, shrunk) * 0.5**level
            weight += 0.5**level
        return total / weight

    @abstractmethod
    def _loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Of one output."""


class VoxelLoss(DeepLoss):
    """Of classes that exclude each other: softmax.

    Args:
        options: of it.
        classes: how many there are, background and all.
        frequencies: of the classes in the data; class weights follow from them.
        ignored: targets hold one value more, behind the classes, whose voxels take no part.
    """

    def __init__(
        self,
        options: VoxelLossOptions,
        classes: int,
        frequencies: Sequence[float] | None,
        *,
        ignored: bool = False,
    ) -> None:
        self.options, self.ignored = options, ignored
        weights = weights_of(options.class_weights, classes, frequencies)
        self._weights = None if weights is None else torch.tensor(weights, dtype=torch.float32)

    def _loss(self, logits: Tensor, target: Tensor) -> Tensor:
        log_p = logits.float().log_softmax(1)
        target = target[:, None]
        known = None
        if self.ignored:
            known = target < logits.shape[1]
            target = target * known
        losses = []
        if self.options.cross_entropy:
            losses.append(self.options.cross_entropy * self._cross_entropy(log_p, target, known))
        if self.options.dice:
            first = 0 if self.options.dice_background else 1
            names = torch.arange(first, logits.shape[1], device=logits.device)
            mask = target == names.view(1, -1, *[1] * (logits.ndim - 2))
            dice = dice_loss(log_p.exp()[:, first:], mask, known, self.options.dice_over)
            losses.append(self.options.dice * dice)
        return torch.stack(losses).sum(0)

    def _cross_entropy(self, log_p: Tensor, target: Tensor, known: Tensor | None) -> Tensor:
        smoothing = self.options.label_smoothing
        loss = -log_p.gather(1, target)[:, 0]
        if self.options.focal_gamma:
            loss = loss * (1 - (-loss).exp()) ** self.options.focal_gamma
        if smoothing:
            loss = (1 - smoothing) * loss - smoothing * log_p.mean(1)
        if self._weights is not None:
            loss = loss * self._weights.to(loss.device)[target[:, 0]]
        if known is not None:
            loss = loss * known[:, 0]
            return loss.flatten(1).sum(1) / known.flatten(1).sum(1).clamp(min=1)
        return loss.flatten(1).mean(1)


class RegionLoss(DeepLoss):
    """Of regions that may overlap, each of one class or more: a sigmoid for each.

    Args:
        options: of it; those of classes that exclude each other have no say.
        regions: the labels that each region is made of.
        ignored: the label whose voxels take no part; None: there is none.
    """

    def __init__(
        self, options: VoxelLossOptions, regions: Sequence[Sequence[int]], ignored: int | None
    ) -> None:
        self.options, self._regions, self._ignored = options, regions, ignored

    def _loss(self, logits: Tensor, target: Tensor) -> Tensor:
        known = None if self._ignored is None else (target != self._ignored)[:, None]
        masks = [torch.isin(target, target.new_tensor(one)) for one in self._regions]
        mask, logits = torch.stack(masks, 1), logits.float()
        losses = []
        if self.options.cross_entropy:
            each = functional.binary_cross_entropy_with_logits(
                logits, mask.float(), reduction="none"
            ).mean(1, keepdim=True)
            if known is None:
                entropy = each.flatten(1).mean(1)
            else:
                count = known.flatten(1).sum(1).clamp(min=1)
                entropy = (each * known).flatten(1).sum(1) / count
            losses.append(self.options.cross_entropy * entropy)
        if self.options.dice:
            dice = dice_loss(logits.sigmoid(), mask, known, self.options.dice_over)
            losses.append(self.options.dice * dice)
        return torch.stack(losses).sum(0)


def dice_loss(
    p: Tensor, mask: Tensor, known: Tensor | None, over_what: Literal["sample", "batch"]
) -> Tensor:
    """1 - the mean soft Dice of the channels, (B,).

    Args:
        p: probabilities (B, channels, *space).
        mask: bool of the same shape.
        known: bool (B, 1, *space), which voxels take part; None: all.
        over_what: batch: of all samples together, and the same for each.
    """
    if known is not None:
        p, mask = p * known, mask & known
    over = list(range(2, p.ndim))
    if over_what == "batch":
        over = [0, *over]
    both = (p * mask).sum(over)
    size = p.sum(over) + mask.sum(over)
    dice = (2 * both + SMOOTH) / (size + SMOOTH)
    if over_what == "batch":
        return (1 - dice.mean()).expand(len(p))
    return 1 - dice.mean(1)
