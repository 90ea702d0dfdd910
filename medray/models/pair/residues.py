"""A protein's residues to a vector: convolutions, and attention over what they leave."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from medray.models.pair.base import PAD, TOKENS
from medray.models.sequence.tokens import coarser, summary

HEADS = 4


class Words(nn.Module):
    """How often each word of residues is there, as a vector: the sum of an embedding of each, over
    the root of how many there are, so that it differs from protein to protein as much as it is
    alike.

    Args:
        length: residues of a word.
        width: of the vector.
    """

    def __init__(self, length: int, width: int) -> None:
        super().__init__()
        self.length = length
        self.table = nn.EmbeddingBag(TOKENS**length, width, mode="sum", padding_idx=0)

    def forward(self, residues: Tensor) -> Tensor:
        """uint8 (P, L) to (P, width)."""
        letters = functional.pad(residues.long(), (0, self.length - 1))
        parts = letters.unfold(1, self.length, 1).unbind(2)
        words, whole = torch.zeros_like(parts[0]), parts[-1] != PAD
        for part in parts:
            words = words * TOKENS + part
        counts = whole.sum(1, keepdim=True).clamp(min=1)
        vectors: Tensor = self.table(words * whole) / counts.sqrt()
        return vectors


class ResidueEncoder(nn.Module):
    """Convolutions with a max pool behind each (as DeepDTA's, Öztürk et al. 2018), on request
    layers of self-attention upon them, and the maximum and the mean over what is left.

    Padding is zero after each of them, so a protein's vector is the one it has alone.

    Args:
        embedding: size of a residue's vector.
        filters: of each convolution.
        kernel: residues, or pooled positions, that a filter sees.
        pool: positions that each max pool makes one.
        attention: layers of self-attention (Vaswani et al. 2017).
        words: residues of words that are counted beside; 0: none.
        width: of a protein's vector.
        dropout: in attention.
    """

    def __init__(
        self,
        embedding: int,
        filters: tuple[int, ...],
        kernel: int,
        pool: int,
        attention: int,
        words: int,
        width: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.pool = pool
        self.embed = nn.Embedding(TOKENS, embedding, padding_idx=PAD)
        inward = (embedding, *filters[:-1])
        self.convs = nn.ModuleList(
            nn.Conv1d(before, after, kernel, padding="same")
            for before, after in zip(inward, filters, strict=True)
        )
        self.attention = nn.ModuleList(
            nn.TransformerEncoderLayer(
                filters[-1], HEADS, 2 * filters[-1], dropout, batch_first=True, norm_first=True
            )
            for _ in range(attention)
        )
        self.words = Words(words, width) if words else None
        self.out = nn.Linear(2 * filters[-1] + (width if words else 0), width)

    def forward(self, residues: Tensor) -> Tensor:
        """uint8 (P, L) to (P, width)."""
        there = residues != PAD
        x = self.embed(residues.int()).transpose(1, 2)
        for conv in self.convs:
            x = functional.relu(conv(x)) * there[:, None]
            x = functional.max_pool1d(x, self.pool, ceil_mode=True)
            there = coarser(there, self.pool)
        x = x.transpose(1, 2)
        for layer in self.attention:
            x = layer(x, src_key_padding_mask=~there)
        x = x.transpose(1, 2)
        read = [summary(x, there, "max"), summary(x, there, "mean")]
        if self.words is not None:
            read.append(self.words(residues))
        vectors: Tensor = self.out(torch.cat(read, 1))
        return vectors
