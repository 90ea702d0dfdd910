"""The transformation `near`: of each sample the points that are not far off, and their marks."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from medray.errors import DataError
from medray.steps.transform.transforms.base import Transformation, TransformOptions
from medray.storage.catalog.datasets import Dataset
from medray.storage.shards.holds import Holds, Needs, named, names
from medray.storage.shards.reader import Shard
from medray.storage.shards.samples import Sample
from medray.storage.shards.schema import Arrays
from medray.storage.shards.stored import InShard
from medray.tasks.metric import Metric
from medray.tasks.section import Section, Tile
from toyspots.format import MARKS, POINTS

LEFT = Metric("points left out", kind="count")


class Near(Transformation):
    """Points within `radius` of 0. Rows have `weight` anew, and `far`, how many were left out."""

    class Options(TransformOptions):
        """What can be chosen."""

        radius: float = Field(gt=0, description="of what is near")

    name: ClassVar[str] = "near"

    @classmethod
    def needs(cls, options: Any, role: str = "") -> Needs:
        """Both arrays."""
        return Needs((names("points"), names("marks")), names("subject"))

    @classmethod
    def arrays(cls, options: Any, using: frozenset[str]) -> Arrays:
        """As the format has them."""
        return {"points": POINTS, "marks": MARKS}

    @classmethod
    def holds(cls, options: Any, using: frozenset[str]) -> Holds:
        """A spots dataset again."""
        columns = names("subject", "split", "weight", "far")
        return Holds(named(cls.arrays(options, using)), columns)

    @classmethod
    def sections(cls, name: str, attributes: Mapping[str, Any]) -> list[Section]:
        """How many points were left out."""
        return [Section(f"Near: {name}", [Tile(LEFT, attributes["metrics"]["far"])])]

    def apply(self, sample: InShard) -> Iterator[Sample]:
        """One sample of one.

        Raises:
            DataError: it has points, and all of them are far (code "all-far").
        """
        points, marks = sample.array("points")[...], sample.array("marks")[...]
        near = np.square(points).sum(1) <= self.options.radius**2
        if len(near) and not near.any():
            raise DataError("no point is near", code="all-far")
        kept = marks[near[marks[:, 0]]]
        kept[:, 0] = (near.cumsum() - 1)[kept[:, 0]]
        weight = float((points[near, 0] > 0).mean()) if near.any() else 0.0
        row = {**sample.row, "weight": weight, "far": int((~near).sum())}
        yield Sample(sample.id, row, {"points": points[near], "marks": kept})

    def conclude(self, shards: Sequence[Shard], data: Dataset) -> dict[str, Any]:
        """The sum of `far`."""
        counts = (sum(shard.columns(["far"])["far"].to_pylist()) for shard in shards)
        return {"metrics": {"far": sum(counts)}}
