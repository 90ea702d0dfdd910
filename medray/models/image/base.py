"""What networks of images share: spatial axes, how often each is halved, weights to start from."""

import math
from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from medray.errors import SpecError
from medray.models.base import ModelOptions, Network


class ImageOptions(ModelOptions):
    """Base of the options of networks of images."""

    planned: ClassVar[frozenset[str]] = frozenset({"dims"})

    dims: Literal[2, 3] = Field(2, description="spatial axes of a sample: Y,X or Z,Y,X")


class ImageNetwork(Network):
    """A network of images: (B, in_channels, *spatial), each spatial size a multiple of `divisor`.

    A segmenter answers with logits (B, out_channels, *spatial); in train mode one with deep
    supervision answers with a list of them, full resolution first. A classifier answers
    (B, out_channels) and takes any size.
    """

    takes: ClassVar[str] = "image"

    divisor: tuple[int, ...] = ()
    """Sizes that `forward` takes are multiples of this, by axis; tiling rounds up to it."""

    feature_maps: tuple[str, ...] = ()
    """Modules whose outputs (B, K, *smaller) are maps of features, each coarser than the one before
    or as coarse; the last is the deepest. Empty: it has none."""

    def check_input(self, x: Tensor) -> None:
        """Refuse sizes that pools and upsampling would not bring back.

        Raises:
            SpecError: a spatial size is no multiple of `divisor` (code "indivisible-shape").
        """
        spatial = tuple(x.shape[2:])
        if len(spatial) != len(self.divisor) or any(
            size % step for size, step in zip(spatial, self.divisor, strict=True)
        ):
            raise SpecError(
                f"input of size {spatial} is no multiple of {self.divisor}",
                code="indivisible-shape",
                about=type(self).__name__,
                hint="pad the input, or choose a patch that is a multiple",
            )


def pool_steps(
    patch: tuple[int, ...] | None, dims: int, levels: int, *, smallest: int = 4
) -> list[tuple[int, ...]]:
    """Pooling factors between `levels` resolutions, 2 or 1 per axis.

    An axis is halved while at least `smallest` voxels remain, the rule of nnU-Net (Isensee et al.
    2021), so a patch of 8 x 64 x 64 is pooled once along its first axis and four times along the
    others.

    Returns:
        At most levels - 1 steps: fewer where the patch has no axis left to halve.
    """
    if patch is None:
        return [(2,) * dims] * (levels - 1)
    steps = []
    size = patch
    for _ in range(levels - 1):
        step = tuple(2 if axis >= 2 * smallest else 1 for axis in size)
        if max(step) == 1:
            break
        steps.append(step)
        size = tuple(math.ceil(axis / by) for axis, by in zip(size, step, strict=True))
    return steps


def level_steps(
    patch: tuple[int, ...] | None, dims: int, features: tuple[int, ...], *, about: str
) -> list[tuple[int, ...]]:
    """As `pool_steps`, for a network whose levels the user has named.

    Raises:
        SpecError: the patch is too small for so many levels (code "patch-too-small").
    """
    if patch is not None and len(patch) != dims:
        raise SpecError(
            f"patch {patch} has {len(patch)} axes, the network {dims}",
            code="dims-mismatch",
            about=about,
            hint="set dims to the number of spatial axes",
        )
    steps = pool_steps(patch, dims, len(features))
    if len(steps) < len(features) - 1:
        raise SpecError(
            f"a patch of {patch} can be halved {len(steps)} times, not {len(features) - 1}",
            code="patch-too-small",
            about=about,
            hint=f"give {len(steps) + 1} features, or a larger patch",
        )
    return steps


def divisor_of(steps: Sequence[tuple[int, ...]], dims: int) -> tuple[int, ...]:
    """Product of the pooling factors per axis."""
    return tuple(math.prod(step[axis] for step in steps) for axis in range(dims))


def start_weights(network: nn.Module, slope: float = 0.0) -> None:
    """Kaiming-normal weights (He et al. 2015) for convolutions, zero biases.

    Args:
        network: changed in place.
        slope: negative slope of the leaky ReLU that follows; 0 for ReLU.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d):
            nn.init.kaiming_normal_(module.weight, a=slope)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
