"""The contract of networks that make samples up from noise."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn


class Generator(ABC):
    """A network whose `forward` takes a tree {"noise": (B, chance) standard normal, "kind": int64
    (B,) class of each} and answers with samples as other networks of its modality take them.

    `chance` is how many numbers noise has.
    """

    chance: int

    @abstractmethod
    def critic(self, *, spectral: bool) -> nn.Module:
        """A fresh network that tells samples apart, drawn from torch's global generator.

        It takes samples (B, …) and their classes int64 (B,), and answers (B,): the higher, the more
        like a real one of its class.

        Args:
            spectral: each layer's largest singular value is held at 1 (Miyato et al. 2018).
        """

    def noise(self, kind: Tensor) -> dict[str, Tensor]:
        """What `forward` takes for samples of these classes, from torch's global generator.

        Args:
            kind: int64 (B,).
        """
        drawn = torch.randn(len(kind), self.chance, device=kind.device)
        return {"noise": drawn, "kind": kind}
