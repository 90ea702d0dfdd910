"""The randomisation check (Adebayo et al. 2018): a map that stays as it was when the weights are
replaced by random ones, layer by layer from the answer back, says nothing of what was learnt."""

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from scipy import ndimage, stats
from torch import nn

STAGES = 4  # of as many layers each, the last with all of them
WINDOW = 7  # voxels along each axis of a place whose structure is compared


def randomised(network: nn.Module, seed: int = 0) -> Iterator[nn.Module]:
    """The network with more and more of its layers reset to fresh weights, from the last one back.

    Args:
        network: stays as it is.
        seed: of the weights.

    Yields:
        STAGES networks, each of which is valid until the next is asked for.
    """
    made = copy.deepcopy(network)
    layers = [one for one in made.modules() if hasattr(one, "reset_parameters")][::-1]
    ends = [round(len(layers) * stage / STAGES) for stage in range(STAGES + 1)]
    for stage in range(STAGES):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed + stage)
            for layer in layers[ends[stage] : ends[stage + 1]]:
                reset: Any = layer.reset_parameters
                reset()
        yield made


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Spearman's correlation of two maps; 0 where either is the same all over."""
    ranks = [stats.rankdata(each, axis=None) for each in (one, other)]
    if any(np.ptp(each) == 0 for each in ranks):
        return 0.0
    return float(np.corrcoef(*ranks)[0, 1])


def similarity(one: np.ndarray, other: np.ndarray) -> float:
    """The mean structural similarity of two maps (SSIM, Wang et al. 2004), each scaled to 0 … 1.

    Windows are boxes of WINDOW voxels an axis, or of all where there are fewer, with the constants
    of the paper, .01² and .03².
    """
    x, y = (_scaled(each) for each in (one, other))
    size = [min(WINDOW, length) for length in one.shape]
    count = float(np.prod(size))

    def mean(values: np.ndarray) -> np.ndarray:
        found: np.ndarray = ndimage.uniform_filter(values, size)
        # Whole windows alone.
        return found[
            tuple(slice(n // 2, m - (n - 1) // 2) for n, m in zip(size, found.shape, strict=True))
        ]

    mx, my = mean(x), mean(y)
    unbiased = count / max(count - 1, 1)
    vx, vy = (unbiased * (mean(v * v) - m * m) for v, m in ((x, mx), (y, my)))
    both = unbiased * (mean(x * y) - mx * my)
    c1, c2 = 0.01**2, 0.03**2
    alike = (2 * mx * my + c1) * (2 * both + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    return float(alike.mean())


def _scaled(values: np.ndarray) -> np.ndarray:
    found = values.astype(np.float64)
    low, high = found.min(), found.max()
    return (found - low) / (high - low) if high > low else np.zeros_like(found)
