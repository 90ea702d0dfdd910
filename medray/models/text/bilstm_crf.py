"""A tagger: words and their letters through a bidirectional LSTM, and a linear chain over tags."""

from collections.abc import Mapping
from typing import ClassVar, Self, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from medray.models.base import Answers, ModelOptions
from medray.models.text.base import PADDING, UNKNOWN, TextNetwork, chain


class BilstmCrf(TextNetwork):
    """BiLSTM-CRF with a CNN over letters (Ma and Hovy 2016)."""

    answers: ClassVar[frozenset[Answers]] = frozenset({"spans"})
    reads = frozenset({"characters"})

    class Options(ModelOptions):
        """What can be chosen."""

        planned: ClassVar[frozenset[str]] = frozenset({"vocabulary", "letters"})
        vocabulary: int = Field(2, ge=2, description="words; the plan's")
        letters: int = Field(2, ge=2, description="of words; the plan's")
        embedding: int = Field(100, ge=1, description="size of a word's learnt vector")
        letter: int = Field(25, ge=1, description="size of a letter's learnt vector")
        filters: int = Field(50, ge=1, description="of the convolution over three letters")
        hidden: int = Field(100, ge=1, description="units in each direction")
        layers: int = Field(1, ge=1, le=4)
        dropout: float = Field(0.5, ge=0, lt=1, description="before and behind the LSTM")
        unknown: float = Field(
            0.05, ge=0, lt=1, description="share of words that a training takes for unknown ones"
        )

    def __init__(self, options: Options, tags: int) -> None:
        super().__init__()
        self.words = nn.Embedding(options.vocabulary, options.embedding, padding_idx=PADDING)
        self.letters = nn.Embedding(options.letters, options.letter, padding_idx=PADDING)
        self.shape = nn.Conv1d(options.letter, options.filters, 3, padding=1)
        self.drop = nn.Dropout(options.dropout)
        self.lstm = nn.LSTM(
            options.embedding + options.filters,
            options.hidden,
            options.layers,
            batch_first=True,
            bidirectional=True,
            dropout=options.dropout if options.layers > 1 else 0.0,
        )
        self.head = nn.Linear(2 * options.hidden, tags)
        self.transitions = nn.Parameter(torch.zeros(tags, tags))
        self._unknown = options.unknown
        nn.init.uniform_(self.words.weight, -0.1, 0.1)
        nn.init.uniform_(self.letters.weight, -0.3, 0.3)
        with torch.no_grad():
            self.words.weight[PADDING] = self.letters.weight[PADDING] = 0
        for name, weights in self.lstm.named_parameters():
            if name.startswith("bias_ih"):  # forget gates begin open
                size = options.hidden
                weights.data[size : 2 * size] = 1.0

    @classmethod
    def build(
        cls,
        options: ModelOptions,
        in_channels: int,
        out_channels: int,
        patch: tuple[int, ...] | None,
    ) -> Self:
        """See `Network.build`; out are tags."""
        return cls(cast("BilstmCrf.Options", options), out_channels)

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """See medray.models.text.base."""
        words, lengths = inputs["words"].long(), inputs["lengths"]
        if self.training and self._unknown:
            hidden = torch.rand(words.shape, device=words.device) < self._unknown
            words = torch.where(hidden & (words != PADDING), UNKNOWN, words)
        letters = self.shape(self.letters(inputs["characters"].long()).transpose(1, 2))
        # As a table: by an index gradients of words that come twice would be added up one by one.
        shapes = functional.embedding(inputs["forms"].long(), letters.amax(2).relu())
        given = self.drop(torch.cat([self.words(words), shapes], 2))
        packed = pack_padded_sequence(
            given, lengths.clamp(min=1).cpu(), batch_first=True, enforce_sorted=False
        )
        states, _ = pad_packed_sequence(
            self.lstm(packed)[0], batch_first=True, total_length=words.shape[1]
        )
        emissions = self.head(self.drop(states)).transpose(1, 2)
        return chain(emissions, self.transitions, lengths)
