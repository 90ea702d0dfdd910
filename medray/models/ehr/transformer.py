"""A transformer encoder over events."""

from collections.abc import Mapping

from pydantic import Field, model_validator
from torch import Tensor, nn

from medray.models.ehr.base import RecordNetwork, RecordOptions, pooled


class RecordTransformer(RecordNetwork):
    """Encoder with the norm before each part (Xiong et al. 2020); when an event was is told by its
    time alone, not by its place. The mean and the largest of all states go into one layer."""

    class Options(RecordOptions):
        """What can be chosen."""

        layers: int = Field(2, ge=1, le=24)
        heads: int = Field(4, ge=1)
        expand: int = Field(2, ge=1, description="inner layer of a block ÷ width")

        @model_validator(mode="after")
        def _fits(self) -> "RecordTransformer.Options":
            if self.width % self.heads:
                raise ValueError("width is a multiple of the heads")
            return self

    def __init__(self, options: Options, out_channels: int) -> None:
        super().__init__(options, out_channels)
        width = options.width
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
        self.head = nn.Linear(2 * width, out_channels)

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """A batch to logits (B, out_channels)."""
        x, there = self.embedded(inputs)
        # Who has no event at all looks at padding, or attention would be of nothing.
        hidden = ~there & there.any(1)[:, None]
        for block in self.blocks:
            x = block(x, src_key_padding_mask=hidden)
        logits: Tensor = self.head(self.dropout(pooled(self.norm(x), there)))
        return logits
