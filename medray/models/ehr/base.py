"""What networks over sequences of events have in common: how an event becomes numbers."""

from collections.abc import Mapping
from typing import ClassVar, Self

import torch
from pydantic import Field
from torch import Tensor, nn

from medray.models.base import Answers, ModelOptions, Network

TIMES = 4  # numbers that tell when an event was


class RecordOptions(ModelOptions):
    """Options of networks over events."""

    planned: ClassVar[frozenset[str]] = frozenset({"vocabulary"})

    vocabulary: int = Field(1000, ge=2, description="numbers of codes; the data know")
    width: int = Field(64, ge=2, description="of an event")
    dropout: float = Field(0.2, ge=0, lt=1)


class RecordNetwork(Network):
    """Takes a tree of events in their order, padded behind:

    - `codes` int64 (B, L): numbers of codes, 0 where there is no event;
    - `hours` float32 (B, L): before the prediction time, NaN of what is always so.
    """

    takes: ClassVar[str] = "ehr"
    answers: ClassVar[frozenset[Answers]] = frozenset({"sample"})

    def __init__(self, options: RecordOptions, out_channels: int) -> None:
        super().__init__()
        self.codes = nn.Embedding(options.vocabulary, options.width, padding_idx=0)
        self.times = nn.Linear(TIMES, options.width)
        self.dropout = nn.Dropout(options.dropout)

    @classmethod
    def build(
        cls,
        options: ModelOptions,
        in_channels: int,
        out_channels: int,
        patch: tuple[int, ...] | None,
    ) -> Self:
        """See `Network.build`."""
        return cls(options, out_channels)  # type: ignore[arg-type]

    def embedded(self, inputs: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Events as (B, L, width), and which are there, bool (B, L)."""
        codes, hours = inputs["codes"], inputs["hours"]
        there = codes > 0
        always = torch.isnan(hours)
        ago = torch.log1p(torch.nan_to_num(hours).clamp(min=0))
        gap = torch.zeros_like(ago)
        gap[:, 1:] = (ago[:, :-1] - ago[:, 1:]).clamp(min=0)
        day = torch.remainder(torch.nan_to_num(hours), 24) / 24
        told = torch.stack([ago / 5, always.to(ago.dtype), gap, day], -1)
        made = self.codes(codes) + self.times(torch.where(there[..., None], told, 0))
        return self.dropout(made * there[..., None]), there


def pooled(states: Tensor, there: Tensor) -> Tensor:
    """Mean and largest of the states of events that are there, (B, 2 * width); of none zeros."""
    mask = there[..., None]
    mean = (states * mask).sum(1) / mask.sum(1).clamp(min=1)
    most = states.masked_fill(~mask, -torch.inf).amax(1)
    return torch.cat([mean, torch.where(there.any(1)[:, None], most, 0)], 1)
