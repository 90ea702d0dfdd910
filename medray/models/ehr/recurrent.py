"""LSTM and GRU over events."""

from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor, nn

from medray.models.ehr.base import RecordNetwork, RecordOptions, pooled


class RecordRnn(RecordNetwork):
    """A recurrent network from the oldest event to the latest; its last state, and the mean and the
    largest of all, go into one layer."""

    class Options(RecordOptions):
        """What can be chosen."""

        gru: bool = Field(False, description="gated recurrent units in place of LSTM")
        hidden: int = Field(64, ge=1, description="of a state")
        layers: int = Field(1, ge=1, le=8)

    def __init__(self, options: Options, out_channels: int) -> None:
        super().__init__(options, out_channels)
        kind = nn.GRU if options.gru else nn.LSTM
        self.cells = kind(
            options.width,
            options.hidden,
            options.layers,
            batch_first=True,
            dropout=options.dropout if options.layers > 1 else 0.0,  # one layer has no between
        )
        self.head = nn.Linear(3 * options.hidden, out_channels)

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """A batch to logits (B, out_channels)."""
        events, there = self.embedded(inputs)
        states, _ = self.cells(events)
        last = (there.sum(1) - 1).clamp(min=0)  # padding stands behind, so it reaches no state
        final = states[torch.arange(len(states), device=states.device), last]
        final = torch.where(there.any(1)[:, None], final, 0)
        logits: Tensor = self.head(self.dropout(torch.cat([final, pooled(states, there)], 1)))
        return logits
