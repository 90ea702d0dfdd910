"""A detector of centres and sizes in 2-D and 3-D."""

from typing import ClassVar, Literal, Self, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from medray.models.base import Answers, ModelOptions
from medray.models.image.base import (
    ImageNetwork,
    ImageOptions,
    divisor_of,
    level_steps,
    start_weights,
)
from medray.models.image.layers import ConvNorm, Norm, Residual, conv

PRIOR = -2.19  # logit of 0.1: a heat map begins nearly empty, as in Lin et al. 2017
HALF = 1.1  # logarithm of 3 cells: how far a face lies from a centre before anything is learnt


class CenterNet(ImageNetwork):
    """Objects as points (Zhou et al. 2019): a heat map of centres per class, and from every cell
    the distances to the faces of its box (Liu et al. 2020).

    The encoder is residual, the decoder adds what is upsampled to what the encoder had at the same
    resolution (Lin et al. 2017, feature pyramids), down to cells of `stride` voxels.
    """

    class Options(ImageOptions):
        """What can be chosen."""

        features: tuple[int, ...] = Field(
            (16, 32, 64, 128, 256), min_length=2, description="channels per level, full size first"
        )
        blocks: int = Field(1, ge=1, le=8, description="residual blocks per level")
        width: int = Field(64, ge=4, description="channels of the decoder and before each answer")
        stride: Literal[1, 2, 4, 8] = Field(
            4, description="voxels of a cell along an axis that is halved so often"
        )
        norm: Norm = Field("batch", description="normalisation after each convolution")

    answers: ClassVar[frozenset[Answers]] = frozenset({"objects"})

    def __init__(
        self, options: Options, in_channels: int, kinds: int, steps: list[tuple[int, ...]]
    ) -> None:
        super().__init__()
        dims, kind = options.dims, options.norm
        features, width = options.features, options.width
        self.divisor = divisor_of(steps, dims)
        self.finest = min(options.stride.bit_length() - 1, len(steps))
        self.stem = ConvNorm(dims, in_channels, features[0], norm_kind=kind)
        self.encoder = nn.ModuleList(
            nn.Sequential(
                *(
                    _block(dims, features[at + bool(turn)], features[at + 1], kind, step, turn)
                    for turn in range(options.blocks)
                )
            )
            for at, step in enumerate(steps)
        )
        self.sides = nn.ModuleList(
            conv(dims, features[at], width, 1) for at in range(self.finest, len(features))
        )
        self.smooth = nn.ModuleList(
            ConvNorm(dims, width, width, norm_kind=kind) for _ in range(len(steps) - self.finest)
        )
        self.heads = nn.ModuleList(
            nn.Sequential(ConvNorm(dims, width, width, norm_kind=kind), conv(dims, width, out, 1))
            for out in (kinds, 2 * dims)
        )
        start_weights(self)
        for head, bias in zip(self.heads, (PRIOR, HALF), strict=True):
            last = cast("nn.Conv2d", cast("nn.Sequential", head)[1])
            nn.init.normal_(last.weight, std=0.01)
            nn.init.constant_(cast("Tensor", last.bias), bias)

    @classmethod
    def build(
        cls,
        options: ModelOptions,
        in_channels: int,
        out_channels: int,
        patch: tuple[int, ...] | None,
    ) -> Self:
        """See `Network.build`; `out_channels` are classes of objects."""
        chosen = cast("CenterNet.Options", options)
        steps = level_steps(patch, chosen.dims, chosen.features, about="centernet")
        return cls(chosen, in_channels, out_channels, steps)

    def forward(self, x: Tensor) -> Tensor:
        """Of images (B, in_channels, *spatial), in cells of `stride` voxels: logits of a centre for
        each class, then logarithms of distances, in cells, to the faces towards 0 of each axis and
        to those opposite: (B, classes + 2 * axes, *cells).

        Raises:
            SpecError: a size is no multiple of `divisor` (code "indivisible-shape").
        """
        self.check_input(x)
        levels = [self.stem(x)]
        for level in self.encoder:
            levels.append(level(levels[-1]))
        sides = [side(y) for side, y in zip(self.sides, levels[self.finest :], strict=True)]
        y = sides.pop()
        for smooth in self.smooth:
            side = sides.pop()
            y = smooth(functional.interpolate(y, side.shape[2:], mode="nearest") + side)
        heat, faces = (head(y) for head in self.heads)
        return torch.cat([heat, faces], dim=1)


def _block(
    dims: int, inward: int, outward: int, kind: Norm, step: tuple[int, ...], turn: int
) -> Residual:
    stride = (1,) * dims if turn else step
    body = nn.Sequential(
        ConvNorm(dims, inward, outward, norm_kind=kind, stride=stride),
        ConvNorm(dims, outward, outward, norm_kind=kind, slope=None),
    )
    return Residual(dims, inward, outward, body, norm_kind=kind, stride=stride)
