"""U-Net in 2-D and 3-D: the network of Ronneberger et al. 2015 and that of nnU-Net."""

from typing import ClassVar, Literal, Self, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from medray.errors import SpecError
from medray.models.base import Answers, Logits, ModelOptions
from medray.models.image.base import (
    ImageNetwork,
    ImageOptions,
    divisor_of,
    level_steps,
    pool_steps,
    start_weights,
)
from medray.models.image.layers import ConvNorm, Norm, Residual, conv, max_pool, upsample
from medray.models.image.residual import residual_level

# nnU-Net's leaky ReLU; the paper of 2015 has plain ReLU.
SLOPE = {"dynunet": 0.01, "resenc": 0.01, "ronneberger": 0.0}
BLOCKS = (1, 3, 4, 6, 6, 6)  # of the residual encoder, by level


class UNet(ImageNetwork):
    """Encoder and decoder with skip connections.

    `ronneberger`: 64…1024 features, two convolutions per level, max pooling, ReLU, dropout 0.5 on
    the two deepest levels. Convolutions are padded, so that output and input have one size, and
    batch-normalised; the paper did neither.

    `dynunet`: as in nnU-Net (Isensee et al. 2021): 32 features doubling to at most 320 (512 in
    2-D), strided convolutions, instance normalisation, leaky ReLU.

    `resenc`: the same with a residual encoder (Isensee et al. 2024, arXiv 2404.09556): a
    convolution, then levels of 1, 3, 4, 6, 6 and 6 residual blocks, whose shortcuts are pooled
    where the level is; one convolution per level of the decoder.
    """

    class Options(ImageOptions):
        """What can be chosen; None takes the preset's value."""

        preset: Literal["dynunet", "resenc", "ronneberger"] = Field(
            "dynunet",
            description="family: nnU-Net's network, that with a residual encoder, or that of the "
            "paper of 2015",
        )
        features: tuple[int, ...] | None = Field(
            None, min_length=2, description="channels per level, full resolution first"
        )
        convs: int | None = Field(
            None, ge=1, le=6, description="convolutions per level; of resenc in the decoder"
        )
        blocks: tuple[int, ...] | None = Field(
            None, description="of resenc: residual blocks per level, full resolution first"
        )
        norm: Norm | None = Field(None, description="normalisation after each convolution")
        dropout: float | None = Field(
            None, ge=0, lt=1, description="share of channels dropped on the two deepest levels"
        )
        residual: bool = Field(
            False, description="shortcuts around the encoder's levels; resenc has its own"
        )
        deep_supervision: bool = Field(
            False, description="logits of every decoder level while training"
        )

    answers: ClassVar[frozenset[Answers]] = frozenset({"place", "restored"})

    def __init__(
        self,
        options: Options,
        in_channels: int,
        out_channels: int,
        features: tuple[int, ...],
        steps: list[tuple[int, ...]],
    ) -> None:
        super().__init__()
        dims, paper = options.dims, options.preset == "ronneberger"
        slope = SLOPE[options.preset]
        kind: Norm = options.norm or ("batch" if paper else "instance")
        drop = options.dropout if options.dropout is not None else 0.5 * paper
        self.divisor = divisor_of(steps, dims)
        self.feature_maps = tuple(f"encoder.{index}" for index in range(len(features)))
        blocks = (options.blocks or BLOCKS) if options.preset == "resenc" else ()
        count = options.convs or (1 if blocks else 2)
        if blocks and len(blocks) < len(features):
            raise SpecError(
                f"{len(features)} levels need as many numbers of blocks",
                code="bad-blocks",
                about="blocks",
                hint=f"give {len(features)}",
            )

        def level(inward: int, index: int, *, encoder: bool) -> nn.Module:
            outward = features[index]
            pooled = encoder and index > 0
            step = steps[index - 1] if pooled else (1,) * dims
            deep = drop if encoder and index >= len(features) - 2 else 0.0
            stride = (1,) * dims if paper else step
            if encoder and blocks:
                return residual_level(
                    dims, inward, outward, blocks[index], stride, stem=not index, norm_kind=kind,
                    slope=slope, drop=deep,
                )  # fmt: skip
            residual = encoder and options.residual
            convs = nn.Sequential()
            for turn in range(count):
                last = turn == count - 1
                convs.append(
                    ConvNorm(
                        dims,
                        outward if turn else inward,
                        outward,
                        norm_kind=kind,
                        stride=1 if turn else stride,
                        slope=None if residual and last else slope,
                        drop=deep if last else 0.0,
                    )
                )
            body: nn.Module = convs
            if residual:
                body = Residual(
                    dims, inward, outward, convs, norm_kind=kind, stride=stride, slope=slope
                )
            return nn.Sequential(max_pool(dims, step), body) if paper and pooled else body

        inward = [in_channels, *features]
        self.encoder = nn.ModuleList(
            level(inward[index], index, encoder=True) for index in range(len(features))
        )
        upward = range(len(features) - 2, -1, -1)
        self.ups = nn.ModuleList(
            upsample(dims, features[index + 1], features[index], steps[index]) for index in upward
        )
        self.decoder = nn.ModuleList(
            level(2 * features[index], index, encoder=False) for index in upward
        )
        start_weights(self, slope)
        supervised = features[:-1] if options.deep_supervision else features[:1]
        # Heads keep torch's small uniform start: Kaiming's variance suits a rectifier, not logits.
        self.heads = nn.ModuleList(conv(dims, channels, out_channels, 1) for channels in supervised)

    @classmethod
    def build(
        cls,
        options: ModelOptions,
        in_channels: int,
        out_channels: int,
        patch: tuple[int, ...] | None,
    ) -> Self:
        """See `Network.build`. Of the preset's features, as many as the patch can be halved."""
        chosen = cast("UNet.Options", options)
        features = chosen.features
        if features is None:
            if chosen.preset == "ronneberger":
                features = (64, 128, 256, 512, 1024)
            else:
                most = 320 if chosen.dims == 3 else 512
                features = tuple(min(32 << level, most) for level in range(6))
            features = features[: len(pool_steps(patch, chosen.dims, len(features))) + 1]
        steps = level_steps(patch, chosen.dims, features, about="unet")
        return cls(chosen, in_channels, out_channels, features, steps)

    def forward(self, x: Tensor) -> Logits:
        """Logits (B, out_channels, *spatial); with deep supervision, in train mode, a list of them
        whose later members are smaller by the pooling factors.

        Raises:
            SpecError: a size is no multiple of `divisor` (code "indivisible-shape").
        """
        self.check_input(x)
        skips: list[Tensor] = []
        for level in self.encoder:
            x = level(x)
            skips.append(x)
        skips.pop()
        outputs: list[Tensor] = []
        for index, (up, level) in enumerate(zip(self.ups, self.decoder, strict=True)):
            x = level(torch.cat([skips.pop(), up(x)], dim=1))
            resolution = len(self.decoder) - 1 - index
            if resolution == 0 or (self.training and resolution < len(self.heads)):
                outputs.append(self.heads[resolution](x))
        return outputs[::-1] if len(outputs) > 1 else outputs[0]
