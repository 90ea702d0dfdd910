"""Deletion and insertion (Petsiuk et al. 2018): how soon an answer falls where voxels are taken
away in the order of a map, and how soon it comes where they are put back; of the map, and of maps
that know nothing."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

STEPS = 16  # between the image and what is left of it
CELLS = 8  # along an axis of the random map: patches as large as a map's, not single voxels

Answer = Callable[[Tensor], Tensor]
"""Images (B, C, *space) to how sure the network is, (B,)."""


def curves(
    answer: Answer, images: Tensor, base: Tensor, maps: Tensor
) -> tuple[np.ndarray, np.ndarray]:
    """Areas under the insertion and the deletion curve, each (B,).

    What is taken away becomes what `base` holds there. Curves have STEPS + 1 points, of equal
    shares of the voxels, and areas are trapezoids; of voxels of equal worth the first come first.

    Args:
        answer: of the network.
        images: (B, C, *space).
        base: the same without anything to be seen.
        maps: (B, *space).
    """
    count = maps[0].numel()
    order = maps.flatten(1).argsort(dim=1, descending=True, stable=True)
    ranks = torch.empty_like(order)
    places = torch.arange(count, device=order.device).expand_as(order)
    ranks.scatter_(1, order, places)
    ranks = ranks.view(len(maps), 1, *maps.shape[1:])
    inserted, deleted = [], []
    for step in range(STEPS + 1):
        first = ranks < step * count / STEPS
        inserted.append(answer(torch.where(first, images, base)).double().cpu().numpy())
        deleted.append(answer(torch.where(first, base, images)).double().cpu().numpy())
    return _area(inserted), _area(deleted)


def random_maps(shape: Sequence[int], seeds: Sequence[int]) -> Tensor:
    """Patches of random worth, (len(seeds), *shape) on the CPU."""
    cells = [min(CELLS, size) for size in shape]
    drawn = np.stack([np.random.default_rng(seed).random(cells, np.float32) for seed in seeds])
    mode = "bilinear" if len(cells) == 2 else "trilinear"
    return functional.interpolate(torch.from_numpy(drawn)[:, None], tuple(shape), mode=mode)[:, 0]


def centre_map(shape: Sequence[int]) -> Tensor:
    """A blob in the middle, (*shape): the farther from it, in image sizes, the less."""
    total = torch.zeros(tuple(shape))
    for axis, size in enumerate(shape):
        away = (torch.arange(size) - (size - 1) / 2) / size
        total = total - (away**2).view([-1 if at == axis else 1 for at in range(len(shape))])
    return total


def _area(points: list[np.ndarray]) -> np.ndarray:
    found: np.ndarray = np.trapezoid(np.stack(points), dx=1 / STEPS, axis=0)
    return found
