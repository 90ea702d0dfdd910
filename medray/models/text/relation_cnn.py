"""A CNN over the words of a sentence and their distances from two spans."""

from collections.abc import Mapping
from typing import ClassVar, Literal, Self, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from medray.models.base import Answers, ModelOptions
from medray.models.text.base import PADDING, REACH, UNKNOWN, WORDS, TextNetwork
from medray.models.text.convolutions import Convolutions

TOGETHER = 128  # pairs that are filled up to one length: lists of dozens are long, most are not


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
        stages: Literal[1, 2] = Field(
            1,
            description="1: a softmax over none and all types; 2: whether anything relates a pair, "
            "and of what does so the type",
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
        self._unknown, self._stages = options.unknown, options.stages
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
        logits = self.logits(inputs)
        return logits if self._stages == 1 else in_stages(logits)

    def logits(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """What the head says, (B, out_channels); pairs of like lengths are read together."""
        lengths = inputs["lengths"]
        order = lengths.argsort(stable=True)
        parts = [self._pooled(inputs, some, lengths[some]) for some in torch.split(order, TOGETHER)]
        logits: Tensor = self.head(self.drop(torch.cat(parts)[order.argsort()]))
        return logits

    def _pooled(self, inputs: Mapping[str, Tensor], some: Tensor, lengths: Tensor) -> Tensor:
        """What the convolutions find in some rows."""
        cut = slice(int(lengths.max()))
        words, first, second = (
            inputs[name][some, cut].long() for name in ("words", "first", "second")
        )
        if self.training and self._unknown:
            hidden = torch.rand(words.shape, device=words.device) < self._unknown
            words = torch.where(hidden & (words >= WORDS), UNKNOWN, words)
        given = self.drop(torch.cat([self.words(words), self.first(first), self.second(second)], 2))
        made: Tensor = self.convolutions(given, lengths)
        return made


def in_stages(logits: Tensor) -> Tensor:
    """Log-probabilities (B, classes) of two decisions, as a softmax gives them back: whether a pair
    is of another class than the first, by the logistic of its logit, and of which by a softmax over
    the others'."""
    related = logits[:, :1]
    kinds = functional.logsigmoid(related) + logits[:, 1:].log_softmax(1)
    return torch.cat([functional.logsigmoid(-related), kinds], 1)
