"""A recurrent language model of line notations."""

from typing import Self, cast

from pydantic import Field
from torch import Tensor, nn

from medray.models.base import ModelOptions
from medray.models.notation.base import NotationNetwork, State


class NotationLstm(NotationNetwork):
    """Long short-term memory over tokens (as Segler et al. 2018 for SMILES).

    Its recurrent weights begin orthogonal and its forget gates open (Jozefowicz et al. 2015).
    """

    class Options(ModelOptions):
        """What can be chosen."""

        hidden: int = Field(256, ge=1, description="units of a layer")
        layers: int = Field(1, ge=1, le=8)
        embedding: int = Field(32, ge=1, description="size of a token's learnt vector")
        dropout: float = Field(0.0, ge=0, lt=1, description="between layers, and at the end")

    def __init__(self, options: Options, vocabulary: int, answers: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocabulary, options.embedding)
        self.lstm = nn.LSTM(
            options.embedding,
            options.hidden,
            options.layers,
            batch_first=True,
            dropout=options.dropout if options.layers > 1 else 0.0,
        )
        self.drop = nn.Dropout(options.dropout)
        self.head = nn.Linear(options.hidden, answers)
        size = options.hidden
        for name, weights in self.lstm.named_parameters():
            if name.startswith("weight_hh"):
                for gate in weights.data.view(4, size, size):
                    nn.init.orthogonal_(gate)
            elif name.startswith("bias"):
                weights.data.zero_()
                if name.startswith("bias_ih"):
                    weights.data[size : 2 * size] = 1.0

    @classmethod
    def build(
        cls,
        options: ModelOptions,
        in_channels: int,
        out_channels: int,
        patch: tuple[int, ...] | None,
    ) -> Self:
        """See `Network.build`; in and out are the tokens of the vocabulary."""
        return cls(cast("NotationLstm.Options", options), in_channels, out_channels)

    def forward(self, tokens: Tensor) -> Tensor:
        """See NotationNetwork."""
        states, _ = self.lstm(self.embed(tokens.int()))
        logits: Tensor = self.head(self.drop(states)).transpose(1, 2)
        return logits

    def following(self, tokens: Tensor, state: State | None) -> tuple[Tensor, State]:
        """See NotationNetwork; the state is hidden and cell, (layers, B, hidden) each."""
        states, kept = self.lstm(self.embed(tokens[:, None].int()), state)
        return self.head(self.drop(states[:, 0])), kept
