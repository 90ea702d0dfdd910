"""A slide read by a network tile by tile, in memory that does not grow with it."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from medray.data.ahead import read_ahead
from medray.data.tree import device_of, to_device
from medray.modalities.ask import require_finite
from medray.modalities.base import Precision
from medray.modalities.slide.cases import along, as_input
from medray.modalities.slide.plan import SlidePlan
from medray.models.slide.base import SlideNetwork
from medray.storage.shards.stored import Sliceable


@dataclass(frozen=True)
class Reading:
    """What a network says of a slide.

    Args:
        logits: of the slide, float32 (1, classes).
        tiles: of each tile alone, float32 (tiles, classes).
        attention: weight of each tile, float32 (tiles,); they add up to 1.
        numbers: of the tiles, int64 (tiles,).
    """

    logits: Tensor
    tiles: Tensor
    attention: np.ndarray
    numbers: np.ndarray


def read_slide(
    network: SlideNetwork,
    tiles: Sliceable,
    numbers: np.ndarray,
    size: int,
    plan: SlidePlan,
    device: torch.device,
    precision: Precision = "fp32",
) -> Reading:
    """A slide's answer and each tile's share in it.

    The softmax over all tiles is kept as a running peak, sum and weighed sum (Milakov and
    Gimelshein 2018), so embeddings are not; what is held of a tile is its logits and its weight.
    Room for these is taken before any tile is read: what a batch would leave behind in the memory
    that its activations free would keep the next ones from fitting there.

    Args:
        network: in eval mode, on `device`.
        tiles: of the slide, uint8 (tiles, 3, side, side), read ahead on a thread.
        numbers: of those that are looked at, rising, int64 (some,).
        size: tiles that go through the network at once.
        plan: of its training.
        device: that computes.
        precision: "bf16" runs the network under torch.autocast.

    Raises:
        DataError: the network's output is NaN or Inf (code "nonfinite-output").
    """
    weights, each = torch.empty(len(numbers)), torch.empty(len(numbers), len(plan.classes))
    peak, total, summed = torch.tensor(-torch.inf), torch.tensor(0.0), torch.tensor(0.0)
    parts = along(tiles, numbers, size)
    ahead = read_ahead(to_device(torch.from_numpy(part), device) for _, part in parts)
    at = 0
    try:
        for part in ahead:
            embedded, weight, logits = _look(network, as_input(part, plan), precision)
            weights[at : at + len(part)], each[at : at + len(part)] = weight, logits
            at += len(part)
            higher = torch.maximum(peak, weight.max())
            kept, share = torch.exp(peak - higher), torch.exp(weight - higher)
            peak, total = higher, total * kept + share.sum()
            summed = summed * kept + share @ embedded
    finally:
        ahead.close()
    with torch.inference_mode():
        pooled = (summed / total)[None].to(device)
        logits = network.decide(pooled).float().cpu()
    require_finite(logits)
    require_finite(each)
    attention = torch.exp(weights - peak) / total
    return Reading(logits, each, attention.numpy(), numbers)


def _look(
    network: SlideNetwork, tiles: Tensor, precision: Precision
) -> tuple[Tensor, Tensor, Tensor]:
    """Embeddings, logarithms of weights and logits of some tiles, float32 on the CPU."""
    kind = device_of(tiles).type
    with (
        torch.inference_mode(),
        torch.autocast(kind, torch.bfloat16, enabled=precision == "bf16"),
    ):
        embedded = network.embed(tiles)
        made = embedded, network.weigh(embedded), network.decide(embedded)
        first, second, third = (one.float().cpu() for one in made)
        return first, second, third
