"""The contract of networks of texts: words by number, and what else they read of them.

What goes in is a tree:

- `words` int32 (B, L): numbers of the plan's vocabulary, filled up with PADDING; of a network that
  answers for pairs of spans ("links") a row is a sentence with one pair, and the spans of it are a
  word each: FIRST, SECOND, and OTHER for all others.
- `lengths` int64 (B,): words of each row.
- `forms` int32 (B, L) and `characters` uint8 (forms, C), if it reads `characters`: which row of the
  latter a word's letters are, numbered by the plan, filled up with 0.
- `features` int32 (forms, K), if it reads `features`: hashes of a form's properties.
- `first`, `second` int32 (B, L), of pairs: distance of each word from the two spans, from 0 on.
- `seen` int32 (B, L), of networks that answer for words ("extract"): how often the word came
  before.
- `copies` int32 (B, L), of networks that write ("generated"): which token each word is when it is
  copied. Tokens are numbered by END, then by the plan's `writes`, then by what else the row has.
- `writes` int32 (writes,): of the first of these tokens the numbers of their words.
- `reference` and `before`, int32 (B, T), where they learn to write: the tokens to be written, -1 of
  what is not learnt, and the word before each.
- `grams` int32, `weights` float32 and `starts` int64 (B,), if it reads `grams`: hashes of n-grams
  of each row, one row behind the other, and what each weighs. Those of pairs are of 31 bits, which
  a network folds into as many as it tells apart.

What it answers: for texts as a whole and for pairs (B, out_channels); for words (B, out_channels,
L); for spans potentials (B, tags, tags, L), see `chain`; tokens that it writes (B, T), END from
their end on, or of a reference the tree `log_probability` and `coverage` (B, T).
"""

from typing import ClassVar, Literal

import torch
from torch import Tensor

from medray.models.base import Network

PADDING, UNKNOWN, FIRST, SECOND, OTHER, WORDS = range(6)
"""Numbers of words with a meaning; those of the vocabulary begin at WORDS."""
HASHES = 2**16  # that features and n-grams are folded into
LONGEST = 20  # letters of a word that are read: of longer ones the first and last ten
SEEN = 16  # times that a word came before, beyond which it is as good as any larger number
REACH = 50  # words, beyond which a distance is as good as any larger one
NEVER = -1e4

Reads = Literal["characters", "features", "grams"]


class TextNetwork(Network):
    """A network of texts."""

    takes: ClassVar[str] = "text"
    reads: ClassVar[frozenset[Reads]] = frozenset()
    """What it reads beside words."""


def chain(emissions: Tensor, transitions: Tensor, lengths: Tensor) -> Tensor:
    """Potentials (B, from, to, L) of a linear chain: at each place what speaks for a tag, and for
    it to follow on another; behind a text's end 0 for the same tag again, NEVER for any other.

    Args:
        emissions: (B, tags, L).
        transitions: (from, to).
        lengths: of the texts, (B,).
    """
    size = len(transitions)
    same = torch.full((size, size), NEVER, device=emissions.device)
    same.fill_diagonal_(0.0)
    there = torch.arange(emissions.shape[2], device=emissions.device) < lengths[:, None]
    made = emissions[:, None] + transitions[None, :, :, None]
    return torch.where(there[:, None, None], made.float(), same[None, :, :, None])
