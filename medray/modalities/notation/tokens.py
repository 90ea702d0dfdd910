"""Tokens of SMILES: atoms, bonds, brackets of branches, numbers of rings."""

import re
from collections.abc import Iterable, Sequence

import numpy as np

from medray.errors import DataError
from medray.models.notation.base import END

BOUNDARY = "^"
"""What the vocabulary calls the token END; no SMILES has it."""
MOST = 255  # tokens of a vocabulary: 255 itself says that there is none
_TOKEN = re.compile(r"\[[^\]]*\]|Br|Cl|%\d\d|.", re.DOTALL)


def split(text: str) -> list[str]:
    """A text's tokens; joined they are the text."""
    return _TOKEN.findall(text)


def vocabulary(texts: Iterable[str]) -> tuple[str, ...]:
    """Every token of some texts, sorted, behind BOUNDARY.

    Raises:
        DataError: there are too many for these to be line notations (code "too-many-tokens").
    """
    found = sorted({token for text in texts for token in split(text)})
    if len(found) >= MOST:
        raise DataError(
            f"the texts have {len(found)} different tokens, and line notations have fewer",
            code="too-many-tokens",
            hint="name a column of SMILES in `plan: column`",
        )
    return (BOUNDARY, *found)


class Codec:
    """Texts to numbers and back.

    Args:
        tokens: the vocabulary, END first.
    """

    def __init__(self, tokens: Sequence[str]) -> None:
        self._tokens = tuple(tokens)
        self._numbers = {token: at for at, token in enumerate(tokens) if at != END}

    def encode(self, text: str | None) -> np.ndarray:
        """The numbers of a text's tokens, uint8 (tokens,).

        Raises:
            DataError: there is no text (code "no-text"), or it has a token that the vocabulary
                lacks (code "unknown-token").
        """
        if not text:
            raise DataError("the sample has no text", code="no-text")
        try:
            return np.array([self._numbers[token] for token in split(text)], np.uint8)
        except KeyError as error:
            raise DataError(
                "a token of the text is none of those that were learnt",
                code="unknown-token",
                hint="train on texts that have it",
            ) from error

    def decode(self, numbers: Iterable[int]) -> str:
        """The text of its tokens' numbers."""
        return "".join(self._tokens[number] for number in numbers)
