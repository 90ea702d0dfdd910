"""Pairs of spans in a sentence, each with the words around it: what may be related."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, permutations
from typing import Any, Protocol, cast

import numpy as np
import torch

from medray.data.tree import Tree
from medray.errors import DataError
from medray.formats.documents.columns import RELATIONS, SPANS, Span, relations_of, spans_of
from medray.modalities.text.encoded import filled, on
from medray.modalities.text.phrases import phrases
from medray.modalities.text.plan import TextPlan
from medray.modalities.text.reading import Reading, Row
from medray.modalities.text.sentences import sentences
from medray.modalities.text.tokens import split
from medray.models.text.base import FIRST, OTHER, PADDING, REACH, SECOND, UNKNOWN
from medray.tasks.base import Task

AROUND = 20  # words before the first and behind the second span that are read
BETWEEN = 40  # words between them: of more the middle ones are left out
MOST = 20_000  # pairs of a document
LISTING = (",", ";", "/", "and", "or")  # what stands between spans that are listed
LISTED = 3  # words at most from one of them to the next

Pair = tuple[int, int]


class Linking(Protocol):
    """What a task says that relates spans."""

    @property
    def threshold(self) -> float:
        """Probability of the first class below which a pair is related."""


@dataclass(frozen=True)
class Pairs:
    """The pairs of a document.

    Args:
        pairs: places of both spans among the document's.
        words: of each pair's sentence, int32.
        first, second: of each word its distance from either span, int32, see models.text.base.
        labels: class of each pair, 0 for none, uint8; None where it is not known.
    """

    pairs: list[Pair]
    words: list[np.ndarray]
    first: list[np.ndarray]
    second: list[np.ndarray]
    labels: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.pairs)


class Linked(Reading):
    """All pairs of spans that stand in one sentence; of the words of a span one is left, which says
    whether it is the first, the second or another one, so that no pair is known by its names.
    Others that are listed one behind the other are read as one. The first class is for pairs that
    nothing relates, as it is of two spans of the same text where `alike` says so.
    """

    def __init__(self, plan: TextPlan, task: Task) -> None:
        super().__init__(plan, task)
        self._linking = cast("Linking", task)
        self._listing = [one for one in self.codec.words(LISTING).tolist() if one != UNKNOWN]

    @property
    def columns_read(self) -> tuple[str, ...]:
        """See Reading; with spans."""
        return (self.plan.column, SPANS)

    def encode(self, row: Row, *, learnt: bool) -> Pairs:
        """See Reading.

        Raises:
            DataError: besides, there are too many pairs (code "too-many-pairs").
        """
        text, spans = self.text(row), spans_of(row)
        made = Pairs([], [], [], [])
        bounds = [(one.begin, one.end) for one in spans]
        for begin, end in sentences(text, bounds):
            inside = [at for at, one in enumerate(spans) if begin <= one.begin < end]
            if len(inside) > 1:
                self._sentence(text[begin:end], begin, spans, inside, made)
            if len(made) > MOST:
                raise DataError(f"over {MOST} pairs of spans", code="too-many-pairs")
        if not learnt:
            return made
        if row.get(RELATIONS) is None:
            raise DataError("the sample is not annotated", code="no-relations")
        kinds = {kind: at for at, kind in enumerate(self.plan.classes)}
        labels = {}
        for one in relations_of(row, len(spans)):
            labels[self._pair(one.first, one.second, spans)] = kinds.get(one.type, 0)
        told = np.array([labels.get(pair, 0) for pair in made.pairs], np.uint8)
        return Pairs(made.pairs, made.words, made.first, made.second, told)

    def _pair(self, one: int, other: int, spans: Sequence[Span]) -> Pair:
        """A pair as it is listed: in order of the text, unless a relation has a direction."""
        if self.task.directed:
            return one, other
        first, second = sorted((one, other), key=lambda at: (spans[at].begin, spans[at].end, at))
        return first, second

    def _sentence(
        self, text: str, begin: int, spans: Sequence[Span], inside: Sequence[int], made: Pairs
    ) -> None:
        ordered = sorted(inside, key=lambda at: (spans[at].begin, spans[at].end, at))
        places, words = dict[int, int](), list[int]()
        owner, tokens = -1, split(text)
        numbers = self.codec.words([token.text for token in tokens]).tolist()
        for token, number in zip(tokens, numbers, strict=True):
            first, last = token.begin + begin, token.end + begin
            over = [at for at in ordered if spans[at].begin < last and first < spans[at].end]
            if not over:
                owner = -1
                words.append(number)
                continue
            if over[0] != owner:
                owner = over[0]
                words.append(OTHER)
            for at in over:
                places.setdefault(at, len(words) - 1)
        base = np.array(words, np.int32)
        listed = [at for at in ordered if at in places]
        ranks = {at: rank for rank, at in enumerate(listed)}
        told = {at: text[spans[at].begin - begin : spans[at].end - begin].lower() for at in listed}
        most = len(listed) if self.plan.between is None else self.plan.between + 1
        pairs = permutations(listed, 2) if self.task.directed else combinations(listed, 2)
        for one, other in pairs:
            if abs(ranks[one] - ranks[other]) > most:
                continue
            if not self.plan.alike and told[one] == told[other]:
                continue
            row = base.copy()
            row[places[other]], row[places[one]] = SECOND, FIRST
            kept = self._kept(row)
            row, moved = row[kept], kept.cumsum() - 1
            here, there = int(moved[places[one]]), int(moved[places[other]])
            along = np.arange(len(row), dtype=np.int32)
            near, far = min(here, there), max(here, there)
            read = np.abs(2 * along - near - far) <= far - near + 2 * AROUND
            if far - near > BETWEEN:
                read &= (along - near <= BETWEEN // 2) | (far - along <= BETWEEN // 2)
            made.pairs.append((one, other))
            made.words.append(row[read])
            made.first.append((along - here).clip(-REACH, REACH)[read] + REACH)
            made.second.append((along - there).clip(-REACH, REACH)[read] + REACH)

    def _kept(self, row: np.ndarray) -> np.ndarray:
        """Which words stay, bool (words,), where of other spans in a list the first stands for
        all: "with OTHER, OTHER and OTHER" is "with OTHER"."""
        kept, others = np.ones(len(row), bool), np.flatnonzero(row == OTHER)
        if len(others) > 1:
            parting = np.cumsum(~np.isin(row, self._listing))
            begins, ends = others[:-1], others[1:]
            joined = (ends - begins <= LISTED) & (parting[begins] + 1 == parting[ends])
            for begin, end in zip(begins[joined].tolist(), ends[joined].tolist(), strict=True):
                kept[begin + 1 : end + 1] = False
        return kept

    def inputs(self, several: Sequence[Pairs], device: torch.device) -> dict[str, Tree]:
        """A row a pair; without any pair a row of nothing, whose answer counts for none."""
        if not sum(map(len, several)):
            blank = np.zeros((1, 1), np.int32)
            rows = {"words": blank, "first": blank, "second": blank, **self._grams([*blank])}
            return on({**rows, "lengths": np.ones(1, np.int64)}, device)
        words = [row for one in several for row in one.words]
        grams = self._grams(words)
        arrays: dict[str, np.ndarray] = {
            "words": filled(words, PADDING),
            "first": filled([row for one in several for row in one.first], 0),
            "second": filled([row for one in several for row in one.second], 0),
            "lengths": np.array([len(row) for row in words], np.int64),
        }
        return on({**arrays, **grams}, device)

    def _grams(self, words: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        return phrases(words, self.plan.phrase) if "grams" in self.plan.reads else {}

    def target(self, several: Sequence[Pairs], device: torch.device) -> Tree:
        """`labels` int64 (pairs,), `owners` of which document each is, `documents` (B,) zeros."""
        labels = [one.labels for one in several if one.labels is not None and len(one)]
        whole = np.concatenate([*labels, np.zeros(0, np.uint8)]).astype(np.int64)
        owners = np.repeat(np.arange(len(several)), [len(one) for one in several])
        arrays: dict[str, np.ndarray] = {
            "labels": whole,
            "owners": owners,
            "documents": np.zeros(len(several), np.float32),
        }
        return on(arrays, device)

    def truth(self, one: Pairs) -> np.ndarray | None:
        """See Reading."""
        return one.labels

    def each(self, answers: np.ndarray, several: Sequence[Pairs]) -> list[np.ndarray]:
        """See Reading."""
        ends = np.cumsum([len(one) for one in several])
        return [answers[end - len(one) : end] for end, one in zip(ends, several, strict=True)]

    def placed(self, one: Pairs, answer: np.ndarray) -> np.ndarray:
        """Probabilities, and behind them both places, (pairs, classes + 2)."""
        places = np.array(one.pairs, np.float32).reshape(-1, 2)
        return np.concatenate([answer, places], axis=1)

    def columns(self, placed: np.ndarray, row: Row) -> dict[str, Any]:
        """`relations`: of each pair that is likely enough to be related, by its likeliest type."""
        there = placed[~np.isnan(placed[:, 0])]
        kinds = there[:, 1:-2].argmax(1) + 1
        related = there[:, 0] < self._linking.threshold
        told = []
        for at in np.flatnonzero(related).tolist():
            first, second = (int(place) for place in there[at, -2:])
            told.append({"type": self.plan.classes[kinds[at]], "first": first, "second": second})
        return {RELATIONS: told}
