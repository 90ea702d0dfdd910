"""A plain convolutional classifier in 2-D and 3-D, for small images and small data."""

from typing import ClassVar, Self, cast

from pydantic import Field
from torch import Tensor, nn

from medray.models.base import Answers, ModelOptions
from medray.models.image.base import ImageNetwork, ImageOptions, level_steps, start_weights
from medray.models.image.layers import ConvNorm, Norm, dropout, max_pool, whole_head


class Cnn(ImageNetwork):
    """Levels of convolutions with a max pool between them, a global mean, one linear layer."""

    class Options(ImageOptions):
        """What can be chosen."""

        features: tuple[int, ...] = Field(
            (32, 64, 128), min_length=1, description="channels per level"
        )
        convs: int = Field(2, ge=1, le=6, description="convolutions per level")
        norm: Norm = Field("batch", description="normalisation after each convolution")
        dropout: float = Field(
            0.0, ge=0, lt=1, description="share dropped: channels after each level, and at the end"
        )

    answers: ClassVar[frozenset[Answers]] = frozenset({"sample"})

    def __init__(
        self,
        options: Options,
        in_channels: int,
        out_channels: int,
        steps: list[tuple[int, ...]],
    ) -> None:
        super().__init__()
        dims, features = options.dims, options.features
        self.divisor = (1,) * dims
        layers: list[nn.Module] = []
        ends = []
        inward = in_channels
        for index, outward in enumerate(features):
            if index:
                layers.append(max_pool(dims, steps[index - 1]))
            for _ in range(options.convs):
                layers.append(ConvNorm(dims, inward, outward, norm_kind=options.norm))
                inward = outward
            if options.dropout:
                layers.append(dropout(dims, options.dropout))
            ends.append(len(layers) - 1)
        self.body = nn.Sequential(*layers)
        self.feature_maps = tuple(f"body.{end}" for end in ends)
        start_weights(self)
        self.head = whole_head(dims, inward, out_channels, options.dropout)

    @classmethod
    def build(
        cls,
        options: ModelOptions,
        in_channels: int,
        out_channels: int,
        patch: tuple[int, ...] | None,
    ) -> Self:
        """See `Network.build`."""
        chosen = cast("Cnn.Options", options)
        steps = level_steps(patch, chosen.dims, chosen.features, about="cnn")
        return cls(chosen, in_channels, out_channels, steps)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, *spatial) to logits (B, out_channels)."""
        logits: Tensor = self.head(self.body(x))
        return logits
