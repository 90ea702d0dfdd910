"""Tokens of DNA on the device: one-hot bases, what is padding, the other strand."""

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import AfterValidator, Field
from torch import Tensor, nn

from medray.formats.genomics.alphabet import PAD
from medray.models.base import ModelOptions

BASES = 4  # A, C, G, T are tokens 0 to 3; 4 is N


def _odd(kernel: int) -> int:
    if kernel % 2 == 0:
        raise ValueError("a kernel has a middle: an odd number of positions")
    return kernel


Kernel = Annotated[int, Field(ge=1), AfterValidator(_odd)]
"""Positions that a filter sees."""


class SequenceOptions(ModelOptions):
    """Base of the options of networks that can answer for a sequence, or for each of its bases."""

    planned: ClassVar[frozenset[str]] = frozenset({"per_base"})

    per_base: bool = Field(False, description="an answer for every base, not for the sequence")


def one_hot(tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Bases as channels, and where they are.

    Args:
        tokens: uint8 (B, L), 0 to 4 and PAD at the ends; or (B, 4, L) of a floating type, which
            is taken as it is and has no padding: attributions and designs move between bases.

    Returns:
        float32 (B, 4, L), zero for N and padding, and bool (B, L), False for padding.
    """
    if tokens.is_floating_point():
        return tokens, tokens.new_ones(len(tokens), tokens.shape[2], dtype=torch.bool)
    channels = torch.arange(BASES, dtype=tokens.dtype, device=tokens.device)
    return (tokens[:, None] == channels[:, None]).float(), tokens != PAD


def reverse_complement(tokens: Tensor) -> Tensor:
    """The other strand, read in its own direction.

    Args:
        tokens: as `one_hot` takes them.

    Returns:
        The same shape and type; padding stays where it is.
    """
    if tokens.is_floating_point():
        return tokens.flip(1, 2)
    there = tokens != PAD
    length = tokens.shape[1]
    first_and_last = 2 * there.int().argmax(1, keepdim=True) + there.sum(1, keepdim=True) - 1
    place = (first_and_last - torch.arange(length, device=tokens.device)) % length
    turned = tokens.gather(1, place)
    return torch.where(turned < BASES, BASES - 1 - turned, turned).to(tokens.dtype)


class ConvStem(nn.Module):
    """Convolutions over bases, each with batch norm, ReLU and a max pool; dropout between them.

    Dropout comes after a pool: before it, what is kept, and scaled up for it, would win the pool,
    and training would see larger maxima than prediction.

    Padding is zeroed after each of them, so a sequence's features are those it has alone; ReLU
    leaves nothing below zero, so padding never wins a pool either.

    Args:
        inward: channels that come in.
        features: channels of each convolution.
        kernels: their widths in positions.
        pools: positions that each pool makes one; 1 for no pool. A rest at the end is pooled too.
        drop: share of values dropped between one convolution and the next.
    """

    def __init__(
        self,
        inward: int,
        features: tuple[int, ...],
        kernels: tuple[int, ...],
        pools: tuple[int, ...],
        drop: float,
    ) -> None:
        super().__init__()
        self.pools = pools
        self.convs, self.norms = nn.ModuleList(), nn.ModuleList()
        for outward, kernel in zip(features, kernels, strict=True):
            # The norm's shift is the bias.
            self.convs.append(nn.Conv1d(inward, outward, kernel, padding="same", bias=False))
            self.norms.append(nn.BatchNorm1d(outward))
            inward = outward
        self.drop = nn.Dropout(drop)

    def forward(self, x: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
        """(B, inward, L) and bool (B, L) to (B, outward, ceil(L / pools)) and its bool."""
        for at, (conv, norm, pool) in enumerate(
            zip(self.convs, self.norms, self.pools, strict=True)
        ):
            x = norm(conv(self.drop(x) if at else x)).relu() * there[:, None]
            if pool > 1:
                x = nn.functional.max_pool1d(x, pool, ceil_mode=True)
                there = coarser(there, pool)
        return x, there


def coarser(there: Tensor, pool: int) -> Tensor:
    """Which pooled positions hold a base: bool (B, L) to (B, ceil(L / pool))."""
    return nn.functional.max_pool1d(there.float(), pool, ceil_mode=True) > 0


def summary(x: Tensor, there: Tensor, how: Literal["mean", "max"]) -> Tensor:
    """Mean or maximum over the positions that are no padding: (B, C, L), bool (B, L) to (B, C).

    Of padding alone both are 0.
    """
    inside = there[:, None]
    if how == "max":
        most = x.masked_fill(~inside, torch.finfo(x.dtype).min).amax(2)
        return torch.where(inside.any(2), most, 0.0)
    return (x * inside).sum(2) / inside.sum(2).clamp(min=1)


def dense_head(width: int, dense: int, out_channels: int, drop: float) -> nn.Module:
    """Logits of a whole sequence: one linear layer, with a dense one of `dense` units before it
    unless that is 0."""
    between: list[nn.Module] = [nn.Dropout(drop)]
    if dense:
        between += [nn.Linear(width, dense), nn.ReLU(), nn.Dropout(drop)]
        width = dense
    return nn.Sequential(*between, nn.Linear(width, out_channels))
