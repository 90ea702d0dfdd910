"""A U-Net over time: a class for every sample, of records as long as they like."""

import math
from collections.abc import Mapping
from typing import Annotated, ClassVar, Self, cast

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from medray.models.base import Answers, ModelOptions, Network
from medray.models.signal.places import Block, ChannelNorm

Width = Annotated[int, Field(ge=1)]


class UNet1d(Network):
    """Encoder and decoder over time with skips (Ronneberger et al. 2015), dilated at its bottom.

    No layer looks at a whole window, so what it says of a sample is the same in any window that
    holds `margin` samples on both sides of it and begins at a multiple of `divisor`. Prediction
    cuts a record there, and nothing has to be blended.
    """

    class Options(ModelOptions):
        """What can be chosen."""

        features: tuple[Width, ...] = Field(
            (16, 32, 48, 64), min_length=1, description="channels of each level, finest first"
        )
        steps: tuple[Annotated[int, Field(ge=2)], ...] = Field(
            (4, 4, 4), description="samples made one from level to level"
        )
        kernel: int = Field(7, ge=3, le=63, description="samples that a convolution sees, odd")
        dilations: tuple[Width, ...] = Field(
            (1, 2, 4), description="of the blocks of the coarsest level, one after another"
        )
        dropout: float = Field(0.1, ge=0, lt=1)

        @model_validator(mode="after")
        def _fits(self) -> Self:
            if len(self.steps) != len(self.features) - 1:
                raise ValueError("steps: one from each level of features to the next")
            if self.kernel % 2 == 0:
                raise ValueError("kernel: odd, so that it has a middle")
            return self

    takes: ClassVar[str] = "signal"
    answers: ClassVar[frozenset[Answers]] = frozenset({"place"})

    def __init__(self, options: Options, in_channels: int, out_channels: int) -> None:
        super().__init__()
        features, steps, kernel = options.features, options.steps, options.kernel
        drop = options.dropout
        self.steps = steps
        self.divisor = math.prod(steps)
        """Windows begin at its multiples."""
        self.stem = nn.Conv1d(in_channels, features[0], kernel, padding="same")
        self.down = nn.ModuleList(Block(one, one, kernel, drop=drop) for one in features[:-1])
        self.wider = nn.ModuleList(
            nn.Conv1d(fine, coarse, step, step)
            for fine, coarse, step in zip(features, features[1:], steps, strict=False)
        )
        self.bottom = nn.Sequential(
            *(Block(features[-1], features[-1], kernel, by, drop) for by in options.dilations)
        )
        self.narrower = nn.ModuleList(
            nn.ConvTranspose1d(coarse, fine, step, step)
            for fine, coarse, step in zip(features, features[1:], steps, strict=False)
        )
        self.up = nn.ModuleList(Block(2 * one, one, kernel, drop=drop) for one in features[:-1])
        self.head = nn.Sequential(
            ChannelNorm(features[0]), nn.ReLU(inplace=True), nn.Conv1d(features[0], out_channels, 1)
        )
        self.margin = self._margin(kernel)
        """Samples on each side that an answer hangs on, rounded up to a multiple of `divisor`."""

    def _margin(self, kernel: int) -> int:
        reach, stride = kernel // 2, 1
        for down, up, step in zip(self.down, self.up, self.steps, strict=True):
            reach += stride * (cast("Block", down).reach + cast("Block", up).reach)
            reach += stride * (step - 1)  # a step's samples hang on each other
            stride *= step
        reach += stride * sum(cast("Block", one).reach for one in self.bottom)
        return -(-reach // self.divisor) * self.divisor

    @classmethod
    def build(
        cls,
        options: ModelOptions,
        in_channels: int,
        out_channels: int,
        patch: tuple[int, ...] | None,
    ) -> Self:
        """See `Network.build`."""
        return cls(cast("UNet1d.Options", options), in_channels, out_channels)

    def forward(self, inputs: Tensor | Mapping[str, Tensor]) -> Tensor:
        """Signals (B, in_channels, L) to logits (B, out_channels, L), whatever L.

        Args:
            inputs: the signals, or `signal` among others by name, which it does not look at.
        """
        signal = inputs if isinstance(inputs, Tensor) else inputs["signal"]
        length = signal.shape[-1]
        x = self.stem(nn.functional.pad(signal, (0, -length % self.divisor)))
        skips = []
        for block, wider in zip(self.down, self.wider, strict=True):
            skips.append(block(x))
            x = wider(skips[-1])
        x = self.bottom(x)
        levels = list(zip(self.up, self.narrower, skips, strict=True))
        for block, narrower, skip in reversed(levels):
            x = block(torch.cat([narrower(x), skip], 1))
        logits: Tensor = self.head(x)[..., :length]
        return logits
