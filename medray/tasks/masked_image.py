"""Masked-image pretraining: blocks of images are hidden, and a network restores them."""

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from pydantic import Field
from torch import Tensor

from medray.errors import SpecError
from medray.models.base import Logits
from medray.tasks.base import TaskOptions
from medray.tasks.metric import Metric
from medray.tasks.restoring import RestoringTask

FEWEST_BLOCKS = 4  # of a patch


class MaskedImage(RestoringTask):
    """Intensities of hidden blocks, by their mean absolute error (SimMIM, Xie et al. 2022).

    Blocks stand on a lattice, elsewhere in each patch; a share of them is drawn without replacement
    (He et al. 2022), hidden, and filled with 0, the mean of what is normalised. The loss is of
    hidden voxels alone.
    """

    class Options(TaskOptions):
        """What can be chosen."""

        mask_ratio: float = Field(0.5, gt=0, lt=1, description="share of the blocks that is hidden")
        block: int = Field(8, ge=1, description="side of a block, in voxels of the network's grid")

    name: ClassVar[str] = "masked-image"
    metric: ClassVar[str] = "val_restored_error"
    metrics: ClassVar[Mapping[str, Metric]] = {
        "restored_error": Metric(
            "mean absolute error of what was hidden", higher_is_better=False, digits=4,
            headline=True,
        ),
        "mean_error": Metric(
            "that of the mean of what was seen", higher_is_better=False, digits=4
        ),
    }  # fmt: skip

    def __init__(self, options: Options, frequencies: Sequence[float] | None = None) -> None:
        super().__init__(options, frequencies)
        self.options = options

    @property
    def classes(self) -> tuple[str, ...]:
        """See Task; the network answers with the channels of its images."""
        return ("image",)

    def hidden(self, shape: Sequence[int], seed: int) -> np.ndarray:
        """See RestoringTask.

        Raises:
            SpecError: there would be fewer than four blocks (code "block-too-large").
        """
        side, ratio = self.options.block, self.options.mask_ratio
        if math.prod(-(-size // side) for size in shape) < FEWEST_BLOCKS:
            raise SpecError(
                f"a patch of {list(shape)} has fewer than {FEWEST_BLOCKS} blocks of {side} voxels",
                code="block-too-large",
                about="task.block",
                hint="give a smaller block, or a larger patch",
            )
        chance = np.random.Generator(np.random.Philox(key=seed))
        places = [
            (np.arange(size) + start) // side
            for size, start in zip(shape, chance.integers(0, side, len(shape)), strict=True)
        ]
        lattice = [int(along[-1]) + 1 for along in places]
        blocks = math.prod(lattice)
        count = min(max(round(ratio * blocks), 1), blocks - 1)
        chosen = np.zeros(blocks, bool)
        chosen[chance.permutation(blocks)[:count]] = True
        hidden: np.ndarray = chosen.reshape(lattice)[np.ix_(*places)]
        return hidden

    def loss(self, outputs: Logits, target: Mapping[str, Tensor]) -> Tensor:
        """See Task; outputs of lower resolutions have no say."""
        finest = outputs[0] if isinstance(outputs, list) else outputs
        hidden = target["hidden"].float()
        error = (finest.float() - target["image"]).abs().mean(1, keepdim=True) * hidden
        return error.flatten(1).sum(1) / hidden.flatten(1).sum(1)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Intensities are what they are."""
        return logits

    @property
    def columns(self) -> int:
        """The metrics, of a case."""
        return len(self.metrics)

    def judge(self, answer: np.ndarray, truth: np.ndarray | None) -> list[float]:
        """Errors in deviations of the image, over hidden voxels.

        Args:
            answer: what was restored, (C, *space); NaN where it was seen.
            truth: the patch, (C, *space).
        """
        if truth is None:
            raise TypeError("what is restored is held against the image")
        seen = np.isnan(answer)
        known = np.where(seen, truth, np.nan)
        mean = np.nanmean(known, axis=tuple(range(1, truth.ndim)), keepdims=True)
        return [
            float(np.nanmean(np.abs(answer - truth))),
            float(np.abs(mean - truth)[~seen].mean()),
        ]

    def summarise(self, table: np.ndarray, targets: np.ndarray | None) -> dict[str, float]:
        """See Task: means over the cases."""
        names = (f"val_{name}" for name in self.metrics)
        return dict(zip(names, table.mean(0).tolist(), strict=True))

    @property
    def validates(self) -> frozenset[str]:
        """See Task."""
        return frozenset(f"val_{name}" for name in self.metrics)

    def describe(self) -> list[str]:
        """See Task."""
        share, side = self.options.mask_ratio, self.options.block
        return [f"{share:.0%} of blocks of {side} voxels are hidden and restored"]
