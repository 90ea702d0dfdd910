"""The contract of networks of line notations: what comes next, of whole texts or one by one."""

from abc import abstractmethod
from typing import ClassVar

from torch import Tensor

from medray.models.base import Answers, Network

END = 0
"""The token before a text's first and behind its last; others are numbered by the plan."""

State = tuple[Tensor, ...]


class NotationNetwork(Network):
    """A network that reads a text once, from its first token to its last.

    What it says of a token depends on those before it alone, so texts of a batch may be filled up
    at their ends by any token.
    """

    takes: ClassVar[str] = "notation"
    answers: ClassVar[frozenset[Answers]] = frozenset({"text"})

    @abstractmethod
    def forward(self, tokens: Tensor) -> Tensor:
        """Logits of the token behind each of `tokens`: uint8 (B, L) to (B, vocabulary, L)."""

    @abstractmethod
    def following(self, tokens: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Logits of the next token, (B, vocabulary), and what there is to remember.

        Args:
            tokens: the last of each text, uint8 (B,); END of one that begins.
            state: as it was given before, whose tensors have the texts along their second axis;
                None: all begin.
        """
