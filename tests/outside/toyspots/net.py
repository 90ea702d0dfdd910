"""The network `spotnet`: a mean over the points of each sample, of layers over each point."""

from collections.abc import Mapping
from typing import ClassVar, Self, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from medray.models.base import Answers, ModelOptions, Network


class SpotNet(Network):
    """Takes {"points": (ΣN, 2), "of": (ΣN,), "count": (B,)}: the points of B samples on end."""

    class Options(ModelOptions):
        """What can be chosen."""

        width: int = Field(8, ge=1, description="of the layers")

    takes: ClassVar[str] = "spots"
    answers: ClassVar[frozenset[Answers]] = frozenset({"sample"})

    def __init__(self, options: Options, out: int) -> None:
        super().__init__()
        self.each = nn.Sequential(nn.Linear(2, options.width), nn.Tanh())
        self.head = nn.Linear(options.width + 1, out)

    @classmethod
    def build(
        cls, options: ModelOptions, inward: int, outward: int, patch: tuple[int, ...] | None
    ) -> Self:
        """See Network."""
        return cls(cast("SpotNet.Options", options), outward)

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Logits (B, out)."""
        count = inputs["count"].float()[:, None]
        each = self.each(inputs["points"])
        total = each.new_zeros(len(count), each.shape[1]).index_add(0, inputs["of"], each)
        logits: Tensor = self.head(torch.cat([total / count.clamp(1), count / 10], 1))
        return logits
