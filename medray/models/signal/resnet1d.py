"""A residual network over time."""

from collections.abc import Mapping
from typing import Self, cast

from pydantic import Field
from torch import Tensor, nn

from medray.models.base import ModelOptions
from medray.models.signal.base import (
    Head,
    Kernel,
    SignalNetwork,
    SignalOptions,
    conv,
    group_norm,
    pooled,
)


class ResNet1d(SignalNetwork):
    """Residual blocks (He et al. 2016) of two convolutions with group norm, each stage but the
    first at half the rate; then mean and maximum over time."""

    class Options(SignalOptions):
        """What can be chosen."""

        features: tuple[int, ...] = Field(
            (16, 32, 48), min_length=1, description="channels of each stage"
        )
        blocks: int = Field(1, ge=1, le=16, description="blocks of a stage")
        kernel: Kernel = Field(7, description="samples that a filter sees")
        stem_stride: int = Field(1, ge=1, description="of the convolution before the blocks")

    def __init__(self, options: Options, leads: int, out_channels: int) -> None:
        super().__init__()
        width = options.features[0]
        inward, kernel = self.inward(options, leads), options.kernel
        layers: list[nn.Module] = [
            conv(inward, width, kernel, options.stem_stride), group_norm(width),
            nn.ReLU(inplace=True),
        ]  # fmt: skip
        inward = width
        for stage, outward in enumerate(options.features):
            for at in range(options.blocks):
                stride = 2 if stage and at == 0 else 1
                layers.append(Block(inward, outward, kernel, stride, options.dropout))
                inward = outward
        self.body = nn.Sequential(*layers)
        self.head = Head(2 * inward, options.columns, out_channels, options.dropout)

    @classmethod
    def build(
        cls,
        options: ModelOptions,
        in_channels: int,
        out_channels: int,
        patch: tuple[int, ...] | None,
    ) -> Self:
        """See `Network.build`."""
        return cls(cast("ResNet1d.Options", options), in_channels, out_channels)

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """A batch to logits (B, out_channels)."""
        logits: Tensor = self.head(pooled(self.body(self.channels(inputs))), inputs)
        return logits


class Block(nn.Module):
    """Two convolutions beside a way around them, which is strided and widened as they are.

    Args:
        inward: channels that come in.
        outward: channels that go out.
        kernel: samples that a filter sees.
        stride: samples that become one.
        drop: share of values dropped between the convolutions.
    """

    def __init__(self, inward: int, outward: int, kernel: int, stride: int, drop: float) -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv(inward, outward, kernel, stride),
            group_norm(outward),
            nn.ReLU(inplace=True),
            nn.Dropout(drop),
            conv(outward, outward, kernel),
            group_norm(outward),
        )
        self.around: nn.Module = nn.Identity()
        if stride > 1 or inward != outward:
            self.around = nn.Sequential(conv(inward, outward, 1, stride), group_norm(outward))

    def forward(self, x: Tensor) -> Tensor:
        """(B, inward, T) to (B, outward, ceil(T / stride))."""
        total: Tensor = (self.body(x) + self.around(x)).relu_()
        return total
