"""A dataset as sequences: its shards, and its samples as a loader of torch takes them."""

from collections.abc import Sequence
from typing import Any, Protocol

import pyarrow as pa

from medray.storage.catalog.manifest import Entries
from medray.storage.shards.reader import Shard
from medray.storage.shards.records import Pinned
from medray.storage.shards.sample_array import SampleArray
from medray.storage.store.objects import Objects


class Data(Protocol):
    """What samples are taken from: a dataset."""

    def __len__(self) -> int: ...
    def columns(self, names: Sequence[str]) -> pa.Table: ...
    def array(self, number: int, name: str) -> SampleArray: ...


class Shards(Sequence[Shard]):
    """The shards of a version, in plan order, each opened when it is asked for first."""

    def __init__(self, objects: Objects, units: Entries) -> None:
        self._objects = objects
        self._pinned = [units.array(name) for name in Pinned._fields]
        self._open: dict[int, Shard] = {}

    def __len__(self) -> int:
        return len(self._pinned[0])

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        number = range(len(self))[index]
        if number not in self._open:
            self._open[number] = self.open(number)
        return self._open[number]

    def open(self, number: int) -> Shard:
        """One shard, of which nothing is kept."""
        return Shard(self._objects, Pinned(*(column[number].as_py() for column in self._pinned)))


class Items(Sequence[dict[str, Any]]):
    """Samples one by one, each a dict: `sample_id`, the arrays (numpy) and columns asked for.

    Torch itself is not needed here: its `default_collate` makes tensors of arrays and numbers.
    Samples of several sizes need a `collate_fn` of their own, or `batch_size=None`. With data in a
    bucket, `num_workers` needs `multiprocessing_context="spawn"`: connections outlive no fork.
    """

    def __init__(self, data: Data, arrays: Sequence[str], columns: Sequence[str]) -> None:
        self._data, self._arrays = data, arrays
        self._rows = data.columns(["sample_id", *columns])

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        number = range(len(self))[index]
        row = self._rows.slice(number, 1).to_pylist()[0]
        return {**row, **{name: self._data.array(number, name)[...] for name in self._arrays}}
