"""What networks of pairs take: a tree in which each compound and each protein is once.

Of C compounds, P proteins and B pairs of these:

- `compounds`: of the compounds, a tree as `molecule.base` describes it.
- `residues` uint8 (P, L): letters of the proteins, 1: A, 2: B, … 26: Z; 0 behind their ends.
- `compound`, `protein` int64 (B,): numbers of each pair's compound and protein.

No answer depends on the other pairs of its batch, or on how far a protein is filled up.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

from medray.formats.molecules.residues import LETTERS
from medray.models.base import Answers, Network

PAD = 0
TOKENS = LETTERS + 1


class PairNetwork(Network):
    """A network of pairs: a tree as this module describes, to logits (B, out_channels)."""

    answers: ClassVar[frozenset[Answers]] = frozenset({"sample"})
    takes: ClassVar[str] = "pair"

    @abstractmethod
    def forward(self, batch: Mapping[str, Any]) -> Tensor:
        """Logits (B, out_channels)."""
