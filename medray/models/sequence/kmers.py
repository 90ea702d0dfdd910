"""What a sequence is made of, whatever the place: a linear path over counts of its k-mers."""

import torch
from torch import Tensor, nn

from medray.models.sequence.tokens import BASES


class KmerPath(nn.Module):
    """Logits from standardised counts of all words of 1 to `longest` bases.

    Wide beside deep (Cheng et al. 2016): composition is what convolutions find last and a linear
    model first. The weights begin at zero, so the deep path learns as it would alone.

    Args:
        longest: bases of the longest words.
        out_channels: logits.
        drop: share of counts dropped while training.
    """

    def __init__(self, longest: int, out_channels: int, drop: float) -> None:
        super().__init__()
        self.longest = longest
        words = sum(BASES**size for size in range(1, longest + 1))
        self.norm = nn.BatchNorm1d(words, affine=False)
        self.drop = nn.Dropout(drop)
        self.weight = nn.Linear(words, out_channels, bias=False)
        nn.init.zeros_(self.weight.weight)

    def forward(self, counts: Tensor) -> Tensor:
        """Counts (B, words) of `count_kmers` to logits (B, out_channels)."""
        logits: Tensor = self.weight(self.drop(self.norm(counts)))
        return logits


def count_kmers(bases: Tensor, longest: int) -> Tensor:
    """How often each word of 1 to `longest` bases occurs, short words first, A before C.

    A word's indicator is the product of those of its halves, so counts are products of two small
    matrices, and gradients pass where bases are not yet one or the other.

    Args:
        bases: (B, 4, L), zero where no base is known; no word goes over such a place.
        longest: at least 1.

    Returns:
        (B, 4 + 16 + … + 4^longest).
    """
    bases = nn.functional.pad(bases, (0, max(0, longest - bases.shape[2])))
    made = [bases.sum(2)]
    for size in range(2, longest + 1):
        head, tail = _words(bases, size - size // 2), _words(bases, size // 2)
        places = bases.shape[2] - size + 1
        pairs = head[:, :, :places] @ tail[:, :, -places:].transpose(1, 2)
        made.append(pairs.flatten(1))
    return torch.cat(made, 1)


def _words(bases: Tensor, size: int) -> Tensor:
    """Which word of `size` bases begins where: (B, 4^size, L - size + 1)."""
    words = bases
    for at in range(1, size):
        words = (words[:, :, None, :-1] * bases[:, None, :, at:]).flatten(1, 2)
    return words
