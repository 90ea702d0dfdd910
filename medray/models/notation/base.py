"""The contract of networks of line notations: what comes next, of whole texts or one by one."""

from abc import abstractmethod
from typing import ClassVar

import numpy as np
from torch import Tensor

from medray.models.base import Answers, Network

END = 0
"""The token before a text's first and behind its last; others are numbered by the plan."""

State = tuple[Tensor, ...]


class NotationNetwork(Network):
    """A network that reads a text once, from its first token to its last.

    What it says of a token depends on those before it alone, and of an autoencoder on the text's
    code. Texts of a batch are filled up at their ends by END, which changes nothing.
    """

    takes: ClassVar[str] = "notation"
    answers: ClassVar[frozenset[Answers]] = frozenset({"text"})
    draws: ClassVar[bool] = True
    """Whether new texts can be drawn from it."""
    likely: ClassVar[bool] = True
    """Whether `forward` says how likely it is that a text is drawn."""

    def begin(self, chance: np.random.Generator, count: int) -> State | None:
        """What there is to remember before the first token of texts that are drawn.

        Args:
            chance: all of it comes from here.
            count: of texts.
        """
        return None

    @abstractmethod
    def forward(self, tokens: Tensor) -> Tensor:
        """Logits of the token behind each of `tokens`: uint8 (B, L) to (B, vocabulary, L)."""

    @abstractmethod
    def following(self, tokens: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Logits of the next token, (B, vocabulary), and what there is to remember.

        Args:
            tokens: the last of each text, uint8 (B,); END of one that begins.
            state: as it was given before, or by `begin`; its tensors have the texts along their
                second axis. None: all begin.
        """
