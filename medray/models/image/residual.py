"""Levels of a residual encoder."""

from torch import nn

from medray.models.image.layers import ConvNorm, Norm, Residual


def residual_level(
    dims: int,
    inward: int,
    outward: int,
    blocks: int,
    stride: tuple[int, ...],
    *,
    stem: bool,
    norm_kind: Norm,
    slope: float,
    drop: float,
) -> nn.Module:
    """Residual blocks of two convolutions each, the first one strided (He et al. 2016).

    Args:
        dims: axes of space.
        inward: channels that come in.
        outward: channels of all blocks.
        blocks: how many.
        stride: of the first.
        stem: begin with a convolution, as the first level does.
        norm_kind: behind each convolution.
        slope: of leaky ReLU.
        drop: share of channels dropped in each block.
    """
    level = nn.Sequential()
    if stem:
        level.append(ConvNorm(dims, inward, outward, norm_kind=norm_kind, slope=slope))
    for turn in range(blocks):
        came = outward if turn or stem else inward
        step = (1,) * dims if turn else stride
        body = nn.Sequential(
            ConvNorm(dims, came, outward, norm_kind=norm_kind, stride=step, slope=slope),
            ConvNorm(dims, outward, outward, norm_kind=norm_kind, slope=None, drop=drop),
        )
        level.append(
            Residual(
                dims, came, outward, body, norm_kind=norm_kind, stride=step, slope=slope,
                pooled=True,
            )
        )  # fmt: skip
    return level
