"""A small transformer encoder over DNA, for a sequence or for each of its bases."""

from typing import ClassVar, Literal, Self, cast

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from medray.errors import SpecError
from medray.models.base import ModelOptions, Network
from medray.models.sequence.tokens import BASES, ConvStem, Kernel, SequenceOptions, one_hot, summary

ROTARY_BASE = 10_000.0  # longest wavelength, in positions; as Su et al. 2021


class Transformer(Network):
    """Encoder with the norm before each part (Xiong et al. 2020) over a convolution of bases."""

    class Options(SequenceOptions):
        """What can be chosen."""

        width: int = Field(64, ge=2, description="channels of a position")
        layers: int = Field(2, ge=1, le=48)
        heads: int = Field(4, ge=1)
        expand: int = Field(4, ge=1, description="inner layer of a block ÷ width")
        kernel: Kernel = Field(7, description="bases seen by the convolution before; 1: one")
        pool: int = Field(1, ge=1, description="bases that are one position; 1 with per_base")
        positions: Literal["rotary", "learned"] = "rotary"
        max_bases: int = Field(1024, ge=1, description="longest sequence, with learned positions")
        dropout: float = Field(0.1, ge=0, lt=1)

        @model_validator(mode="after")
        def _fits(self) -> Self:
            if self.width % (2 * self.heads):
                raise ValueError("width is a multiple of twice the heads")
            if self.per_base and self.pool > 1:
                raise ValueError("an answer per base needs a pool of 1")
            return self

    takes: ClassVar[str] = "sequence"

    def __init__(self, options: Options, out_channels: int) -> None:
        super().__init__()
        width, drop = options.width, options.dropout
        self.per_base = options.per_base
        self.stem = ConvStem(BASES, (width,), (options.kernel,), (options.pool,), 0.0)
        self.places: nn.Parameter | None = None
        if options.positions == "learned":
            most = -(-options.max_bases // options.pool)
            self.places = nn.Parameter(torch.randn(most, width) * 0.02)
        self.drop = nn.Dropout(drop)
        self.blocks = nn.ModuleList(
            Block(width, options.heads, options.expand * width, drop, rotary=self.places is None)
            for _ in range(options.layers)
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, out_channels)

    @classmethod
    def build(
        cls,
        options: ModelOptions,
        in_channels: int,
        out_channels: int,
        patch: tuple[int, ...] | None,
    ) -> Self:
        """See `Network.build`."""
        return cls(cast("Transformer.Options", options), out_channels)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (B, L) to logits (B, out_channels), or (B, out_channels, L).

        Raises:
            SpecError: more bases than there are learned positions (code "sequence-too-long").
        """
        x, there = self.stem(*one_hot(tokens))
        x = x.transpose(1, 2)
        if self.places is not None:
            if x.shape[1] > len(self.places):
                raise SpecError(
                    f"{tokens.shape[-1]} bases are more than the network has positions for",
                    code="sequence-too-long",
                    about="transformer",
                    hint="raise max_bases, or take rotary positions",
                )
            x = x + self.places[: x.shape[1]]
        x = self.drop(x)
        for block in self.blocks:
            x = block(x, there)
        x = self.norm(x)
        if self.per_base:
            answer: Tensor = self.head(x).transpose(1, 2)
            return answer
        logits: Tensor = self.head(self.drop(summary(x.transpose(1, 2), there, "mean")))
        return logits


class Block(nn.Module):
    """Self-attention over the positions that are no padding, then two layers at each position."""

    def __init__(self, width: int, heads: int, inner: int, drop: float, *, rotary: bool) -> None:
        super().__init__()
        self.heads, self.rotary, self.share = heads, rotary, drop
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.inward, self.outward = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.dense = nn.Sequential(
            nn.Linear(width, inner), nn.GELU(), nn.Dropout(drop), nn.Linear(inner, width)
        )
        self.drop = nn.Dropout(drop)

    def forward(self, x: Tensor, there: Tensor) -> Tensor:
        """(B, L, width) and bool (B, L) to (B, L, width)."""
        batch, length, width = x.shape
        split = self.inward(self.first(x)).view(batch, length, 3, self.heads, -1)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        if self.rotary:
            query, key = rotate(query), rotate(key)
        # A sequence of padding alone attends to itself: a row without a key would be NaN.
        seen = there | ~there.any(1, keepdim=True)
        mixed = nn.functional.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=seen[:, None, None],
            dropout_p=self.share if self.training else 0.0,
        )
        x = x + self.drop(self.outward(mixed.transpose(1, 2).reshape(batch, length, width)))
        total: Tensor = x + self.drop(self.dense(self.second(x)))
        return total


def rotate(x: Tensor) -> Tensor:
    """Turn pairs of channels by an angle proportional to the position (Su et al. 2021), so that a
    product of query and key hangs on their distance alone.

    Args:
        x: (..., L, D), D even; channel i is paired with i + D / 2.
    """
    length, half = x.shape[-2], x.shape[-1] // 2
    speed = ROTARY_BASE ** (-torch.arange(half, device=x.device) / half)
    angle = torch.arange(length, device=x.device)[:, None] * speed
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    left, right = x[..., :half], x[..., half:]
    return torch.cat([left * cos - right * sin, left * sin + right * cos], -1)
