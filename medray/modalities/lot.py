"""Rows of a shard that are answered together, by one model or by several."""

from collections.abc import Callable, Hashable, Iterator
from typing import Any, Literal, Self, TypeVar, cast

import numpy as np

from medray.storage.shards.reader import Shard
from medray.storage.shards.stored import InShard

ROWS = 8192  # of a lot; of compounds 3 MB as they are stored, and 15 as networks take them

Together = Literal["rows", "samples"] | None
"""How answers to many samples are written: as one table, or each with its own row. The digest of a
table is another, so who once wrote samples goes on so."""

T = TypeVar("T")


class Lot:
    """Some rows of a shard. What one model has made of them the others take.

    Args:
        shard: that holds them.
        numbers: of the rows, int64 (rows,), in the order of the answers.
    """

    def __init__(self, shard: Shard, numbers: np.ndarray) -> None:
        self.shard, self.numbers = shard, numbers
        self._made: dict[Hashable, Any] = {}

    def __len__(self) -> int:
        return len(self.numbers)

    def take(self, rows: np.ndarray) -> Self:
        """Some of them, by their place in the lot; all of them in their order are this one."""
        if np.array_equal(rows, np.arange(len(self))):
            return self
        return type(self)(self.shard, self.numbers[rows])

    def parts(self, size: int) -> list[np.ndarray]:
        """Places in the lot, so many at a time."""
        return np.split(np.arange(len(self)), range(size, len(self), size))

    def each(self) -> Iterator[InShard]:
        """One by one."""
        return (InShard(self.shard, number) for number in self.numbers.tolist())

    def once(self, what: Hashable, make: Callable[[], T]) -> T:
        """What `make` gives, which is called for the first who asks for `what` alone."""
        if what not in self._made:
            self._made[what] = make()
        return cast("T", self._made[what])


def joined(answers: np.ndarray, behind: np.ndarray) -> np.ndarray:
    """Answers (B, …) as they are, or flat where something (B, numbers) stands behind them."""
    if not behind.shape[1]:
        return answers
    return np.concatenate([answers.reshape(len(answers), -1), behind], axis=1)
