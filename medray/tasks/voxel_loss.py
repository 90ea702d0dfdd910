"""Loss of classes that exclude each other, for every voxel: Dice and cross-entropy.

After Isensee et al. 2021 (nnU-Net); focal on request (Lin et al. 2017).
"""

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from medray.models.base import Logits
from medray.tasks.base import TaskOptions
from medray.tasks.class_weights import ClassWeights, weights_of

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


class VoxelLoss:
    """The loss of each sample.

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

    def __call__(self, outputs: Logits, target: Tensor) -> Tensor:
        """Loss per sample, (B,), of logits (B, classes, *space) and targets int64 (B, *space).

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
            losses.append(self.options.dice * self._dice(log_p.exp(), target, known))
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

    def _dice(self, p: Tensor, target: Tensor, known: Tensor | None) -> Tensor:
        first = 0 if self.options.dice_background else 1
        names = torch.arange(first, p.shape[1], device=p.device)
        p = p[:, first:]
        mask = target == names.view(1, -1, *[1] * (p.ndim - 2))
        if known is not None:
            p = p * known  # the target is background there, which a mask of it must not count
            mask = mask & known
        over = list(range(2, p.ndim))
        if self.options.dice_over == "batch":
            over = [0, *over]
        both = (p * mask).sum(over)
        size = p.sum(over) + mask.sum(over)
        dice = (2 * both + SMOOTH) / (size + SMOOTH)
        if self.options.dice_over == "batch":
            return (1 - dice.mean()).expand(len(p))
        return 1 - dice.mean(1)
