"""A (bidirectional) LSTM over DNA, for a sequence or for each of its bases."""

from typing import ClassVar, Literal, Self, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from medray.models.base import ModelOptions, Network
from medray.models.sequence.tokens import BASES, ConvStem, Kernel, SequenceOptions, one_hot, summary


class Lstm(Network):
    """Long short-term memory (Hochreiter & Schmidhuber 1997, with forget gates: Gers et al. 2000),
    the gates i, f, g, o as in torch, over one-hot bases, their embedding or a convolution of them.
    """

    class Options(SequenceOptions):
        """What can be chosen."""

        hidden: int = Field(64, ge=1, description="units of each direction")
        layers: int = Field(1, ge=1, le=8)
        bidirectional: bool = True
        embedding: int = Field(0, ge=0, description="size of a base's learnt vector; 0: one-hot")
        stem: int = Field(0, ge=0, description="filters of a convolution before it; 0: none")
        stem_kernel: Kernel = Field(9, description="bases that a filter sees")
        dropout: float = Field(0.0, ge=0, lt=1, description="between layers, and at the end")
        pool: Literal["last", "mean", "max"] = Field(
            "mean", description="a sequence's state: the last of each direction, or over all bases"
        )

    takes: ClassVar[str] = "sequence"

    def __init__(self, options: Options, out_channels: int) -> None:
        super().__init__()
        self.per_base, self.pool = options.per_base, options.pool
        width = options.embedding or BASES
        self.embed = nn.Conv1d(BASES, width, 1, bias=False) if options.embedding else nn.Identity()
        self.stem = None
        if options.stem:
            self.stem = ConvStem(width, (options.stem,), (options.stem_kernel,), (1,), 0.0)
            width = options.stem
        self.recurrence = Recurrence(
            width, options.hidden, options.layers, options.dropout, both=options.bidirectional
        )
        self.drop = nn.Dropout(options.dropout)
        self.head = nn.Linear(self.recurrence.features, out_channels)

    @classmethod
    def build(
        cls,
        options: ModelOptions,
        in_channels: int,
        out_channels: int,
        patch: tuple[int, ...] | None,
    ) -> Self:
        """See `Network.build`."""
        return cls(cast("Lstm.Options", options), out_channels)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (B, L) to logits (B, out_channels), or (B, out_channels, L)."""
        bases, there = one_hot(tokens)
        x = self.embed(bases)
        if self.stem is not None:
            x, there = self.stem(x, there)
            x = self.drop(x)
        states, last = self.recurrence(x.transpose(1, 2), there)
        if self.per_base:
            answer: Tensor = self.head(self.drop(states)).transpose(1, 2)
            return answer
        if self.pool != "last":
            last = summary(states.transpose(1, 2), there, self.pool)
        logits: Tensor = self.head(self.drop(last))
        return logits


class Recurrence(nn.Module):
    """LSTM layers that begin at a sequence's own start and end, not at padding.

    Args:
        inward: features of a position.
        hidden: units of each direction.
        layers: one upon the other.
        drop: share of values dropped between them.
        both: a direction each way, or forward alone.
    """

    def __init__(self, inward: int, hidden: int, layers: int, drop: float, *, both: bool) -> None:
        super().__init__()
        self.features = hidden * (1 + both)
        self.lstm = nn.LSTM(
            inward,
            hidden,
            layers,
            batch_first=True,
            dropout=drop if layers > 1 else 0.0,  # torch warns: one layer has no between
            bidirectional=both,
        )

    def forward(self, x: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
        """All states and the last one of each direction.

        Args:
            x: (B, L, inward).
            there: bool (B, L), False before a sequence's start and behind its end.

        Returns:
            (B, L, features), zero outside the sequence, and (B, features).
        """
        if bool(there.all()):
            states, (last, _) = self.lstm(x)
        else:
            # Packing wants sequences that begin at 0, and none of length 0: one of padding alone
            # becomes one position of zeros.
            start = there.int().argmax(1, keepdim=True)
            lengths = there.sum(1).clamp(min=1).cpu()
            packed = pack_padded_sequence(
                _rolled(x, start), lengths, batch_first=True, enforce_sorted=False
            )
            packed, (last, _) = self.lstm(packed)
            states, _ = pad_packed_sequence(packed, batch_first=True, total_length=x.shape[1])
            states = _rolled(states, -start) * there[:, :, None]
        top = last[-2:] if self.lstm.bidirectional else last[-1:]
        return states, top.transpose(0, 1).flatten(1)


def _rolled(x: Tensor, by: Tensor) -> Tensor:
    """Each row of (B, L, C) moved `by` positions (B, 1) to the left, around the end."""
    length = x.shape[1]
    place = (torch.arange(length, device=x.device) + by) % length
    return x.gather(1, place[:, :, None].expand_as(x))
