"""A linear chain over tags by hand-made features: what a network has to beat."""

from collections.abc import Mapping
from typing import ClassVar, Self, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from medray.models.base import Answers, ModelOptions
from medray.models.text.base import HASHES, TextNetwork, chain


class LinearCrf(TextNetwork):
    """Words, prefixes, suffixes and shapes of a token and of those around it, hashed, each with a
    weight for each tag (Lafferty et al. 2001; features as of Nadeau and Sekine 2007)."""

    answers: ClassVar[frozenset[Answers]] = frozenset({"spans"})
    reads = frozenset({"features"})

    class Options(ModelOptions):
        """What can be chosen."""

        around: int = Field(2, ge=0, le=4, description="tokens on either side that are looked at")

    def __init__(self, options: Options, tags: int) -> None:
        super().__init__()
        self._around = options.around
        many = 2 * options.around + 1
        self.tables = nn.ModuleList(nn.EmbeddingBag(HASHES, tags, mode="sum") for _ in range(many))
        self.bias = nn.Parameter(torch.zeros(tags))
        self.transitions = nn.Parameter(torch.zeros(tags, tags))
        for table in self.tables:
            nn.init.zeros_(cast("nn.EmbeddingBag", table).weight)

    @classmethod
    def build(
        cls,
        options: ModelOptions,
        in_channels: int,
        out_channels: int,
        patch: tuple[int, ...] | None,
    ) -> Self:
        """See `Network.build`; out are tags."""
        return cls(cast("LinearCrf.Options", options), out_channels)

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """See medray.models.text.base."""
        features, forms = inputs["features"].long(), inputs["forms"].long()
        lengths = inputs["lengths"]
        there = torch.arange(forms.shape[1], device=forms.device) < lengths[:, None]
        total = self.bias.expand(*forms.shape, -1)
        for table, offset in zip(self.tables, range(-self._around, self._around + 1), strict=True):
            scores = functional.embedding(forms, table(features)) * there[:, :, None]
            total = total + _moved(scores, offset)
        return chain(total.transpose(1, 2), self.transitions, lengths)


def _moved(scores: Tensor, offset: int) -> Tensor:
    """At each place what stands `offset` behind it; nothing beyond either end."""
    if not offset:
        return scores
    moved = torch.zeros_like(scores)
    if offset > 0:
        moved[:, :-offset] = scores[:, offset:]
    else:
        moved[:, -offset:] = scores[:, :offset]
    return moved
