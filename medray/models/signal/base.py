"""What networks of signals share: what comes in, and the head that joins columns.

A batch is a tree: `signal` float32 (B, leads, time), scaled; where the plan has them `context`,
the same of the record's median, and `columns` float32 (B, columns), standardised. No network has a
batch norm: a sample's answer and its gradient are its own.
"""

from collections.abc import Mapping
from typing import Annotated, ClassVar

import torch
from pydantic import AfterValidator, Field
from torch import Tensor, nn

from medray.models.base import Answers, ModelOptions, Network

GROUPS = 8
JOINED = 16  # features that columns become before they are joined


def _odd(kernel: int) -> int:
    if kernel % 2 == 0:
        raise ValueError("a kernel has a middle: an odd number of samples")
    return kernel


Kernel = Annotated[int, Field(ge=1, le=1023), AfterValidator(_odd)]
"""Samples of a signal that a filter sees."""


class SignalOptions(ModelOptions):
    """Base of the options of networks of signals."""

    planned: ClassVar[frozenset[str]] = frozenset({"context", "columns"})

    context: bool = Field(False, description="beside a signal, how it differs from its record's")
    columns: int = Field(0, ge=0, description="numbers of a sample that are joined before the head")
    dropout: float = Field(0.1, ge=0, lt=1, description="before the head, and as each network says")


class SignalNetwork(Network):
    """A network of signals."""

    takes: ClassVar[str] = "signal"
    answers: ClassVar[frozenset[Answers]] = frozenset({"sample"})

    @staticmethod
    def inward(options: SignalOptions, leads: int) -> int:
        """Channels that `channels` makes of so many leads."""
        return leads * (1 + options.context)

    @staticmethod
    def channels(inputs: Mapping[str, Tensor]) -> Tensor:
        """The signal, and below it how it differs from its context: (B, channels, time)."""
        signal = inputs["signal"]
        if "context" not in inputs:
            return signal
        return torch.cat([signal, signal - inputs["context"]], 1)


class Head(nn.Module):
    """Logits of a whole signal: its features and its columns, dropout, one linear layer.

    Args:
        inward: features of the signal.
        columns: numbers beside it.
        outward: classes or values.
        drop: share of features dropped.
    """

    def __init__(self, inward: int, columns: int, outward: int, drop: float) -> None:
        super().__init__()
        self.columns = nn.Linear(columns, JOINED) if columns else None
        self.drop = nn.Dropout(drop)
        self.last = nn.Linear(inward + (JOINED if columns else 0), outward)

    def forward(self, features: Tensor, inputs: Mapping[str, Tensor]) -> Tensor:
        """(B, inward) and the batch to (B, outward)."""
        if self.columns is not None:
            features = torch.cat([features, self.columns(inputs["columns"]).relu()], 1)
        logits: Tensor = self.last(self.drop(features))
        return logits


def group_norm(channels: int) -> nn.GroupNorm:
    """Of 8 groups, or of one where 8 does not divide the channels."""
    return nn.GroupNorm(GROUPS if channels % GROUPS == 0 else 1, channels)


def conv(inward: int, outward: int, kernel: int, stride: int = 1) -> nn.Conv1d:
    """A convolution without bias that keeps the length, or divides it by its stride."""
    return nn.Conv1d(inward, outward, kernel, stride, padding=kernel // 2, bias=False)


def pooled(x: Tensor) -> Tensor:
    """Mean and maximum over time: (B, C, T) to (B, 2 C)."""
    return torch.cat([x.mean(2), x.amax(2)], 1)
