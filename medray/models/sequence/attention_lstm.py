"""Convolution, bidirectional LSTM, additive attention: a value from a sequence, and where from."""

from typing import ClassVar, Self, cast

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from medray.models.base import Answers, ModelOptions, Network
from medray.models.sequence.lstm import Recurrence
from medray.models.sequence.tokens import BASES, ConvStem, Kernel, dense_head, one_hot


class AttentionLstm(Network):
    """Motifs by convolution, their grammar by a BiLSTM, a weighted mean by additive attention."""

    class Options(ModelOptions):
        """What can be chosen."""

        features: tuple[int, ...] = Field(
            (64,), min_length=1, description="filters of each convolution"
        )
        kernels: tuple[Kernel, ...] = Field(
            (11,), min_length=1, description="bases, then positions, that a filter sees"
        )
        pools: tuple[int, ...] = Field(
            (2,), min_length=1, description="positions made one after each convolution"
        )
        hidden: int = Field(64, ge=1, description="LSTM units of each direction")
        layers: int = Field(1, ge=1, le=8, description="of the LSTM")
        attention: int = Field(64, ge=1, description="size of the attention's inner layer")
        dense: int = Field(0, ge=0, description="units of a layer before the last; 0: none")
        dropout: float = Field(0.1, ge=0, lt=1)

        @model_validator(mode="after")
        def _fits(self) -> Self:
            if not len(self.features) == len(self.kernels) == len(self.pools):
                raise ValueError("features, kernels and pools: one of each per convolution")
            if min(self.features + self.pools) < 1:
                raise ValueError("features and pools are at least 1")
            return self

    attends: ClassVar[bool] = True
    answers: ClassVar[frozenset[Answers]] = frozenset({"sample"})
    takes: ClassVar[str] = "sequence"

    def __init__(self, options: Options, out_channels: int) -> None:
        super().__init__()
        drop = options.dropout
        self.stem = ConvStem(BASES, options.features, options.kernels, options.pools, drop)
        self.drop = nn.Dropout(drop)
        self.recurrence = Recurrence(
            options.features[-1], options.hidden, options.layers, drop, both=True
        )
        self.attention = AdditiveAttention(self.recurrence.features, options.attention)
        width = self.recurrence.features
        self.head = dense_head(width, options.dense, out_channels, drop)

    @classmethod
    def build(
        cls,
        options: ModelOptions,
        in_channels: int,
        out_channels: int,
        patch: tuple[int, ...] | None,
    ) -> Self:
        """See `Network.build`."""
        return cls(cast("AttentionLstm.Options", options), out_channels)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (B, L) to logits (B, out_channels)."""
        context, _ = self._context(tokens)
        logits: Tensor = self.head(context)
        return logits

    def attend(self, tokens: Tensor) -> Tensor:
        """The attention on each base, float32 (B, L).

        What a pooled position has is shared out evenly among its bases, so that a sequence's
        attention sums to 1; padding has none.
        """
        _, weights = self._context(tokens)
        _, there = one_hot(tokens)
        pool = 1
        for step in self.stem.pools:
            pool *= step
        bases = there.shape[1]
        spread = weights.float().repeat_interleave(pool, 1)[:, :bases] * there
        counts = nn.functional.avg_pool1d(
            nn.functional.pad(there.float(), (0, -bases % pool)), pool
        ).mul(pool)
        return spread / counts.repeat_interleave(pool, 1)[:, :bases].clamp(min=1)

    def _context(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        x, there = self.stem(*one_hot(tokens))
        states, _ = self.recurrence(self.drop(x).transpose(1, 2), there)
        context: tuple[Tensor, Tensor] = self.attention(states, there)
        return context


class AdditiveAttention(nn.Module):
    """e = v^T tanh(W h), alpha = softmax(e), context = sum of alpha h (Bahdanau et al. 2015)."""

    def __init__(self, features: int, inner: int) -> None:
        super().__init__()
        self.weight = nn.Linear(features, inner, bias=False)
        self.score = nn.Linear(inner, 1, bias=False)

    def forward(self, states: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
        """The context and the weights.

        Args:
            states: (B, L, features).
            there: bool (B, L); where False, the weight is 0. A sequence of padding alone is
                weighted evenly: it must not spoil the batch with NaN.

        Returns:
            (B, features) and (B, L), whose rows sum to 1.
        """
        energy = self.score(torch.tanh(self.weight(states))).squeeze(2)
        lowest = torch.finfo(energy.dtype).min
        weights = energy.masked_fill(~there, lowest).softmax(1)
        return (weights[:, :, None] * states).sum(1), weights
