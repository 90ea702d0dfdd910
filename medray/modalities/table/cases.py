"""Tables of features as a network sees them: one matrix in memory, imputed and standardised.

Several modalities of a sample stand beside each other in its row; where a sample lacks a whole
modality, its columns stay NaN, and the network masks them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from medray.data.batch import Batch, in_parts
from medray.data.columns import Columns
from medray.data.held import HeldLoader
from medray.data.tree import to_device
from medray.errors import DataError, SpecError
from medray.storage.catalog.datasets import Dataset


def gather(dataset: Dataset, indices: Sequence[int], names: Sequence[str]) -> list[np.ndarray]:
    """Arrays of features of samples, float32 (samples, features) for each name.

    A sample without an array has NaN there.

    Raises:
        SpecError: no sample is selected ("no-samples"), or no sample has the array ("no-features").
        DataError: samples differ in the number of features (code "ragged-features").
    """
    if not indices:
        raise SpecError(
            "no samples are selected",
            code="no-samples",
            about=dataset.reference,
            hint="check `select` and the dataset's splits",
        )
    places = dataset.samples.select(["_shard", "_row"]).take(list(indices)).to_pylist()
    made = []
    for name in names:
        rows: list[np.ndarray | None] = []
        stacks: dict[int, list[np.ndarray | None] | None] = {}
        for place in places:
            shard = dataset.shards[place["_shard"]]
            if place["_shard"] not in stacks:
                stacks[place["_shard"]] = shard.stack(name)
            stack = stacks[place["_shard"]]
            if stack is not None:
                rows.append(stack[place["_row"]])
            elif name in shard.names(place["_row"]):
                rows.append(shard.array(place["_row"], name)[...])
            else:
                rows.append(None)
        made.append(_matrix(dataset, name, rows))
    return made


def _matrix(dataset: Dataset, name: str, rows: Sequence[np.ndarray | None]) -> np.ndarray:
    sizes = {row.shape for row in rows if row is not None}
    if not sizes:
        raise SpecError(
            f"no sample has an array {name!r}",
            code="no-features",
            about=dataset.reference,
            hint="this network takes samples with features, as the format `table` reads them",
        )
    if len(sizes) > 1 or len(next(iter(sizes))) != 1:
        raise DataError(
            f"{name!r} has {len(sizes)} shapes", code="ragged-features", about=dataset.reference
        )
    blank = np.full(sizes.pop(), np.nan, np.float32)
    return np.stack([blank if row is None else row.astype(np.float32) for row in rows])


class TableCases:
    """Rows of features, all in memory.

    Args:
        dataset: with an array for each modality.
        indices: which samples of it.
        columns: of each modality, in the order in which they stand in a row.
    """

    def __init__(
        self, dataset: Dataset, indices: Sequence[int], columns: Mapping[str, Columns]
    ) -> None:
        found = gather(dataset, indices, list(columns))
        self.rows: list[dict[str, Any]] = dataset.samples.take(list(indices)).to_pylist()
        scaled = [one.apply(part) for one, part in zip(columns.values(), found, strict=True)]
        self.features = np.concatenate(scaled, axis=1)

    def __len__(self) -> int:
        return len(self.rows)


class TableLoader(HeldLoader[TableCases]):
    """Batches of rows: float32 (B, features)."""

    def batch(self, step: int) -> Batch:
        """This rank's batch of one step."""
        samples, _ = self.order.slice_at(step, *self.share)
        features = to_device(torch.from_numpy(self.cases.features[samples]), self.device)
        target = to_device(self.targets[samples], self.device)
        return in_parts(step, features, target, self.parts)
