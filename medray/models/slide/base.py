"""What networks of slides take: tiles of several slides end to end, and how many each has.

Of B slides with N tiles together:

- `tiles` float32 (N, 3, side, side): standardised, those of a slide after one another.
- `counts` int64 (B,): tiles of each slide, at least 1.

A slide's logits are a function of a weighed mean of its tiles' embeddings, so a slide of any size
is read tile by tile, and nothing of it is held but sums: by `embed`, `weigh` and `decide`.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from medray.models.base import Answers, Network


class SlideNetwork(Network):
    """A network of slides: a tree as this module describes, to logits (B, out_channels)."""

    answers: ClassVar[frozenset[Answers]] = frozenset({"sample"})
    takes: ClassVar[str] = "slide"

    @abstractmethod
    def embed(self, tiles: Tensor) -> Tensor:
        """Tiles (N, 3, side, side) to embeddings (N, width)."""

    @abstractmethod
    def weigh(self, embedded: Tensor) -> Tensor:
        """Embeddings (N, width) to the logarithms of their weights, up to a constant, (N,)."""

    @abstractmethod
    def decide(self, embedded: Tensor) -> Tensor:
        """Embeddings (…, width), of tiles or of slides, to logits (…, out_channels)."""

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """A batch to logits (B, out_channels)."""
        embedded = self.embed(inputs["tiles"])
        counts = inputs["counts"].tolist()
        pairs = zip(
            torch.split(embedded, counts), torch.split(self.weigh(embedded), counts), strict=True
        )
        return self.decide(torch.stack([weights.softmax(0) @ some for some, weights in pairs]))
