"""Words of a text that its summary has."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
import torch

from medray.data.tree import Tree, to_device
from medray.errors import DataError
from medray.formats.documents.columns import EXTRACT, EXTRACT_AT
from medray.modalities.text.encoded import Encoded, filled, targets_of
from medray.modalities.text.plan import TextPlan
from medray.modalities.text.reading import Reading, Row
from medray.modalities.text.tokens import Codec
from medray.models.text.base import SEEN
from medray.tasks.base import NO_LABEL, Task
from medray.tasks.metrics.rouge import words

_NONE = re.compile(r"^[^a-z0-9]*$", re.IGNORECASE)


@dataclass(frozen=True)
class Counted(Encoded):
    """A text's tokens.

    Args:
        seen: how often a token's word came before, int32 (n,).
        judged: what `Summary.judge` takes; None where there is no reference.
    """

    seen: np.ndarray | None = None
    judged: np.ndarray | None = None


class Taking(Protocol):
    """What a task says that takes words of a text."""

    @property
    def target(self) -> str:
        """Column of the reference."""

    @property
    def threshold(self) -> float:
        """Probability from which a word is taken."""


class Chosen(Reading):
    """A text word by word, each by how often it came before."""

    def __init__(self, plan: TextPlan, task: Task) -> None:
        super().__init__(plan, task)
        self._taking = cast("Taking", task)

    def encode(self, row: Row, *, learnt: bool) -> Counted:
        """See Reading."""
        if self.codec.forms.full:
            self.codec = Codec(self.plan.words, self.plan.letters)
        told, begins, ends = self.tokens(self.text(row))
        forms = self.codec.forms.number(told)
        begins, ends = begins.astype(np.int32), ends.astype(np.int32)
        tokens = [token.lower() for token in told]
        before, seen = Counter[str](), np.zeros(len(tokens), np.int32)
        for at, token in enumerate(tokens):
            seen[at] = min(before[token], SEEN - 1)
            before[token] += 1
        if not learnt:
            return Counted(forms, begins, ends, seen=seen)
        reference = row.get(self._taking.target)
        if not isinstance(reference, str):
            raise DataError("the sample has no reference summary", code="bad-target")
        wanted = words(reference)
        counts = Counter(wanted)
        is_word = np.array([not _NONE.match(token) for token in tokens], bool)
        there = np.array([counts[token] for token in tokens], np.int64)
        nth = _nth(tokens)
        target = np.where(is_word, (nth < there).astype(np.uint8), NO_LABEL).astype(np.uint8)
        numbers = {token: at for at, token in enumerate(dict.fromkeys(tokens), start=1)}
        kinds = np.array([numbers[token] for token in tokens], np.int64) * is_word
        judged = np.zeros((2, len(tokens) + 1), np.int64)
        judged[0, :-1], judged[1, :-1] = kinds, there * is_word
        judged[1, -1] = len(wanted)
        return Counted(forms, begins, ends, target, seen, judged)

    def inputs(self, several: Sequence[Any], device: torch.device) -> dict[str, Tree]:
        """See Reading, with `seen`."""
        made = super().inputs(several, device)
        seen = filled([one.seen for one in several], 0)
        return {**made, "seen": to_device(torch.from_numpy(seen), device)}

    def target(self, several: Sequence[Any], device: torch.device) -> Tree:
        """Whether each word is taken, uint8 (B, L)."""
        return to_device(torch.from_numpy(targets_of(several)), device)

    def truth(self, one: Counted) -> np.ndarray | None:
        """See Reading."""
        return one.judged

    def placed(self, one: Counted, answer: np.ndarray) -> np.ndarray:
        """Probability, first character and the one behind the last of each token, (n, 3)."""
        return np.stack([answer[0, : len(one)], one.begins, one.ends], axis=1).astype(np.float32)

    def columns(self, placed: np.ndarray, row: Row) -> dict[str, Any]:
        """The words that are taken as a text, and where each begins."""
        tokens, begins, _ = self.tokens(self.text(row))
        told = dict(zip(begins.tolist(), tokens, strict=True))
        there = placed[placed[:, 0] >= np.float32(self._taking.threshold)].astype(np.float64)
        kept = [begin for begin in map(int, there[:, 1]) if not _NONE.match(told[begin])]
        return {EXTRACT: " ".join(told[begin] for begin in kept), EXTRACT_AT: kept}


def _nth(tokens: Sequence[str]) -> np.ndarray:
    """How often each token came before, int64, without bound."""
    before, made = Counter[str](), np.zeros(len(tokens), np.int64)
    for at, token in enumerate(tokens):
        made[at] = before[token]
        before[token] += 1
    return made
