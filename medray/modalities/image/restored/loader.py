"""Batches for training: patches, and what is hidden of them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from medray.data.order import seed_of
from medray.data.tree import Tree, to_device
from medray.modalities.image.loader import Loader, Raw
from medray.tasks.restoring import RestoringTask

STREAM = 1  # of a draw's seed: what is hidden hangs on nothing that was drawn before


class RestoringLoader(Loader):
    """Images as Loader has them, hidden in parts; targets are those of RestoringTask."""

    def __init__(self, task: RestoringTask, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._task = task

    def given(
        self, raws: Sequence[Raw], inputs: Tensor, labels: Sequence[Tensor]
    ) -> tuple[Tree, Tree]:
        """See Loader."""
        seeds = [seed_of(raw.draw.seed, STREAM) for raw in raws]
        hidden = to_device(hidden_of(self._task, self.patch, seeds), self._device)
        return inputs.masked_fill(hidden, 0.0), {"image": inputs, "hidden": hidden}


def hidden_of(task: RestoringTask, patch: Sequence[int], seeds: Sequence[int]) -> Tensor:
    """What is hidden of patches, bool (B, 1, *patch)."""
    return torch.from_numpy(np.stack([task.hidden(patch, seed) for seed in seeds]))[:, None]
