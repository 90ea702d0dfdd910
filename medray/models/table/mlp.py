"""Dense layers over a row of features."""

from typing import ClassVar, Self, cast

from pydantic import Field
from torch import Tensor, nn

from medray.models.base import Answers, ModelOptions, Network


class DenseOptions(ModelOptions):
    """Options of networks of dense layers."""

    hidden: tuple[int, ...] = Field(
        (128, 64), description="units of each layer; none: a linear model"
    )
    dropout: float = Field(0.3, ge=0, lt=1, description="after each hidden layer")
    input_dropout: float = Field(0.0, ge=0, lt=1, description="of features")
    batch_norm: bool = Field(False, description="after each hidden layer's weights")


class Mlp(Network):
    """Linear layers with ReLU and dropout between them. Features come standardised."""

    class Options(DenseOptions):
        """What can be chosen."""

    answers: ClassVar[frozenset[Answers]] = frozenset({"sample"})
    takes: ClassVar[str] = "table"

    def __init__(self, options: Options, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.layers = dense_layers(options, in_channels, out_channels)

    @classmethod
    def build(
        cls,
        options: ModelOptions,
        in_channels: int,
        out_channels: int,
        patch: tuple[int, ...] | None,
    ) -> Self:
        """See `Network.build`."""
        return cls(cast("Mlp.Options", options), in_channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels) to logits (B, out_channels)."""
        logits: Tensor = self.layers(x)
        return logits


def dense_layers(options: DenseOptions, inward: int, outward: int) -> nn.Sequential:
    """The layers that `options` describe, `inward` features to `outward` logits."""
    layers: list[nn.Module] = [nn.Dropout(options.input_dropout)]
    for width in options.hidden:
        layers.append(nn.Linear(inward, width))
        if options.batch_norm:
            layers.append(nn.BatchNorm1d(width))
        layers += [nn.ReLU(), nn.Dropout(options.dropout)]
        inward = width
    return nn.Sequential(*layers, nn.Linear(inward, outward))
