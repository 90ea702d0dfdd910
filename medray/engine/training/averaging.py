"""Averaged weights: an exponential moving average of a network over its steps."""

import torch
from torch import Tensor, nn


class Average:
    """Follows a network (Polyak & Juditsky 1992).

    Args:
        shadow: a copy of the network, the average from now on.
        decay: share of the average that stays at each step, once warm.
        own_buffers: it is called in training itself, and has statistics of its own.
    """

    def __init__(self, shadow: nn.Module, decay: float, *, own_buffers: bool = False) -> None:
        self.network = shadow.eval().requires_grad_(False)
        self._decay, self._own_buffers = decay, own_buffers

    @torch.no_grad()
    def follow(self, network: nn.Module, step: int) -> None:
        """Take one step's weights in.

        The decay grows as (1 + step) / (10 + step), so that the start is soon forgotten. Buffers
        (batch norm's statistics) are averages themselves: they are copied, unless it has its own.
        """
        decay = min(self._decay, (1 + step) / (10 + step))
        shadow: list[Tensor] = list(self.network.parameters())
        live: list[Tensor] = list(network.parameters())
        torch._foreach_lerp_(shadow, live, 1 - decay)
        if self._own_buffers:
            return
        for mine, other in zip(self.network.buffers(), network.buffers(), strict=True):
            mine.copy_(other)
