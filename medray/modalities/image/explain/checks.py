"""What a map is worth, in numbers: all checks of some images, as predictions have them."""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from medray.modalities.image.explain import How
from medray.modalities.image.explain.fidelity import centre_map, curves, random_maps
from medray.modalities.image.explain.methods import attribute, hidden
from medray.modalities.image.explain.randomised import (
    STAGES,
    randomised,
    rank_correlation,
    similarity,
)
from medray.modalities.image.explain.target import Target

KINDS = ("", "_random", "_centre")  # of maps: its own, and those that know nothing
RANK, ALIKE = "randomised_rank", "randomised_ssim"
FIDELITY = tuple(f"{name}{kind}" for kind in KINDS for name in ("insertion", "deletion"))
COUNT = len(FIDELITY) + 2 * STAGES


@dataclass(frozen=True)
class Checks:
    """The checks of a network's maps.

    Args:
        network: in evaluation mode.
        levels: modules that Grad-CAM may weigh.
        how: maps are made.
        sure: logits to what curves show, as (B, classes, …).
    """

    network: nn.Module
    levels: Sequence[str]
    how: How
    sure: Callable[[Tensor], Tensor]

    @cached_property
    def _others(self) -> list[nn.Module]:
        import copy

        return [copy.deepcopy(one) for one in randomised(self.network)]

    def of(self, images: Tensor, maps: Tensor, target: Target, ids: Sequence[str]) -> np.ndarray:
        """Numbers of each image, float32 (B, COUNT); `columns` names them.

        Args:
            images: (B, C, *space).
            maps: theirs, (B, *space).
            target: what they are of.
            ids: the random maps are drawn by them.
        """

        def answer(changed: Tensor) -> Tensor:
            with torch.inference_mode():
                return target.sure(self.sure(self.network(changed).float()))

        seeds = [zlib.crc32(one.encode()) for one in ids]
        space = images.shape[2:]
        guesses = [maps, random_maps(space, seeds), centre_map(space).expand(len(maps), *space)]
        base, device = hidden(images), images.device
        parts = [area for each in guesses for area in curves(answer, images, base, each.to(device))]
        own = maps.cpu().numpy()
        ranks, alike = [], []
        for other in self._others:
            theirs = attribute(self.how, other, self.levels, images, target).cpu().numpy()
            pairs = list(zip(own, theirs, strict=True))
            ranks.append([rank_correlation(*pair) for pair in pairs])
            alike.append([similarity(*pair) for pair in pairs])
        return np.array([*parts, *ranks, *alike], np.float32).T


def columns(numbers: np.ndarray) -> dict[str, Any]:
    """The columns of a prediction that numbers (COUNT,) of its image make."""
    values = [float(one) for one in numbers]
    split = len(FIDELITY)
    row: dict[str, Any] = dict(zip(FIDELITY, values[:split], strict=True))
    return row | {RANK: values[split : split + STAGES], ALIKE: values[split + STAGES :]}
