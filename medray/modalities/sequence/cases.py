"""Sequences of a split as a network sees them: tokens in memory, drawn batch by batch.

A token is a byte, so a million windows of 2 kb are 2 GB; they go to the device as bytes, and
become one-hot there.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from medray.data.ahead import many_ahead
from medray.data.batch import Batch, in_parts
from medray.data.order import Order
from medray.data.tree import to_device
from medray.errors import DataError, SpecError
from medray.formats.genomics.alphabet import PAD, encode, reverse_complement
from medray.modalities.sequence.augment import SequenceAugment
from medray.modalities.sequence.plan import Align
from medray.storage.catalog.datasets import Dataset
from medray.tasks.base import NO_LABEL

TURNED = 4096  # sequences turned at once
TWICE_BYTES = 8 * 2**30  # of sequences, up to which their other strands are held beside them


class SequenceCases:
    """Sequences as tokens, all in memory.

    Args:
        dataset: with a column `sequence`.
        indices: which samples of it.
        length: tokens that the network takes; longer sequences lose bases, shorter are padded.
        align: which end, or the middle, of a sequence of another length is kept in its place.
        labels: read the array `label`, a class per base.

    Raises:
        SpecError: there are no samples ("no-samples"), or they hold no sequences ("no-sequences").
    """

    def __init__(
        self,
        dataset: Dataset,
        indices: Sequence[int],
        length: int,
        align: Align = "left",
        *,
        labels: bool = False,
    ) -> None:
        texts = sequences_of(dataset, indices)
        rest = [name for name in dataset.samples.column_names if name != "sequence"]
        self.rows: list[dict[str, Any]] = (
            dataset.samples.select(rest).take(list(indices)).to_pylist()
        )
        self.length = length
        self.tokens = tokens_of(texts, length, align)
        self._strands: np.ndarray | None = None
        self.labels = np.full((0, length), NO_LABEL, np.uint8)
        if labels:
            made = [_fitted(dataset.array(i, "label")[...], length, align) for i in indices]
            self.labels = np.stack(made)

    def __len__(self) -> int:
        return len(self.rows)

    def strands(self) -> np.ndarray:
        """Every sequence, and then every one as its other strand: uint8 (2 * samples, length).

        It is made once, so that a turned sequence is as quickly drawn as one that is not; `tokens`
        becomes its first half.
        """
        count = len(self.tokens)
        if self._strands is None:
            made = np.empty((2 * count, self.length), np.uint8)
            made[:count] = self.tokens
            self._strands, self.tokens = made, made[:count]
            for at in range(0, count, TURNED):
                part = slice(at, min(count, at + TURNED))
                made[count + part.start : count + part.stop] = _turned(self.tokens[part])
        return self._strands


def sequences_of(dataset: Dataset, indices: Sequence[int]) -> pa.ChunkedArray:
    """The column `sequence` of some samples.

    Raises:
        SpecError: no sample is selected (code "no-samples"), or there is no such column (code
            "no-sequences").
    """
    if not indices:
        raise SpecError(
            "no samples are selected",
            code="no-samples",
            about=dataset.reference,
            hint="check `select` and the dataset's splits",
        )
    if "sequence" not in dataset.samples.column_names:
        raise SpecError(
            "the samples hold no sequences",
            code="no-sequences",
            about=dataset.reference,
            hint="this network takes samples with a column `sequence`",
        )
    column = dataset.samples["sequence"].take(pa.array(list(indices), pa.int64()))
    if column.null_count:
        raise DataError("a sample has no sequence", code="no-sequences", about=dataset.reference)
    return column


def tokens_of(texts: pa.ChunkedArray, length: int, align: Align) -> np.ndarray:
    """Letters to tokens uint8 (samples, length), as `SequenceCases` describes."""
    tokens = np.full((len(texts), length), PAD, np.uint8)
    at = 0
    for chunk in texts.chunks:
        flat = chunk.cast(pa.large_string())
        _, offsets, data = flat.buffers()
        if data is None:
            at += len(flat)
            continue
        ends = np.frombuffer(offsets, np.int64)[flat.offset : flat.offset + len(flat) + 1]
        codes = encode(memoryview(data)[int(ends[0]) : int(ends[-1])].tobytes())
        ends = ends - ends[0]
        sizes = np.diff(ends)
        if (sizes == length).all():
            tokens[at : at + len(flat)] = codes.reshape(-1, length)
        else:
            for row, (start, stop) in enumerate(pairwise(ends)):
                tokens[at + row] = _fitted(codes[start:stop], length, align, PAD)
        at += len(flat)
    return tokens


def _fitted(codes: np.ndarray, length: int, align: Align, fill: int = NO_LABEL) -> np.ndarray:
    """One sequence's codes, cut or filled to `length`."""
    spare = length - len(codes)
    if spare == 0:
        return codes
    before = {"left": 0, "centre": spare // 2, "right": spare}[align]
    if spare < 0:
        return codes[-before : length - before]
    return np.pad(codes, (before, spare - before), constant_values=fill)


class SequenceLoader:
    """Prepares a rank's batches of sequences: tokens uint8 (B, length), and as targets what
    `targets` held, or labels uint8 (B, length).

    Args:
        cases: the training samples.
        order: of them.
        targets: one per case; None: labels of the bases.
        augment: its `reverse_complement` and `shift_bases` are done; None: none.
        share: (rank, ranks).
        device: where batches go.
        prefetch: batches that are prepared ahead; none on a CPU, see medray.data.ahead.
        parts: that a batch is computed in.
    """

    def __init__(
        self,
        cases: SequenceCases,
        order: Order,
        *,
        targets: Tensor | None,
        augment: SequenceAugment | None,
        share: tuple[int, int] = (0, 1),
        device: torch.device | None = None,
        prefetch: int = 2,
        parts: int = 1,
    ) -> None:
        self.cases, self.order, self._parts = cases, order, parts
        self._targets, self._share = targets, share
        self._turn = augment is not None and augment.reverse_complement
        self._shift = 0 if augment is None else augment.shift_bases
        self._device = device or torch.device("cpu")
        self._prefetch = prefetch
        twice = self._turn and cases.tokens.nbytes <= TWICE_BYTES
        self._strands = cases.strands() if twice else None

    def batches(self, first: int, last: int) -> Iterator[Batch]:
        """This rank's batches of the steps first … last - 1."""
        steps = range(first, last)
        return many_ahead(self._made, steps, prefetch=self._prefetch, device=self._device)

    def batch(self, step: int) -> Batch:
        """This rank's batch of one step."""
        return next(self._made(range(step, step + 1)))

    def _made(self, steps: range) -> Iterator[Batch]:
        samples, seeds = self.order.slice_at(steps.start, *self._share, len(steps))
        size = len(samples) // len(steps)
        turned = (seeds & 1).astype(bool) if self._turn else np.zeros(len(seeds), bool)
        moves = np.zeros(len(seeds), np.int64)
        if self._shift:
            moves = ((seeds >> 1) % (2 * self._shift + 1)).astype(np.int64) - self._shift
        targets = None
        if self._targets is not None:
            targets = torch.split(self._targets[torch.from_numpy(samples)], size)
        for number, step in enumerate(steps):
            # One by one: a core's cache then holds the batch that is used at once.
            part = slice(number * size, (number + 1) * size)
            tokens, labels = self._drawn(samples[part], turned[part], moves[part])
            target = torch.from_numpy(labels) if targets is None else targets[number]
            inputs = to_device(torch.from_numpy(tokens), self._device)
            yield in_parts(step, inputs, to_device(target, self._device), self._parts)

    def _drawn(
        self, samples: np.ndarray, turned: np.ndarray, moves: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Tokens and labels of a batch; there are no labels where targets are given."""
        if self._strands is not None:
            tokens = self._strands.take(samples + len(self.cases) * turned, axis=0)
        else:
            tokens = self.cases.tokens.take(samples, axis=0)
            if self._turn:
                tokens[turned] = _turned(tokens[turned])
        labels = self.cases.labels[samples if self._targets is None else []]
        if self._turn and self._targets is None:
            labels[turned] = _mirrored(labels[turned], tokens[turned])
        if self._shift:
            for row, by in enumerate(moves.tolist()):
                tokens[row] = _shifted(tokens[row], by, PAD)
                if self._targets is None:
                    labels[row] = _shifted(labels[row], by, NO_LABEL)
        return tokens, labels


def _turned(tokens: np.ndarray) -> np.ndarray:
    """The other strand of each row; padding stays where it was."""
    return _mirrored(reverse_complement(tokens)[:, ::-1], tokens)


def _mirrored(values: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """Each row's values in reverse order, within the part that `tokens` do not pad."""
    there = tokens != PAD
    if there.all():
        return np.ascontiguousarray(values[:, ::-1])
    made = values.copy()
    for row, inside in enumerate(there):
        made[row, inside] = values[row, inside][::-1]
    return made


def _shifted(values: np.ndarray, by: int, fill: int) -> np.ndarray:
    """Values moved `by` places to the right, or left below 0; what comes in is `fill`."""
    if by == 0:
        return values
    made = np.full_like(values, fill)
    if by > 0:
        made[by:] = values[:-by]
    else:
        made[:by] = values[-by:]
    return made
