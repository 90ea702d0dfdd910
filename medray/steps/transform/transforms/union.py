"""Samples of two datasets in one."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from medray.steps.transform.transforms.base import Transformation, TransformOptions
from medray.storage.catalog.datasets import Dataset
from medray.storage.shards.holds import Holds
from medray.storage.shards.reader import Shard
from medray.storage.shards.samples import Sample
from medray.storage.shards.schema import Arrays, united
from medray.storage.shards.stored import InShard
from medray.tasks.section import Section

MORE, SYNTHETIC = "more", "synthetic"


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

    @classmethod
    def holds(cls, options: UnionOptions, using: frozenset[str]) -> Holds:
        """What both datasets do, whatever that is."""
        return Holds()

    def apply(self, sample: InShard) -> Iterator[Sample]:
        """The sample, with the columns of both datasets."""
        row = {**dict.fromkeys(self._columns), **sample.row}
        yield Sample(sample.id, row, {name: _held(sample, name) for name in sample.names})

    def conclude(self, shards: Sequence[Shard], data: Dataset) -> dict[str, Any]:
        """Attribute `synthetic`, where some samples are, and how many these are."""
        if SYNTHETIC not in self._columns:
            return {}
        counts = [
            sum(map(bool, shard.columns([SYNTHETIC])[SYNTHETIC].to_pylist())) for shard in shards
        ]
        return {SYNTHETIC: True, "synthetic_samples": sum(counts)} if sum(counts) else {}

    @classmethod
    def sections(cls, name: str, attributes: Mapping[str, Any]) -> list[Section]:
        """That there are synthetic samples, where there are some."""
        if not attributes.get(SYNTHETIC):
            return []
        count = attributes["synthetic_samples"]
        said = f"{count} of these samples are synthetic: they are of nobody."
        return [Section(title=f"Union: {name}", notes=[said])]

    @cached_property
    def _columns(self) -> list[str]:
        both = (self.data, self.using[MORE])
        return sorted({name for one in both for name in one.manifest.columns} - {"sample_id"})


def _held(sample: InShard, name: str) -> np.ndarray:
    found: np.ndarray = sample.array(name)[...]
    return found
