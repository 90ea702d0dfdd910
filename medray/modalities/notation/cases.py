"""Line notations of a split as a network sees them: tokens, in batches of like lengths."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from medray.data.ahead import many_ahead
from medray.data.batch import Batch, in_parts
from medray.data.dealt import Dealt
from medray.data.order import Order
from medray.data.tree import to_device
from medray.errors import DataError, SpecError
from medray.modalities.notation.tokens import Codec
from medray.models.notation.base import END
from medray.storage.catalog.datasets import Dataset
from medray.tasks.base import NO_LABEL

WINDOW = 32  # steps whose samples are dealt out by length: of 64 SMILES, 2 % is filled up, not 39


def texts_of(dataset: Dataset, indices: Sequence[int], column: str) -> list[str]:
    """The texts of some samples.

    Raises:
        SpecError: no sample is selected (code "no-samples"), or there is no such column (code
            "no-such-column").
        DataError: a sample has no text (code "no-text").
    """
    if not indices:
        raise SpecError(
            "no samples are selected",
            code="no-samples",
            about=dataset.reference,
            hint="check `select` and the dataset's splits",
        )
    found = dataset.columns([column])[column].take(pa.array(list(indices), pa.int64()))
    texts: list[str] = found.to_pylist()
    if not all(isinstance(text, str) and text for text in texts):
        raise DataError(
            f"a sample has no text in the column {column!r}",
            code="no-text",
            about=dataset.reference,
            hint="name another column in `plan: column`, or leave such samples out by `select`",
        )
    return texts


def filled(made: Sequence[tuple[list[int], bool]]) -> tuple[np.ndarray, np.ndarray]:
    """What a network is given of texts and what comes next, uint8 (B, longest of them) each, filled
    up as by `NotationCases.take`.

    Args:
        made: of each text its tokens, and whether it ended.
    """
    wanted = [[*tokens, END] if ended else tokens for tokens, ended in made]
    longest = max(map(len, wanted))
    given = np.full((len(wanted), longest), END, np.uint8)
    following = np.full((len(wanted), longest), NO_LABEL, np.uint8)
    for row, tokens in enumerate(wanted):
        given[row, 1 : len(tokens)] = tokens[:-1]
        following[row, : len(tokens)] = tokens
    return given, following


class NotationCases:
    """Texts as tokens, all in memory: END, the tokens, END, one text behind the other.

    A text with a token that was not learnt has no tokens here; who judges counts it.

    Args:
        dataset: with the column.
        indices: which samples of it.
        column: of the texts.
        tokens: the vocabulary.

    Raises:
        SpecError, DataError: as `texts_of`.
    """

    def __init__(
        self, dataset: Dataset, indices: Sequence[int], column: str, tokens: Sequence[str]
    ) -> None:
        rows = dataset.columns(["sample_id"]).take(pa.array(list(indices), pa.int64()))
        self.rows: list[dict[str, Any]] = rows.select(["sample_id"]).to_pylist()
        codec, parts = Codec(tokens), []
        for text in texts_of(dataset, indices, column):
            try:
                parts.append(np.concatenate([[END], codec.encode(text), [END]]).astype(np.uint8))
            except DataError:
                parts.append(np.zeros(0, np.uint8))
        self.lengths = np.array([max(0, len(part) - 1) for part in parts])
        """Tokens of each text, its END among them; 0 of one that was not learnt."""
        self._starts = np.cumsum([0, *(len(part) for part in parts)])[:-1]
        self._tokens = np.concatenate(parts)

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What a network is given and what comes next, uint8 (B, longest of them) each.

        Behind its end a text is filled up with END, and what comes next with NO_LABEL.
        """
        lengths, starts = self.lengths[chosen], self._starts[chosen]
        along = np.arange(max(1, int(lengths.max(initial=0))))
        there = along < lengths[:, None]
        at = np.where(there, starts[:, None] + along, 0)
        given = np.where(there, self._tokens[at], END).astype(np.uint8)
        following = np.where(there, self._tokens[np.where(there, at + 1, 0)], NO_LABEL)
        return given, following.astype(np.uint8)


class NotationLoader:
    """Prepares a rank's batches: tokens uint8 (B, L), and as targets what comes next.

    Args:
        cases: the training samples.
        order: of them.
        share: (rank, ranks).
        device: where batches go.
        prefetch: batches that are prepared ahead; none on a CPU, see medray.data.ahead.
        parts: that a batch is computed in.
    """

    def __init__(
        self,
        cases: NotationCases,
        order: Order,
        *,
        share: tuple[int, int] = (0, 1),
        device: torch.device | None = None,
        prefetch: int = 2,
        parts: int = 1,
    ) -> None:
        self.cases, self._share = cases, share
        self.order = Dealt(order.samples, order.batch, order.seed, cases.lengths, WINDOW)
        self._prefetch, self._parts = prefetch, parts
        self._device = device or torch.device("cpu")

    def batches(self, first: int, last: int) -> Iterator[Batch]:
        """This rank's batches of the steps first … last - 1."""
        steps = range(first, last)
        return many_ahead(self._made, steps, prefetch=self._prefetch, device=self._device)

    def _made(self, steps: range) -> Iterator[Batch]:
        samples, _ = self.order.slice_at(steps.start, *self._share, len(steps))
        for step, own in zip(steps, np.split(samples, len(steps)), strict=True):
            given, following = (
                to_device(torch.from_numpy(one), self._device) for one in self.cases.take(own)
            )
            yield in_parts(step, given, following, self._parts)
