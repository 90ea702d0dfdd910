"""A plain convolutional network over time."""

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


class Cnn1d(SignalNetwork):
    """Levels of a convolution, group norm, ReLU and a max pool; then mean and maximum over time."""

    class Options(SignalOptions):
        """What can be chosen."""

        features: tuple[int, ...] = Field(
            (16, 32, 64), min_length=1, description="channels of each level"
        )
        kernel: Kernel = Field(7, description="samples that a filter sees")
        pool: int = Field(2, ge=1, description="samples that a pool makes one, at each level")

    def __init__(self, options: Options, leads: int, out_channels: int) -> None:
        super().__init__()
        inward = self.inward(options, leads)
        layers: list[nn.Module] = []
        for outward in options.features:
            layers += [
                conv(inward, outward, options.kernel),
                group_norm(outward),
                nn.ReLU(inplace=True),
            ]
            if options.pool > 1:
                layers.append(nn.MaxPool1d(options.pool, ceil_mode=True))
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
        return cls(cast("Cnn1d.Options", options), in_channels, out_channels)

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """A batch to logits (B, out_channels)."""
        logits: Tensor = self.head(pooled(self.body(self.channels(inputs))), inputs)
        return logits
