"""Building blocks of the networks, the same in 2-D and 3-D."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Norm = Literal["instance", "batch", "group", "none"]

GROUPS = 8


def conv(dims: int, inward: int, outward: int, kernel: int = 3, stride: int | tuple[int, ...] = 1,
         *, bias: bool = True) -> nn.Module:  # fmt: skip
    """Convolution that keeps the size at stride 1 (odd kernels) and halves it at stride 2."""
    make = nn.Conv3d if dims == 3 else nn.Conv2d
    return make(inward, outward, kernel, stride, padding=kernel // 2, bias=bias)  # type: ignore[arg-type]


def upsample(dims: int, inward: int, outward: int, step: tuple[int, ...]) -> nn.Module:
    """Transposed convolution that undoes a pooling by `step`, without overlap."""
    make = nn.ConvTranspose3d if dims == 3 else nn.ConvTranspose2d
    return make(inward, outward, step, step)  # type: ignore[arg-type]


def max_pool(dims: int, step: tuple[int, ...], *, indices: bool = False) -> nn.Module:
    """Max pooling by `step`; with `indices` it answers (values, flat positions) for unpooling."""
    make = nn.MaxPool3d if dims == 3 else nn.MaxPool2d
    return make(step, step, return_indices=indices)


def mean_pool(dims: int, step: int | tuple[int, ...]) -> nn.Module:
    """Mean pooling by `step`."""
    make = nn.AvgPool3d if dims == 3 else nn.AvgPool2d
    return make(step, step)  # type: ignore[arg-type]


def global_pool(dims: int) -> nn.Module:
    """Mean over all spatial axes: (B, C, *spatial) to (B, C)."""
    make = nn.AdaptiveAvgPool3d if dims == 3 else nn.AdaptiveAvgPool2d
    return nn.Sequential(make(1), nn.Flatten())


def whole_head(dims: int, inward: int, out_channels: int, drop: float) -> nn.Module:
    """Logits of a whole image: the mean over space, dropout, one linear layer."""
    return nn.Sequential(global_pool(dims), nn.Dropout(drop), nn.Linear(inward, out_channels))


class _BySample:
    """Instance norm; of what lies channels-last on a CPU sample by sample, as batch norm has it.

    The same function. torch's instance norm copies such a tensor into the other layout, and the
    convolutions on either side copy it back: a step of a 3-D U-Net in bf16 takes a quarter longer.
    """

    weight: nn.Parameter
    bias: nn.Parameter
    eps: float

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, *space), of the same shape and layout."""
        if x.device.type != "cpu" or x.is_contiguous():
            normed: Tensor = super().forward(x)  # type: ignore[misc]
            return normed
        each = [
            functional.batch_norm(
                one, None, None, self.weight, self.bias, training=True, eps=self.eps
            )
            for one in torch.split(x, 1)
        ]
        return torch.cat(each)


class InstanceNorm2d(_BySample, nn.InstanceNorm2d):
    """In 2-D."""


class InstanceNorm3d(_BySample, nn.InstanceNorm3d):
    """In 3-D."""


def norm(dims: int, kind: Norm, channels: int) -> nn.Module:
    """Normalisation with learnt scale and shift.

    Group norm takes 8 groups, or one per channel where 8 does not divide the channels.
    """
    if kind == "none":
        return nn.Identity()
    if kind == "group":
        return nn.GroupNorm(GROUPS if channels % GROUPS == 0 else channels, channels)
    if kind == "batch":
        return nn.BatchNorm3d(channels) if dims == 3 else nn.BatchNorm2d(channels)
    make = InstanceNorm3d if dims == 3 else InstanceNorm2d
    return make(channels, affine=True)


def dropout(dims: int, share: float) -> nn.Module:
    """Dropout of whole channels: neighbouring voxels are too alike for dropping single ones."""
    if share == 0:
        return nn.Identity()
    return nn.Dropout3d(share) if dims == 3 else nn.Dropout2d(share)


class ConvNorm(nn.Sequential):
    """Convolution, normalisation, dropout, (leaky) ReLU.

    Args:
        slope: negative slope of the activation; 0 for plain ReLU, None for no activation.
    """

    def __init__(
        self,
        dims: int,
        inward: int,
        outward: int,
        *,
        norm_kind: Norm,
        kernel: int = 3,
        stride: int | tuple[int, ...] = 1,
        slope: float | None = 0.0,
        drop: float = 0.0,
    ) -> None:
        # A bias before a normalisation is taken out again by its mean.
        layers = [
            conv(dims, inward, outward, kernel, stride, bias=norm_kind == "none"),
            norm(dims, norm_kind, outward),
            dropout(dims, drop),
        ]
        if slope is not None:
            layers.append(nn.LeakyReLU(slope, inplace=True) if slope else nn.ReLU(inplace=True))
        super().__init__(*(layer for layer in layers if not isinstance(layer, nn.Identity)))


class Residual(nn.Module):
    """Body plus shortcut, then the activation (He et al. 2016).

    The shortcut is the identity where shapes agree, else a 1x1 convolution with normalisation,
    strided as the body. With `pooled` the mean is taken over what a stride leaves out, and channels
    are convolved only where they differ (ResNet-D, He et al. 2019).
    """

    def __init__(
        self,
        dims: int,
        inward: int,
        outward: int,
        body: nn.Module,
        *,
        norm_kind: Norm,
        stride: int | tuple[int, ...] = 1,
        slope: float = 0.0,
        pooled: bool = False,
    ) -> None:
        super().__init__()
        self.body = body
        strided = stride > 1 if isinstance(stride, int) else max(stride) > 1
        shortcut = nn.Sequential()
        if strided and pooled:
            shortcut.append(mean_pool(dims, stride))
            strided, stride = False, 1
        if strided or inward != outward:
            fitted = ConvNorm(
                dims, inward, outward, norm_kind=norm_kind, kernel=1, stride=stride, slope=None
            )
            shortcut.append(fitted)
        self.shortcut = shortcut[0] if len(shortcut) == 1 else shortcut
        self.activation = nn.LeakyReLU(slope, inplace=True) if slope else nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inward, *spatial) to (B, outward, *spatial / stride)."""
        total: Tensor = self.activation(self.body(x) + self.shortcut(x))
        return total
