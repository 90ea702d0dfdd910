"""A linear model of n-grams: what is fitted first, and what others have to beat."""

from collections.abc import Mapping
from typing import ClassVar, Self, cast

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from medray.models.base import Answers, ModelOptions
from medray.models.text.base import HASHES, TextNetwork


class NgramLinear(TextNetwork):
    """Logistic regression over n-grams, hashed: of a text those of words and letters, by tf-idf; of
    a pair of spans those of words around them."""

    answers: ClassVar[frozenset[Answers]] = frozenset({"sample", "links"})
    reads = frozenset({"grams"})

    class Options(ModelOptions):
        """What can be chosen."""

        dropout: float = Field(0.0, ge=0, lt=1, description="share of n-grams left out in training")

    def __init__(self, options: Options, answers: int) -> None:
        super().__init__()
        self.table = nn.EmbeddingBag(HASHES, answers, mode="sum")
        self.bias = nn.Parameter(self.table.weight.new_zeros(answers))
        self._dropout = options.dropout
        nn.init.zeros_(self.table.weight)

    @classmethod
    def build(
        cls,
        options: ModelOptions,
        in_channels: int,
        out_channels: int,
        patch: tuple[int, ...] | None,
    ) -> Self:
        """See `Network.build`; out are classes."""
        return cls(cast("NgramLinear.Options", options), out_channels)

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """See medray.models.text.base."""
        weights = functional.dropout(inputs["weights"], self._dropout, self.training)
        places = inputs["grams"].long() % HASHES
        logits: Tensor = self.table(places, inputs["starts"], weights) + self.bias
        return logits
