"""A CNN over the words of a text, for its class."""

from collections.abc import Mapping
from typing import ClassVar, Self, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from medray.models.base import Answers, ModelOptions
from medray.models.text.base import PADDING, UNKNOWN, WORDS, TextNetwork
from medray.models.text.convolutions import Convolutions


class TextCnn(TextNetwork):
    """Filters of several widths, and the most of each over the text (Kim 2014)."""

    answers: ClassVar[frozenset[Answers]] = frozenset({"sample"})

    class Options(ModelOptions):
        """What can be chosen."""

        planned: ClassVar[frozenset[str]] = frozenset({"vocabulary"})
        vocabulary: int = Field(WORDS, ge=WORDS, description="words; the plan's")
        embedding: int = Field(100, ge=1, description="size of a word's learnt vector")
        filters: int = Field(100, ge=1, description="of each width")
        widths: tuple[int, ...] = Field((1, 2, 3), min_length=1, description="in words")
        dropout: float = Field(0.5, ge=0, lt=1, description="of words, and before the answer")
        unknown: float = Field(
            0.1, ge=0, lt=1, description="share of words that a training takes for unknown ones"
        )

    def __init__(self, options: Options, answers: int) -> None:
        super().__init__()
        self.words = nn.Embedding(options.vocabulary, options.embedding, padding_idx=PADDING)
        self.convolutions = Convolutions(options.embedding, options.filters, options.widths)
        self.drop = nn.Dropout(options.dropout)
        self.head = nn.Linear(self.convolutions.outward, answers)
        self._unknown = options.unknown
        nn.init.uniform_(self.words.weight, -0.1, 0.1)
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
        """See `Network.build`; out are classes."""
        return cls(cast("TextCnn.Options", options), out_channels)

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """See medray.models.text.base."""
        words = inputs["words"].long()
        if self.training and self._unknown:
            hidden = torch.rand(words.shape, device=words.device) < self._unknown
            words = torch.where(hidden & (words >= WORDS), UNKNOWN, words)
        given = self.drop(self.words(words))
        logits: Tensor = self.head(self.drop(self.convolutions(given, inputs["lengths"])))
        return logits
