"""The contract of networks whose samples have codes, and which make codes up from noise."""

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor, nn


class Latent(ABC):
    """A network that has been an autoencoder, with a generator beside it.

    `code` and `chance` are how many numbers codes and noise have.
    """

    code: int
    chance: int
    generator: nn.Module
    """What learns to make codes up; the rest is done."""

    @abstractmethod
    def encode(self, inputs: Any) -> Tensor:
        """Codes (B, code) of samples, as the network takes them."""

    @abstractmethod
    def make(self, noise: Tensor) -> Tensor:
        """Codes (B, code) of standard normal noise (B, chance)."""
