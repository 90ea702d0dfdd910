"""Texts and the summaries that are written of them, token by token."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, cast

import numpy as np
import torch

from medray.data.tree import Tree
from medray.errors import DataError
from medray.formats.documents.columns import GENERATED
from medray.modalities.text.encoded import Encoded, filled, on
from medray.modalities.text.reading import Reading, Row
from medray.modalities.text.tokens import Codec, cut
from medray.models.text.base import FIRST
from medray.models.text.beam import END
from medray.tasks.base import Task
from medray.tasks.metrics.rouge import words

MOST = 50_000  # tokens of a vocabulary that is written
LONGEST = 120  # tokens of a reference that are learnt; of a longer one the end is not
GLUED = "##"  # before a token that follows on another without a blank, as WordPiece has it
UNSAID = -1  # a token that can neither be written nor copied
_DIGIT = re.compile(r"\d")


class Writing(Protocol):
    """What a task says that has summaries written."""

    @property
    def target(self) -> str:
        """Column of the reference."""


def pieces(tokens: Sequence[str], begins: np.ndarray, ends: np.ndarray) -> list[str]:
    """Tokens as they are written behind those before them; see GLUED."""
    glued = [False, *(begins[1:] == ends[:-1]).tolist()]
    return [GLUED + one if tight else one for one, tight in zip(tokens, glued, strict=False)]


def told(several: Iterable[str]) -> str:
    """The text that pieces are."""
    made = "".join(
        one.removeprefix(GLUED) if one.startswith(GLUED) else f" {one}" for one in several
    )
    return made.strip()


def writing(texts: Iterable[str], least: int) -> tuple[str, ...]:
    """Pieces that come often enough, the most frequent first, each as it is written most often.

    Upper and lower case are one piece. None has a digit: a number can only be copied, so no
    summary has one that its text has not.

    Args:
        texts: summaries to learn from.
        least: times that a piece has to come.
    """
    forms = defaultdict[str, Counter[str]](Counter)
    for text in texts:
        for piece in pieces(*cut(text)):
            if not _DIGIT.search(piece):
                forms[piece.lower()][piece] += 1
    counts = {key: several.total() for key, several in forms.items()}
    kept = sorted(
        (key for key, count in counts.items() if count >= least),
        key=lambda key: (-counts[key], key),
    )
    return tuple(min(forms[key], key=lambda one: (-forms[key][one], one)) for key in kept[:MOST])


def references(rows: Sequence[Row], task: Task) -> list[str]:
    """The summaries of samples.

    Raises:
        DataError: one has none (code "bad-target").
    """
    target = cast("Writing", task).target
    made = []
    for row in rows:
        if not isinstance(one := row.get(target), str):
            raise DataError(
                "the sample has no reference summary",
                code="bad-target",
                hint="name another column in the task's `target`, or leave such samples out",
            )
        made.append(one)
    return made


@dataclass(frozen=True)
class Copied(Encoded):
    """A text's tokens.

    Args:
        copies: which token of a summary each is, int32 (n,): from the plan's `writes` on, numbered
            as they come.
        reference: tokens of the reference, UNSAID where there is none, int32 (t,); None: nothing
            is known.
        before: words of the tokens before these, int32 (t,).
        judged: what `AbstractiveSummary.judge` takes.
    """

    copies: np.ndarray | None = None
    reference: np.ndarray | None = None
    before: np.ndarray | None = None
    judged: np.ndarray | None = None


class Generated(Reading):
    """A text word by word, each by what it is in a summary."""

    @cached_property
    def _numbers(self) -> dict[str, int]:
        """Of the tokens that are written."""
        return {piece.lower(): at for at, piece in enumerate(self.plan.writes, start=END + 1)}

    @cached_property
    def _read(self) -> np.ndarray:
        """Words of the tokens that are written, int32; of END that which summaries begin with."""
        known = self.codec.words([one.removeprefix(GLUED) for one in self.plan.writes])
        return np.array([FIRST, *known.tolist()], np.int32)

    def encode(self, row: Row, *, learnt: bool) -> Copied:
        """See Reading."""
        if self.codec.forms.full:
            self.codec = Codec(self.plan.words, self.plan.letters)
        found = self.tokens(self.text(row))
        tokens, begins, ends = found
        keys = [piece.lower() for piece in pieces(*found)]
        numbers, size = self._numbers, len(self.plan.writes) + END + 1
        own = dict.fromkeys(key for key in keys if key not in numbers)
        numbers = numbers | {key: at for at, key in enumerate(own, start=size)}
        copies = np.array([numbers[key] for key in keys], np.int32)
        forms = self.codec.forms.number(tokens)
        places = begins.astype(np.int32), ends.astype(np.int32)
        if not learnt:
            return Copied(forms, *places, copies=copies)
        (summary,) = references([row], self.task)
        wanted, starts, behind = cut(summary)
        asked = [piece.lower() for piece in pieces(wanted, starts, behind)]
        reference = [numbers.get(key, UNSAID) for key in asked] + [END]
        before = np.array([FIRST, *self.codec.words(wanted).tolist()], np.int32)
        judged = _judged(["", *self.plan.writes, *own], words(summary))
        some = slice(LONGEST)
        return Copied(
            forms, *places, None, copies, np.array(reference, np.int32)[some], before[some], judged
        )

    def inputs(self, several: Sequence[Any], device: torch.device) -> dict[str, Tree]:
        """See Reading, with what each word is when it is copied."""
        arrays = {"copies": filled([one.copies for one in several], END), "writes": self._read}
        return {**super().inputs(several, device), **on(arrays, device)}

    def taught(self, several: Sequence[Any], device: torch.device) -> dict[str, Tree]:
        """See Reading, with the references."""
        arrays = {
            "reference": filled([one.reference for one in several], UNSAID),
            "before": filled([one.before for one in several], FIRST),
        }
        return {**self.inputs(several, device), **on(arrays, device)}

    def target(self, several: Sequence[Any], device: torch.device) -> Tree:
        """How many tokens of each reference are learnt, float32 (B,)."""
        known = [np.count_nonzero(one.reference != UNSAID) for one in several]
        return on({"learnt": np.array(known, np.float32)}, device)["learnt"]

    def truth(self, one: Copied) -> np.ndarray | None:
        """See Reading."""
        return one.judged

    def placed(self, one: Copied, answer: np.ndarray) -> np.ndarray:
        """What is written, float32 (n,): tokens of the plan from 1 on, and below 0 what is copied,
        -1 of the text's first token."""
        ends = np.flatnonzero(answer == END)
        found = answer[: ends[0] if len(ends) else None].astype(np.int64)
        copied = found > len(self.plan.writes)
        if one.copies is not None and copied.any():
            _, numbers = np.unique(one.copies, return_index=True)
            there = one.copies[numbers]
            found[copied] = -1 - numbers[there.searchsorted(found[copied])]
        return found.astype(np.float32)

    def columns(self, placed: np.ndarray, row: Row) -> dict[str, Any]:
        """The summary."""
        own = pieces(*self.tokens(self.text(row)))
        found = placed[~np.isnan(placed)].astype(np.int64).tolist()
        several = [own[-1 - at] if at < 0 else self.plan.writes[at - 1] for at in found]
        return {GENERATED: told(several)}


def _judged(several: Sequence[str], wanted: Sequence[str]) -> np.ndarray:
    """What `AbstractiveSummary.judge` takes of the tokens of a summary and of its reference."""
    counts = Counter(wanted)
    heard = [words(piece) for piece in several]
    kinds = dict[str, int]()
    made = np.zeros((2, len(several) + 1), np.int64)
    for at, found in enumerate(heard):
        if len(found) == 1:
            made[0, at] = kinds.setdefault(found[0], len(kinds) + 1)
            made[1, at] = counts[found[0]]
    made[1, -1] = len(wanted)
    return made
