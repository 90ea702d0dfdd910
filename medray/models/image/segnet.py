"""SegNet in 2-D and 3-D: the decoder upsamples with the positions that the encoder's pools kept."""

from itertools import pairwise
from typing import ClassVar, Self, cast

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from medray.errors import SpecError
from medray.models.base import Answers, ModelOptions
from medray.models.image.base import (
    ImageNetwork,
    ImageOptions,
    divisor_of,
    level_steps,
    pool_steps,
    start_weights,
)
from medray.models.image.layers import ConvNorm, Norm, conv, dropout, max_pool


class SegNet(ImageNetwork):
    """Encoder, and a decoder that unpools by index (Badrinarayanan et al. 2017).

    Each max pool hands the position of each maximum to the unpooling of its level, which puts
    values back there and zeros elsewhere; convolutions then fill the gaps. No features are
    skipped across, so its memory is smaller than a U-Net's. The paper's encoder is VGG-16, which
    is the 2-D default here; the bottom is at the last pool, as in the paper.
    """

    class Options(ImageOptions):
        """What can be chosen."""

        features: tuple[int, ...] | None = Field(
            None, min_length=1, description="channels per level; 64…512 in 2-D, 32…256 in 3-D"
        )
        convs: tuple[int, ...] | None = Field(
            None, description="convolutions per level; 2,2,3,3,3 as in VGG-16"
        )
        norm: Norm = Field("batch", description="normalisation after each convolution")
        dropout: float = Field(
            0.0, ge=0, lt=1, description="share of channels dropped on the two deepest levels"
        )

    answers: ClassVar[frozenset[Answers]] = frozenset({"place", "restored"})

    def __init__(
        self,
        options: Options,
        in_channels: int,
        out_channels: int,
        features: tuple[int, ...],
        convs: tuple[int, ...],
        steps: list[tuple[int, ...]],
    ) -> None:
        super().__init__()
        dims = options.dims
        self.divisor = divisor_of(steps, dims)
        self.feature_maps = tuple(f"encoder.{index}" for index in range(len(features)))
        self.steps = steps

        def level(channels: list[int], index: int) -> nn.Module:
            layers: list[nn.Module] = [
                ConvNorm(dims, inward, outward, norm_kind=options.norm)
                for inward, outward in pairwise(channels)
            ]
            if options.dropout and index >= len(features) - 2:
                layers.append(dropout(dims, options.dropout))
            return nn.Sequential(*layers)

        above = [in_channels, *features]
        self.encoder = nn.ModuleList(
            level([above[index], *[features[index]] * convs[index]], index)
            for index in range(len(features))
        )
        self.pools = nn.ModuleList(max_pool(dims, step, indices=True) for step in steps)
        # The last convolution of a level narrows to the channels of the level above it; at full
        # resolution the classifier takes its place, as in the paper.
        narrow = [features[0], *features[:-1]]
        self.decoder = nn.ModuleList(
            level([features[index]] * convs[index] + [narrow[index]] * (index > 0), index)
            for index in range(len(features) - 1, -1, -1)
        )
        start_weights(self)
        self.head = conv(dims, features[0], out_channels, 3)

    @classmethod
    def build(
        cls,
        options: ModelOptions,
        in_channels: int,
        out_channels: int,
        patch: tuple[int, ...] | None,
    ) -> Self:
        """See `Network.build`. Default features are cut to what the patch can be halved."""
        chosen = cast("SegNet.Options", options)
        dims = chosen.dims
        features = chosen.features
        if features is None:
            features = (64, 128, 256, 512, 512) if dims == 2 else (32, 64, 128, 256)
            features = features[: len(pool_steps(patch, dims, len(features) + 1))]
        convs = chosen.convs or (2, 2, *(3,) * len(features))[: len(features)]
        if len(convs) != len(features):
            raise SpecError(
                f"{len(convs)} values of convs for {len(features)} levels",
                code="levels-mismatch",
                about="segnet",
                hint="give one number of convolutions per level",
            )
        # One pool per level, the deepest too, so there is one more resolution than levels.
        steps = level_steps(patch, dims, (*features, 0), about="segnet")
        return cls(chosen, in_channels, out_channels, features, convs, steps)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, out_channels, *spatial).

        Raises:
            SpecError: a size is no multiple of `divisor` (code "indivisible-shape").
        """
        self.check_input(x)
        unpool = functional.max_unpool3d if x.dim() == 5 else functional.max_unpool2d
        positions: list[Tensor] = []
        for level, pool in zip(self.encoder, self.pools, strict=True):
            x, where = pool(level(x))
            positions.append(where)
        for level, step in zip(self.decoder, reversed(self.steps), strict=True):
            x = level(unpool(x, positions.pop(), step))
        logits: Tensor = self.head(x)
        return logits
