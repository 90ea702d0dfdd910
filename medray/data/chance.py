"""Randomness of one sample: a torch generator that its position in the order has seeded."""

from collections.abc import Sequence

import torch
from torch import Tensor

from medray.data.order import seed_of


class Chance:
    """Draws numbers; the same seed gives the same draws, on any rank and thread."""

    def __init__(self, seed: int) -> None:
        self._seed, self._streams = seed, 0
        self._generator = torch.Generator().manual_seed(seed)

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """A number in [low, high)."""
        return low + (high - low) * torch.rand((), generator=self._generator).item()

    def hit(self, chance: float) -> bool:
        """True with the probability `chance`. One draw, whatever the chance."""
        return self.uniform() < chance

    def integer(self, low: int, high: int) -> int:
        """One of low … high, both included."""
        return int(torch.randint(low, high + 1, (), generator=self._generator).item())

    def normal(self, shape: Sequence[int], device: torch.device) -> Tensor:
        """Standard normal numbers; drawn where they are needed, by a stream of their own."""
        self._streams += 1
        stream = torch.Generator(device).manual_seed(seed_of(self._seed, self._streams))
        return torch.randn(tuple(shape), generator=stream, device=device)
