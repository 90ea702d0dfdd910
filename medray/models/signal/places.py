"""Layers whose answers at a sample hang on a finite stretch around it, so that they can stream.

Norms over time would spread a whole window into each of its answers; these go over channels.
"""

import torch
from torch import Tensor, nn

EPSILON = 1e-5


class ChannelNorm(nn.Module):
    """Channels of each sample by their own root mean square (Zhang and Sennrich 2019), scaled.

    Args:
        channels: of what comes in.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, L) to the same."""
        scale = (x.square().mean(1, keepdim=True) + EPSILON).rsqrt()
        normed: Tensor = x * scale * self.weight
        return normed


class Block(nn.Module):
    """Norm, activation and convolution, twice, beside a shortcut (He et al. 2016, pre-activation).

    Args:
        inward: channels that come in.
        outward: channels that go out.
        kernel: odd width of both convolutions.
        dilation: of the first.
        drop: share of channels dropped between them.
    """

    def __init__(
        self, inward: int, outward: int, kernel: int, dilation: int = 1, drop: float = 0.0
    ) -> None:
        super().__init__()
        self.reach = kernel // 2 * (dilation + 1)
        """Samples on each side that an answer hangs on."""
        self.body = nn.Sequential(
            ChannelNorm(inward),
            nn.ReLU(inplace=True),
            nn.Conv1d(inward, outward, kernel, padding="same", dilation=dilation),
            nn.Dropout1d(drop),
            ChannelNorm(outward),
            nn.ReLU(inplace=True),
            nn.Conv1d(outward, outward, kernel, padding="same"),
        )
        self.shortcut = nn.Conv1d(inward, outward, 1) if inward != outward else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, inward, L) to (B, outward, L)."""
        answer: Tensor = self.body(x) + self.shortcut(x)
        return answer
