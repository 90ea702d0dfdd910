"""Texts of a split as a network sees them: encoded in memory, in batches of like lengths."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from medray.data.ahead import many_ahead
from medray.data.batch import Batch, Part
from medray.data.dealt import Dealt
from medray.data.order import Order
from medray.data.tree import to_device
from medray.errors import DataError, SpecError
from medray.modalities.text.reading import Reading
from medray.storage.catalog.datasets import Dataset
from medray.tasks.base import Task

WINDOW = 16  # steps whose samples are dealt out by length


class TextCases:
    """Texts as numbers, all in memory.

    Args:
        dataset: of documents.
        indices: which samples of it.
        reading: of their texts.

    Raises:
        SpecError: no sample is selected (code "no-samples").
        DataError: a sample has no text, or nothing to be learnt.
    """

    def __init__(self, dataset: Dataset, indices: Sequence[int], reading: Reading) -> None:
        if not indices:
            raise SpecError(
                "no samples are selected",
                code="no-samples",
                about=dataset.reference,
                hint="check `select` and the dataset's splits",
            )
        self.rows: list[dict[str, Any]] = dataset.samples.take(list(indices)).to_pylist()
        self.reading = reading
        self.encoded = []
        for row in self.rows:
            try:
                self.encoded.append(reading.encode(row, learnt=True))
            except DataError as error:
                raise DataError(
                    error.message, code=error.code, about=str(row["sample_id"]), hint=error.hint
                ) from error
        self.sizes = np.array([reading.size(one) for one in self.encoded], np.int64)

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, chosen: np.ndarray) -> list[Any]:
        """What is encoded of some samples."""
        return [self.encoded[at] for at in chosen.tolist()]


class TextLoader:
    """Prepares a rank's batches.

    Args:
        cases: the training samples.
        order: of them.
        task: whose targets are learnt.
        share: (rank, ranks).
        device: where batches go.
        prefetch: batches that are prepared ahead; none on a CPU, see medray.data.ahead.
        parts: that a batch is computed in.
    """

    def __init__(
        self,
        cases: TextCases,
        order: Order,
        task: Task,
        *,
        share: tuple[int, int] = (0, 1),
        device: torch.device | None = None,
        prefetch: int = 2,
        parts: int = 1,
    ) -> None:
        self.cases, self._share = cases, share
        self.order = Dealt(order.samples, order.batch, order.seed, cases.sizes, WINDOW)
        self._targets: Tensor | None = task.targets(cases.rows)
        self._prefetch, self._parts = prefetch, parts
        self._device = device or torch.device("cpu")

    def batches(self, first: int, last: int) -> Iterator[Batch]:
        """This rank's batches of the steps first … last - 1."""
        steps = range(first, last)
        return many_ahead(self._made, steps, prefetch=self._prefetch, device=self._device)

    def _made(self, steps: range) -> Iterator[Batch]:
        samples, _ = self.order.slice_at(steps.start, *self._share, len(steps))
        for step, own in zip(steps, np.split(samples, len(steps)), strict=True):
            several = np.array_split(own, min(self._parts, len(own)))
            yield Batch(step, tuple(self._part(some) for some in several))

    def _part(self, own: np.ndarray) -> Part:
        reading, some = self.cases.reading, self.cases.take(own)
        target = reading.target(some, self._device)
        if target is None:
            if self._targets is None:
                raise SpecError("the task has no target for texts", code="task-mismatch")
            target = to_device(self._targets[torch.from_numpy(own)], self._device)
        return Part(reading.taught(some, self._device), target)
