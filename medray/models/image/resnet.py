"""ResNet classifiers in 2-D and 3-D."""

from typing import ClassVar, Literal, Self, cast

from pydantic import Field
from torch import Tensor, nn

from medray.models.base import Answers, ModelOptions
from medray.models.image.base import ImageNetwork, ImageOptions, start_weights
from medray.models.image.layers import ConvNorm, Norm, Residual, whole_head

BLOCKS = {10: (1, 1, 1, 1), 18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}

# Below this size the stem of ImageNet (stride 2, then a pool) would leave less than 16 voxels.
SMALL_SIZE = 64


class ResNet(ImageNetwork):
    """Residual network (He et al. 2016), depth 10, 18, 34 (two 3x3 convolutions per block) or 50
    (bottlenecks, four times as wide at their ends)."""

    class Options(ImageOptions):
        """What can be chosen."""

        depth: Literal[10, 18, 34, 50] = Field(18, description="layers with weights")
        width: int = Field(64, ge=4, description="channels of the first stage; doubles thrice")
        stem: Literal["auto", "small", "large"] = Field(
            "auto",
            description="small: 3x3 at full resolution, for patches below 64; large: 7x7 at "
            "stride 2 and a pool, as for ImageNet; auto looks at the patch",
        )
        norm: Norm = Field("batch", description="normalisation after each convolution")
        dropout: float = Field(0.0, ge=0, lt=1, description="dropout before the last layer")

    answers: ClassVar[frozenset[Answers]] = frozenset({"sample"})

    def __init__(
        self, options: Options, in_channels: int, out_channels: int, *, small: bool
    ) -> None:
        super().__init__()
        dims, kind, width = options.dims, options.norm, options.width
        self.divisor = (1,) * dims
        self.feature_maps = tuple(f"stages.{stage}" for stage in range(len(BLOCKS[options.depth])))
        self.stem = (
            ConvNorm(dims, in_channels, width, norm_kind=kind)
            if small
            else nn.Sequential(
                ConvNorm(dims, in_channels, width, norm_kind=kind, kernel=7, stride=2),
                (nn.MaxPool3d if dims == 3 else nn.MaxPool2d)(3, 2, padding=1),
            )
        )
        bottleneck = options.depth == 50
        inward = width
        stages = []
        for stage, count in enumerate(BLOCKS[options.depth]):
            inner = width << stage
            outward = inner * (4 if bottleneck else 1)
            blocks = []
            for index in range(count):
                stride = 2 if stage and index == 0 else 1
                blocks.append(_block(dims, inward, inner, outward, stride, kind))
                inward = outward
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.Sequential(*stages)
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
        chosen = cast("ResNet.Options", options)
        small = chosen.stem == "small" or (
            chosen.stem == "auto" and patch is not None and max(patch) < SMALL_SIZE
        )
        return cls(chosen, in_channels, out_channels, small=small)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, *spatial) of any size to logits (B, out_channels)."""
        logits: Tensor = self.head(self.stages(self.stem(x)))
        return logits


def _block(dims: int, inward: int, inner: int, outward: int, stride: int, kind: Norm) -> Residual:
    """A basic block where inner equals outward, else a bottleneck with its stride on the 3x3."""
    if inner == outward:
        body = nn.Sequential(
            ConvNorm(dims, inward, inner, norm_kind=kind, stride=stride),
            ConvNorm(dims, inner, outward, norm_kind=kind, slope=None),
        )
    else:
        body = nn.Sequential(
            ConvNorm(dims, inward, inner, norm_kind=kind, kernel=1),
            ConvNorm(dims, inner, inner, norm_kind=kind, stride=stride),
            ConvNorm(dims, inner, outward, norm_kind=kind, kernel=1, slope=None),
        )
    return Residual(dims, inward, outward, body, norm_kind=kind, stride=stride)
