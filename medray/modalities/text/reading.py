"""How a text is read for what is asked of it: as a whole, for its spans, or for its words."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from medray.data.tree import Tree, to_device
from medray.errors import DataError
from medray.formats.documents.columns import SPANS, Span, spans_of, told
from medray.modalities.text.encoded import Encoded, encoded, encoded_all, on, targets_of, words_tree
from medray.modalities.text.grams import families, weighted
from medray.modalities.text.plan import TextPlan
from medray.modalities.text.spoken import written
from medray.modalities.text.tokens import Codec, cut
from medray.tasks.base import Task
from medray.tasks.metrics.entities import strict_entities

Row = Mapping[str, Any]


class Reading(ABC):
    """Texts of a plan's column, for a network that reads some things beside words.

    Args:
        plan: of the training.
        task: that is learnt or answered.
    """

    def __init__(self, plan: TextPlan, task: Task) -> None:
        self.plan, self.task = plan, task
        self.codec = Codec(plan.words, plan.letters)

    @property
    def columns_read(self) -> tuple[str, ...]:
        """Columns of a row that an answer takes."""
        return (self.plan.column,)

    def text(self, row: Row) -> str:
        """The text of a row.

        Raises:
            DataError: it has none (code "no-text").
        """
        text = row.get(self.plan.column)
        if not isinstance(text, str):
            raise DataError(
                f"the sample has no text in the column {self.plan.column!r}",
                code="no-text",
                hint="name another column in `plan: column` of the training",
            )
        return text

    def tokens(self, text: str) -> tuple[list[str], np.ndarray, np.ndarray]:
        """The tokens that are read of a text, and where each begins and ends; of what was spelled
        out those that are written for it, where the plan says so."""
        tokens, begins, ends = cut(text)
        if self.plan.spoken:
            tokens, begins, ends = written(tokens, begins, ends)
        some = slice(self.plan.longest)
        return tokens[some], begins[some], ends[some]

    def encode(self, row: Row, *, learnt: bool) -> Any:
        """A row as numbers.

        Args:
            row: of a sample.
            learnt: with what is to be learnt of it.

        Raises:
            DataError: it has no text, or nothing that could be learnt.
        """
        if self.codec.forms.full:
            self.codec = Codec(self.plan.words, self.plan.letters)
        return encoded(self.text(row), self.codec, self.plan.longest)

    def encode_all(self, rows: Sequence[Row]) -> list[Any]:
        """Rows as numbers, of which nothing is learnt."""
        return [self.encode(row, learnt=False) for row in rows]

    def size(self, one: Any) -> int:
        """Of what is encoded, to batch like with like."""
        return len(one)

    def inputs(self, several: Sequence[Any], device: torch.device) -> dict[str, Tree]:
        """A batch as networks take it."""
        return words_tree(several, self.codec, self.plan.reads, device)

    def taught(self, several: Sequence[Any], device: torch.device) -> dict[str, Tree]:
        """A batch as networks take it that learn: those that write are told what came before."""
        return self.inputs(several, device)

    def target(self, several: Sequence[Any], device: torch.device) -> "Tree | None":
        """A batch's target; None: `Task.targets` has it."""
        return None

    def truth(self, one: Any) -> np.ndarray | None:
        """What an answer is held against in a validation."""
        return None

    def each(self, answers: np.ndarray, several: Sequence[Any]) -> list[np.ndarray]:
        """Of a batch's answers those of each text."""
        return list(answers)

    def placed(self, one: Any, answer: np.ndarray) -> np.ndarray:
        """A text's answer together with where in the text it stands, float32: of several networks
        such answers can be averaged, and each says by itself what it means."""
        return answer

    @abstractmethod
    def columns(self, placed: np.ndarray, row: Row) -> dict[str, Any]:
        """The columns that a text's answer makes.

        Args:
            placed: as `placed` gave it; rows of NaN are none.
            row: of the sample, or nothing of it.
        """


