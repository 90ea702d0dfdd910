"""Sequences of events as a network sees them: packed in memory, padded batch by batch."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from medray.data.batch import Batch, Part
from medray.data.held import HeldLoader
from medray.data.tree import Tree, to_device
from medray.errors import DataError, SpecError
from medray.modalities.ehr.plan import CODES, HOURS, RecordPlan
from medray.storage.catalog.datasets import Dataset

Events = Sequence[Mapping[str, np.ndarray]]
"""Of each sample `codes` int32 and `hours` float32, both (events,)."""


def gather(dataset: Dataset, indices: Sequence[int]) -> list[dict[str, np.ndarray]]:
    """Events of samples, in the order of `indices`.

    Raises:
        SpecError: no sample is selected (code "no-samples").
        DataError: a sample has no such array (code "no-such-array").
    """
    if not indices:
        raise SpecError(
            "no samples are selected",
            code="no-samples",
            about=dataset.reference,
            hint="check `select` and the dataset's splits",
        )
    places = dataset.columns(["_shard", "_row"]).take(list(indices))
    shards, rows = (np.asarray(places[name]) for name in ("_shard", "_row"))
    found: list[dict[str, np.ndarray]] = [{} for _ in indices]
    for number in np.unique(shards).tolist():
        mine = np.flatnonzero(shards == number)
        for name in (CODES, HOURS):
            each = dataset.shards[number].ragged(name).take(rows[mine].tolist())
            for at, values in zip(mine.tolist(), each, strict=True):
                found[at][name] = values
    return found


def batched(events: Events, plan: RecordPlan, device: torch.device) -> dict[str, Tree]:
    """As networks take them, see medray.models.ehr.base; every sample has one place at least.

    Raises:
        DataError: a code has a number beyond the vocabulary (code "model-mismatch").
    """
    longest = max([1, *(len(one[CODES]) for one in events)])
    codes = np.zeros((len(events), longest), np.int64)
    hours = np.zeros((len(events), longest), np.float32)
    for at, one in enumerate(events):
        codes[at, : len(one[CODES])] = one[CODES]
        hours[at, : len(one[HOURS])] = one[HOURS]
    if codes.max() >= plan.vocabulary or codes.min() < 0:
        raise DataError(
            f"codes have numbers up to {codes.max()}, for a model of {plan.vocabulary}",
            code="model-mismatch",
            hint="give the cohort the codes of the one that was learnt from: `using: {like: …}`",
        )
    arrays = {CODES: codes, HOURS: hours}
    return {name: to_device(torch.from_numpy(one), device) for name, one in arrays.items()}


def design(events: Events, plan: RecordPlan) -> np.ndarray:
    """How often each code comes, as log(1 + n), float32 (samples, codes)."""
    counts = [np.bincount(one[CODES], minlength=plan.vocabulary)[1:] for one in events]
    made: np.ndarray = np.log1p(np.stack(counts)).astype(np.float32)
    return made


class RecordCases:
    """Sequences of a dataset, all in memory: 8 bytes an event.

    Args:
        dataset: of a cohort.
        indices: which samples of it.
    """

    def __init__(self, dataset: Dataset, indices: Sequence[int]) -> None:
        self.events = gather(dataset, indices)
        self.rows: list[dict[str, Any]] = dataset.samples.take(list(indices)).to_pylist()

    def __len__(self) -> int:
        return len(self.rows)

    def some(self, chosen: Sequence[int]) -> Events:
        """Events of some of them."""
        return [self.events[at] for at in chosen]


class RecordLoader(HeldLoader[RecordCases]):
    """Batches of sequences, padded to the longest.

    Args:
        plan: of the training.
    """

    plan: RecordPlan

    def batch(self, step: int) -> Batch:
        """This rank's batch of one step."""
        samples, _ = self.order.slice_at(step, *self.share)
        parts = np.array_split(samples, min(self.parts, len(samples)))
        return Batch(step, tuple(self._part(some) for some in parts))

    def _part(self, samples: np.ndarray) -> Part:
        tree = batched(self.cases.some(samples.tolist()), self.plan, self.device)
        return Part(tree, to_device(self.targets[samples], self.device))
