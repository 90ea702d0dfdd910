"""A trunk that all answers share, and a head for each of them (Shalit et al. 2017)."""

from typing import ClassVar, Self, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from medray.models.base import Answers, ModelOptions, Network
from medray.models.table.mlp import DenseOptions, dense_layers


class Tarnet(Network):
    """TARNet: of a treatment effect one head answers for each arm, others for the propensity.

    Arms learn what they share from all samples, and only from their own what they do not. A head
    adds a linear sum of the features to what its layers say (Cheng et al. 2016), so that they have
    only to learn where an outcome is not linear.
    """

    class Options(DenseOptions):
        """What can be chosen; `hidden` are the trunk's layers."""

        heads: tuple[int, ...] = Field((32,), description="units of each layer of a head")
        linear: bool = Field(True, description="heads add a linear sum of the features")

    answers: ClassVar[frozenset[Answers]] = frozenset({"sample"})
    takes: ClassVar[str] = "table"

    def __init__(self, options: Options, in_channels: int, out_channels: int) -> None:
        super().__init__()
        *inner, width = options.hidden or (in_channels,)
        self.trunk: nn.Module = nn.Identity()
        if options.hidden:
            trunk = options.model_copy(update={"hidden": tuple(inner)})
            layers = dense_layers(trunk, in_channels, width)
            self.trunk = nn.Sequential(layers, nn.ELU(), nn.Dropout(options.dropout))
        own = options.model_copy(update={"hidden": options.heads, "input_dropout": 0.0})
        self.heads = nn.ModuleList(dense_layers(own, width, 1) for _ in range(out_channels))
        self.linear = nn.Linear(in_channels, out_channels, bias=False) if options.linear else None

    @classmethod
    def build(
        cls,
        options: ModelOptions,
        in_channels: int,
        out_channels: int,
        patch: tuple[int, ...] | None,
    ) -> Self:
        """See `Network.build`."""
        return cls(cast("Tarnet.Options", options), in_channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels) to (B, out_channels)."""
        shared = self.trunk(x)
        logits = torch.cat([head(shared) for head in self.heads], 1)
        return logits if self.linear is None else logits + self.linear(x)
