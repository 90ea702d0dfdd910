"""An LSTM over the words of a text, which says of each whether it is taken."""

from collections.abc import Mapping
from typing import ClassVar, Self, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from medray.models.base import Answers, ModelOptions
from medray.models.text.base import PADDING, SEEN, UNKNOWN, WORDS, TextNetwork


class WordSelector(TextNetwork):
    """Bidirectional LSTM over words and how often each came before; beside what it makes of a word
    stands the word itself, by a weight of its own, as a logistic regression has it."""

    answers: ClassVar[frozenset[Answers]] = frozenset({"extract"})

    class Options(ModelOptions):
        """What can be chosen."""

        planned: ClassVar[frozenset[str]] = frozenset({"vocabulary"})
        vocabulary: int = Field(WORDS, ge=WORDS, description="words; the plan's")
        embedding: int = Field(64, ge=1, description="size of a word's learnt vector")
        hidden: int = Field(64, ge=1, description="units in each direction")
        dropout: float = Field(0.5, ge=0, lt=1, description="before and behind the LSTM")
        unknown: float = Field(
            0.05, ge=0, lt=1, description="share of words that a training takes for unknown ones"
        )

    def __init__(self, options: Options, answers: int) -> None:
        super().__init__()
        self.words = nn.Embedding(options.vocabulary, options.embedding, padding_idx=PADDING)
        self.seen = nn.Embedding(SEEN, 8)
        self.alone = nn.Embedding(options.vocabulary, answers, padding_idx=PADDING)
        self.drop = nn.Dropout(options.dropout)
        self.lstm = nn.LSTM(
            options.embedding + 8, options.hidden, batch_first=True, bidirectional=True
        )
        self.head = nn.Linear(2 * options.hidden + 8, answers)
        self._unknown = options.unknown
        nn.init.uniform_(self.words.weight, -0.1, 0.1)
        nn.init.zeros_(self.alone.weight)
        with torch.no_grad():
            self.words.weight[PADDING] = 0

    @classmethod
    def build(
        cls,
        options: ModelOptions,
        in_channels: int,
        out_channels: int,
        patch: tuple[int, ...] | None,
    ) -> Self:
        """See `Network.build`; out is one."""
        return cls(cast("WordSelector.Options", options), out_channels)

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """See medray.models.text.base."""
        words, lengths = inputs["words"].long(), inputs["lengths"]
        if self.training and self._unknown:
            hidden = torch.rand(words.shape, device=words.device) < self._unknown
            words = torch.where(hidden & (words >= WORDS), UNKNOWN, words)
        seen = self.seen(inputs["seen"].long())
        given = torch.cat([self.drop(self.words(words)), seen], 2)
        packed = pack_padded_sequence(
            given, lengths.clamp(min=1).cpu(), batch_first=True, enforce_sorted=False
        )
        states, _ = pad_packed_sequence(
            self.lstm(packed)[0], batch_first=True, total_length=words.shape[1]
        )
        logits: Tensor = self.head(torch.cat([self.drop(states), seen], 2)) + self.alone(words)
        return logits.transpose(1, 2)
