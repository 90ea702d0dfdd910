"""Samples of two datasets in one."""

from collections.abc import Iterator
from functools import cached_property
from typing import ClassVar

import numpy as np

from medray.steps.transform.transforms.base import Transformation, TransformOptions
from medray.storage.shards.samples import Sample
from medray.storage.shards.schema import Arrays, united
from medray.storage.shards.stored import InShard

MORE = "more"


class UnionOptions(TransformOptions):
    """Nothing can be chosen."""


class Union(Transformation):
    """All samples of `data` and all of `more`, as they were; ids must differ.

    A row has the columns of both, null where its own dataset has none. So what was `synthetic`
    stays so, and the others are null there.
    """

    Options: ClassVar[type[TransformOptions]] = UnionOptions
    name: ClassVar[str] = "union"
    roles: ClassVar[tuple[str, ...]] = (MORE,)
    required: ClassVar[frozenset[str]] = frozenset(roles)
    adds: ClassVar[tuple[str, ...]] = (MORE,)
    options: UnionOptions

    @property
    def declared(self) -> Arrays:
        """Those of both datasets."""
        return united(one.manifest.arrays for one in (self.data, self.using[MORE]))

    def apply(self, sample: InShard) -> Iterator[Sample]:
        """The sample, with the columns of both datasets."""
        row = {**dict.fromkeys(self._columns), **sample.row}
        yield Sample(sample.id, row, {name: _held(sample, name) for name in sample.names})

    @cached_property
    def _columns(self) -> list[str]:
        both = (self.data, self.using[MORE])
        return sorted({name for one in both for name in one.manifest.columns} - {"sample_id"})


def _held(sample: InShard, name: str) -> np.ndarray:
    found: np.ndarray = sample.array(name)[...]
    return found
