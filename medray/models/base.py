"""The contract of a network: built from options, fed with a batch, answers with logits."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Literal, Self

from pydantic import Field
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from medray.errors import SpecError
from medray.spec.base import Settings

Logits = Tensor | list[Tensor]
Answers = Literal["sample", "place", "objects", "curve", "text"]


class ModelOptions(Settings):
    """Base of a network's options: frozen, unknown keys refused."""

    planned: ClassVar[frozenset[str]] = frozenset()
    """Options that the plan sets from the data and the task, unless the job does."""


class ImageOptions(ModelOptions):
    """Base of the options of networks of images."""

    planned: ClassVar[frozenset[str]] = frozenset({"dims"})

    dims: Literal[2, 3] = Field(2, description="spatial axes of a sample: Y,X or Z,Y,X")


class Network(nn.Module, ABC):
    """A network of medray. What `forward` takes and answers with depends on `takes`:

    - "image": (B, in_channels, *spatial), each spatial size a multiple of `divisor`. A segmenter
      answers with logits (B, out_channels, *spatial); in train mode one with deep supervision
      answers with a list of them, full resolution first. A classifier answers (B, out_channels)
      and takes any size.
    - "sequence": tokens uint8 (B, L), or bases one-hot (B, 4, L), see `sequence.tokens`. The
      answer is (B, out_channels), or (B, out_channels, L) with the option `per_base`.
    - "table": float32 (B, in_channels), the features of all modalities beside each other, NaN
      where a sample lacks a modality. The answer is (B, out_channels).
    """

    Options: ClassVar[type[ModelOptions]]

    takes: ClassVar[str] = "image"
    """Modality of the samples it takes."""

    attends: ClassVar[bool] = False
    """Whether it weighs the bases of a sequence itself, and can say how."""

    answers: ClassVar[frozenset[Answers]] = frozenset({"sample", "place"})
    """Whether it answers for whole samples, for every voxel or base of them, or for either."""

    divisor: tuple[int, ...] = ()
    """Sizes that `forward` takes are multiples of this, per spatial axis; tiling rounds up to it.
    Sequences and tables have no such axis."""

    @classmethod
    @abstractmethod
    def build(
        cls,
        options: ModelOptions,
        in_channels: int,
        out_channels: int,
        patch: tuple[int, ...] | None,
    ) -> Self:
        """The network with fresh weights, drawn from torch's global generator.

        Args:
            options: an instance of this class's `Options`.
            in_channels: channels of an image, features of a row (of all modalities together);
                sequences have 4, one per base.
            out_channels: classes or targets.
            patch: size it will be trained on, in voxels or (bases,); sets which axes are pooled
                and how often. None if unknown: then every axis is pooled at every level.

        Raises:
            SpecError: options and patch don't fit together.
        """

    def train(self, mode: bool = True) -> Self:
        """As in torch, but a frozen batch norm stays in evaluation mode: else its running
        statistics would follow the new data while its weights stay behind."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, _BatchNorm) and not _learns(module):
                module.eval()
        return self

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


def _learns(module: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in module.parameters())


def freeze(network: Network, prefixes: Sequence[str]) -> int:
    """Stop the training of every parameter whose dotted name begins with one of `prefixes`.

    A prefix matches whole parts of a name: "encoder.1" freezes "encoder.1.0.weight" and not
    "encoder.10.weight".

    Returns:
        How many parameters (tensors) were frozen.

    Raises:
        SpecError: a prefix matches nothing (code "unknown-layer").
    """
    frozen = set()
    for prefix in prefixes:
        matched = {
            name
            for name, _ in network.named_parameters()
            if name == prefix or name.startswith(f"{prefix}.")
        }
        if not matched:
            tops = ", ".join(name for name, _ in network.named_children())
            raise SpecError(
                f"no parameter's name begins with {prefix!r}",
                code="unknown-layer",
                about=type(network).__name__,
                hint=f"its parts are {tops}",
            )
        frozen |= matched
    for name, parameter in network.named_parameters():
        if name in frozen:
            parameter.requires_grad_(False)
    network.train(network.training)
    return len(frozen)


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
