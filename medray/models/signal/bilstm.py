"""A bidirectional LSTM over time."""

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


class BiLstm(SignalNetwork):
    """Long short-term memory (Hochreiter & Schmidhuber 1997) both ways, over a convolution that
    takes some samples together; then mean and maximum of its states over time."""

    class Options(SignalOptions):
        """What can be chosen."""

        hidden: int = Field(32, ge=1, description="units of each direction")
        layers: int = Field(1, ge=1, le=8)
        stem: int = Field(24, ge=1, description="filters of the convolution before it")
        kernel: Kernel = Field(7, description="samples that a filter sees")
        stride: int = Field(4, ge=1, description="samples that become one step of the LSTM")

    def __init__(self, options: Options, leads: int, out_channels: int) -> None:
        super().__init__()
        inward = self.inward(options, leads)
        self.stem = nn.Sequential(
            conv(inward, options.stem, options.kernel, options.stride),
            group_norm(options.stem),
            nn.ReLU(),
        )
        self.lstm = nn.LSTM(
            options.stem,
            options.hidden,
            options.layers,
            batch_first=True,
            dropout=options.dropout if options.layers > 1 else 0.0,  # one layer has no between
            bidirectional=True,
        )
        self.head = Head(4 * options.hidden, options.columns, out_channels, options.dropout)

    @classmethod
    def build(
        cls,
        options: ModelOptions,
        in_channels: int,
        out_channels: int,
        patch: tuple[int, ...] | None,
    ) -> Self:
        """See `Network.build`."""
        return cls(cast("BiLstm.Options", options), in_channels, out_channels)

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """A batch to logits (B, out_channels)."""
        states, _ = self.lstm(self.stem(self.channels(inputs)).transpose(1, 2))
        logits: Tensor = self.head(pooled(states.transpose(1, 2)), inputs)
        return logits