@dataclass(frozen=True)
class Read(Encoded):
    """A text's tokens, and where the network reads them its n-grams: hashes and weights."""

    grams: tuple[np.ndarray, np.ndarray] | None = None


class Whole(Reading):
    """A text as a whole."""

    @cached_property
    def _rare(self) -> np.ndarray:
        return np.array(self.plan.rarity, np.float32)

    def encode(self, row: Row, *, learnt: bool) -> Read:
        """See Reading."""
        one: Encoded = super().encode(row, learnt=learnt)
        made = None
        if "grams" in self.plan.reads:
            made = weighted(families(self.text(row), self.plan.opening), self._rare)
        return Read(one.forms, one.begins, one.ends, grams=made)

    def inputs(self, several: Sequence[Any], device: torch.device) -> dict[str, Tree]:
        """See Reading, with n-grams where the network reads them."""
        made, grams = super().inputs(several, device), [one.grams for one in several]
        if "grams" not in self.plan.reads:
            return made
        ends = np.cumsum([0, *(len(hashes) for hashes, _ in grams)])
        arrays = {
            "grams": np.concatenate([hashes for hashes, _ in grams]),
            "weights": np.concatenate([weights for _, weights in grams]),
            "starts": ends[:-1].astype(np.int64),
        }
        return {**made, **on(arrays, device)}

    def columns(self, placed: np.ndarray, row: Row) -> dict[str, Any]:
        """See Reading."""
        return self.task.decide(placed)


class Marked(Reading):
    """Spans of a text, by the tags of its tokens."""

    def __init__(self, plan: TextPlan, task: Task) -> None:
        super().__init__(plan, task)
        self._types = tuple(tag.partition("-")[2] for tag in plan.classes[1::2])

    def encode(self, row: Row, *, learnt: bool) -> Encoded:
        """See Reading."""
        one: Encoded = super().encode(row, learnt=learnt)
        if not learnt:
            return one
        if row.get(SPANS) is None:
            raise DataError("the sample is not annotated", code="no-spans")
        tags = np.zeros(len(one), np.uint8)
        # The longest first: of nested spans tags can tell one alone.
        for span in sorted(spans_of(row), key=lambda span: span.begin - span.end):
            first = int(one.ends.searchsorted(span.begin, "right"))
            last = int(one.begins.searchsorted(span.end, "left"))
            told_apart = not span.parts and span.type in self._types
            if told_apart and first < last and not tags[first:last].any():
                kind = self._types.index(span.type)
                tags[first:last] = 2 * kind + 2
                tags[first] = 2 * kind + 1
        return Encoded(one.forms, one.begins, one.ends, tags)

    def encode_all(self, rows: Sequence[Row]) -> list[Encoded]:
        """See Reading; all texts are cut at once, which takes a third of the time."""
        if self.codec.forms.full:
            self.codec = Codec(self.plan.words, self.plan.letters)
        texts = [self.text(row) for row in rows]
        return encoded_all(texts, self.codec, self.plan.longest)

    def target(self, several: Sequence[Encoded], device: torch.device) -> Tree:
        """Tags, uint8 (B, L)."""
        return to_device(torch.from_numpy(targets_of(several)), device)

    def truth(self, one: Encoded) -> np.ndarray | None:
        """See Reading."""
        return one.target

    def placed(self, one: Encoded, answer: np.ndarray) -> np.ndarray:
        """Tag, first character and the one behind the last of each token, (n, 3)."""
        made = np.empty((len(one), 3), np.float32)
        made[:, 0], made[:, 1], made[:, 2] = answer[0, : len(one)], one.begins, one.ends
        return made

    def columns(self, placed: np.ndarray, row: Row) -> dict[str, Any]:
        """`spans`, in the order of the text."""
        if not placed[:, 0].any():
            return {SPANS: []}
        there = placed[~np.isnan(placed[:, 0])].astype(np.int64)
        spans = [
            Span(int(there[first, 1]), int(there[last - 1, 2]), self._types[kind])
            for first, last, kind in strict_entities(there[:, 0])
        ]
        return {SPANS: [told(span) for span in spans]}
