"""A CNN over the words of a sentence and their distances from two spans."""

from collections.abc import Mapping
from typing import ClassVar, Self, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from medray.models.base import Answers, ModelOptions
from medray.models.text.base import PADDING, REACH, UNKNOWN, WORDS, TextNetwork
from medray.models.text.convolutions import Convolutions


class RelationCnn(TextNetwork):
    """Convolution with positions (Zeng et al. 2014; of drugs Liu et al. 2016)."""

    answers: ClassVar[frozenset[Answers]] = frozenset({"links"})

    class Options(ModelOptions):
        """What can be chosen."""

        planned: ClassVar[frozenset[str]] = frozenset({"vocabulary"})
        vocabulary: int = Field(WORDS, ge=WORDS, description="words; the plan's")
        embedding: int = Field(100, ge=1, description="size of a word's learnt vector")
        place: int = Field(10, ge=1, description="size of a distance's learnt vector")
        filters: int = Field(100, ge=1, description="of each width")
        widths: tuple[int, ...] = Field((3, 4, 5), min_length=1, description="in words")
        dropout: float = Field(0.5, ge=0, lt=1, description="of words, and before the answer")
        unknown: float = Field(
            0.05, ge=0, lt=1, description="share of words that a training takes for unknown ones"
        )

    def __init__(self, options: Options, answers: int) -> None:
        super().__init__()
        self.words = nn.Embedding(options.vocabulary, options.embedding, padding_idx=PADDING)
        self.first = nn.Embedding(2 * REACH + 1, options.place)
        self.second = nn.Embedding(2 * REACH + 1, options.place)
        inward = options.embedding + 2 * options.place
        self.convolutions = Convolutions(inward, options.filters, options.widths)
        self.drop = nn.Dropout(options.dropout)
        self.head = nn.Linear(self.convolutions.outward, answers)
        self._unknown = options.unknown
        for table in (self.words, self.first, self.second):
            nn.init.uniform_(table.weight, -0.1, 0.1)
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
        """See `Network.build`; out are types of relations, and none."""
        return cls(cast("RelationCnn.Options", options), out_channels)

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """See medray.models.text.base."""
        words = inputs["words"].long()
        if self.training and self._unknown:
            hidden = torch.rand(words.shape, device=words.device) < self._unknown
            words = torch.where(hidden & (words >= WORDS), UNKNOWN, words)
        places = [self.first(inputs["first"].long()), self.second(inputs["second"].long())]
        given = self.drop(torch.cat([self.words(words), *places], 2))
        logits: Tensor = self.head(self.drop(self.convolutions(given, inputs["lengths"])))
        return logits
