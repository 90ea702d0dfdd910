"""A sample where it lies, in a shard or in memory: its row at hand, its arrays to be sliced."""

from typing import Any, Protocol

import numpy as np

from medray.errors import DataError
from medray.storage.shards.reader import Shard
from medray.storage.shards.sample_array import SampleArray
from medray.storage.shards.samples import Sample, Slabs

Sliceable = SampleArray | np.ndarray


class Stored(Protocol):
    """What prediction and transformations are given of a sample."""

    @property
    def id(self) -> str: ...
    @property
    def row(self) -> dict[str, Any]:
        """Its values, without the id; not to be changed."""

    @property
    def names(self) -> list[str]:
        """Of its arrays."""

    def array(self, name: str) -> Sliceable:
        """One of its arrays, to be sliced without reading the rest.

        Raises:
            DataError: there is none of that name (code "no-such-array").
        """


class InShard:
    """A sample of a shard.

    Args:
        shard: that holds it.
        number: its row in the shard.
    """

    def __init__(self, shard: Shard, number: int) -> None:
        self._shard, self._number = shard, number
        self.row = shard.row(number)
        self.id = str(self.row.pop("sample_id"))

    @property
    def names(self) -> list[str]:
        """See Stored."""
        return list(self._shard.names(self._number))

    def array(self, name: str) -> SampleArray:
        """See Stored."""
        return self._shard.array(self._number, name)


class InMemory:
    """A sample that is held, as a request brings it.

    Args:
        sample: its slabs are put together.
    """

    def __init__(self, sample: Sample) -> None:
        self.id, self.row, self._arrays = sample.id, sample.row, sample.arrays

    @property
    def names(self) -> list[str]:
        """See Stored."""
        return sorted(self._arrays)

    def array(self, name: str) -> np.ndarray:
        """See Stored."""
        if name not in self._arrays:
            raise DataError(f"the sample has no array {name!r}", code="no-such-array")
        return whole(self._arrays[name])


def whole(values: np.ndarray | Slabs) -> np.ndarray:
    """The array, put together where it comes in slabs."""
    if isinstance(values, Slabs):
        return np.concatenate(list(values.parts), axis=values.axis)
    return values
