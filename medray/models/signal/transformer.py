"""A small transformer encoder over time."""

import math
from collections.abc import Mapping
from typing import Self, cast

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from medray.models.base import ModelOptions
from medray.models.signal.base import Head, Kernel, SignalNetwork, SignalOptions, conv

LONGEST = 10_000.0  # wavelength of positions, as Vaswani et al. 2017


class SignalTransformer(SignalNetwork):
    """Encoder with the norm before each part (Xiong et al. 2020) over a convolution that takes some
    samples together; positions are sines (Vaswani et al. 2017), and states are averaged."""

    class Options(SignalOptions):
        """What can be chosen."""

        width: int = Field(48, ge=2, description="channels of a step")
        layers: int = Field(2, ge=1, le=24)
        heads: int = Field(4, ge=1)
        expand: int = Field(2, ge=1, description="inner layer of a block ÷ width")
        kernel: Kernel = Field(11, description="samples that a filter sees")
        stride: int = Field(4, ge=1, description="samples that become one step")

        @model_validator(mode="after")
        def _fits(self) -> Self:
            if self.width % (2 * self.heads):
                raise ValueError("width is a multiple of twice the heads")
            return self

    def __init__(self, options: Options, leads: int, out_channels: int) -> None:
        super().__init__()
        width = options.width
        self.stem = conv(self.inward(options, leads), width, options.kernel, options.stride)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width,
                options.heads,
                options.expand * width,
                options.dropout,
                activation="gelu",
                batch_first=True,
                norm_first=True,
            )
            for _ in range(options.layers)
        )
        self.norm = nn.LayerNorm(width)
        self.head = Head(width, options.columns, out_channels, options.dropout)

    @classmethod
    def build(
        cls,
        options: ModelOptions,
        in_channels: int,
        out_channels: int,
        patch: tuple[int, ...] | None,
    ) -> Self:
        """See `Network.build`."""
        return cls(cast("SignalTransformer.Options", options), in_channels, out_channels)

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """A batch to logits (B, out_channels)."""
        x = self.stem(self.channels(inputs)).transpose(1, 2)
        x = x + waves(x.shape[1], x.shape[2], x.device).to(x.dtype)
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.head(self.norm(x).mean(1), inputs)
        return logits


def waves(steps: int, width: int, device: torch.device) -> Tensor:
    """Sines and cosines that tell places apart, (steps, width); width is even."""
    half = width // 2
    speed = torch.exp(torch.arange(half, device=device) * (-math.log(LONGEST) / half))
    angle = torch.arange(steps, device=device)[:, None] * speed
    return torch.cat([angle.sin(), angle.cos()], 1)
