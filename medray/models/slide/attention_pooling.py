"""Tiles pooled by gated attention to a slide."""

from typing import Any, Self, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from medray.errors import SpecError
from medray.models import MODELS, model_options
from medray.models.base import ModelOptions
from medray.models.image.base import ImageNetwork
from medray.models.slide.base import SlideNetwork


class AttentionPooling(SlideNetwork):
    """Attention-based multiple-instance learning with the gate (Ilse et al. 2018, eq. 9): weights
    are softmax(w · (tanh(V h) * sigmoid(U h))) over the tiles of a slide. A tile's own logits are
    what the slide would get of that tile alone."""

    class Options(ModelOptions):
        """What can be chosen."""

        trunk: dict[str, Any] = Field(
            {"name": "resnet", "depth": 10, "width": 32},
            description="any network that answers for whole images: its name and options",
        )
        width: int = Field(128, ge=1, description="of a tile's embedding")
        attention: int = Field(
            64, ge=0, description="units of the gated attention; 0: the mean of all tiles"
        )
        dropout: float = Field(0.1, ge=0, lt=1, description="before the last layer")

    def __init__(self, options: Options, trunk: ImageNetwork, out_channels: int) -> None:
        super().__init__()
        width, units = options.width, options.attention
        self.trunk = trunk
        self.gate = self.value = self.score = None
        if units:
            self.value, self.gate = nn.Linear(width, units), nn.Linear(width, units)
            self.score = nn.Linear(units, 1, bias=False)
        self.head = nn.Sequential(nn.Dropout(options.dropout), nn.Linear(width, out_channels))

    @classmethod
    def build(
        cls,
        options: ModelOptions,
        in_channels: int,
        out_channels: int,
        patch: tuple[int, ...] | None,
    ) -> Self:
        """See `Network.build`.

        Raises:
            SpecError: the trunk does not answer for whole images (code "wrong-trunk").
        """
        chosen = cast("AttentionPooling.Options", options)
        kind = MODELS.get(str(chosen.trunk.get("name")))
        if kind.takes != ImageNetwork.takes or "sample" not in kind.answers:
            raise SpecError(
                "the trunk does not answer for whole images",
                code="wrong-trunk",
                about="attention-pooling",
                hint="such as `trunk: {name: resnet, depth: 18}`",
            )
        inner = model_options(chosen.trunk, dims=2)
        trunk = kind.build(inner, in_channels, chosen.width, patch)
        return cls(chosen, cast("ImageNetwork", trunk), out_channels)

    def embed(self, tiles: Tensor) -> Tensor:
        """See SlideNetwork."""
        return torch.relu(self.trunk(tiles))

    def weigh(self, embedded: Tensor) -> Tensor:
        """See SlideNetwork."""
        if self.value is None or self.gate is None or self.score is None:
            return embedded.new_zeros(len(embedded))
        gated = torch.tanh(self.value(embedded)) * torch.sigmoid(self.gate(embedded))
        scores: Tensor = self.score(gated)[:, 0]
        return scores

    def decide(self, embedded: Tensor) -> Tensor:
        """See SlideNetwork."""
        logits: Tensor = self.head(embedded)
        return logits
