"""A CNN of the words around a pair of spans, and a linear model of their n-grams, as one."""

from collections.abc import Mapping

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from medray.models.text.relation_cnn import RelationCnn


class RelationWideDeep(RelationCnn):
    """`relation-cnn` as the deep part, a linear model of hashed n-grams as the wide one: the sum of
    their logits is learnt (Cheng et al. 2016)."""

    reads = frozenset({"grams"})

    class Options(RelationCnn.Options):
        """What can be chosen."""

        hashes: int = Field(2**18, ge=1, le=2**24, description="that n-grams are folded into")
        gain: float = Field(5.0, gt=0, description="of n-grams, by which they learn faster")
        wide_dropout: float = Field(0.3, ge=0, lt=1, description="share of n-grams left out")

    def __init__(self, options: Options, answers: int) -> None:
        super().__init__(options, answers)
        self.table = nn.EmbeddingBag(options.hashes, answers, mode="sum")
        self._gain, self._dropout = options.gain, options.wide_dropout
        nn.init.zeros_(self.table.weight)

    def logits(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """See RelationCnn."""
        weights = functional.dropout(self._gain * inputs["weights"], self._dropout, self.training)
        places = inputs["grams"].long() % self.table.num_embeddings
        wide: Tensor = self.table(places, inputs["starts"], weights)
        return super().logits(inputs) + wide
