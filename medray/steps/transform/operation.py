"""Transform: samples of a dataset to samples of another, by a plugin."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

from medray.engine.units.operation import Operation, Unit
from medray.modalities.lot import Lot
from medray.steps.transform.transforms import TRANSFORMS
from medray.steps.transform.transforms.base import Transformation
from medray.storage.catalog.datasets import open_dataset
from medray.storage.shards.reader import Shard
from medray.storage.shards.records import Pinned, Refusal
from medray.storage.shards.samples import Sample
from medray.storage.shards.schema import Arrays
from medray.storage.shards.stored import InShard
from medray.storage.store.objects import Objects


class Transform(Operation):
    """Runs a transformation over stored samples.

    Parameters: `operation` (options with `name`), `using` (reference of each role's dataset),
    `attributes` (see Transformation.reads), `data` (reference of what is gone over).
    Payload of a unit: `shard`, and `rows`, or `start` and `stop` where many samples are gone over
    together (see medray.steps.base.planned).
    """

    name: ClassVar[str] = "transform"

    def __init__(self, objects: Objects, parameters: dict[str, Any]) -> None:
        super().__init__(objects, parameters)
        self._made = transformation(parameters, objects)
        self._shard = lru_cache(maxsize=4)(
            lambda *pinned: Shard(objects, Pinned(*pinned), in_order=True)
        )

    @property
    def arrays(self) -> Arrays:
        """See Transformation."""
        return self._made.declared

    def load(self, unit: Unit, key: str) -> Iterator[Sample | Refusal]:
        """What the transformation makes of one sample, or of all rows of the unit."""
        if self._made.together:
            shard = Shard(self.objects, Pinned(*unit.payload["shard"]))
            rows = np.arange(unit.payload["start"], unit.payload["stop"])
            yield from self._made.apply_lot(Lot(shard, rows), key)
            return
        number = unit.payload["rows"][unit.inputs.index(key)]
        yield from self._made.apply(InShard(self._shard(*unit.payload["shard"]), number))


def transformation(parameters: dict[str, Any], objects: Objects) -> Transformation:
    """The plugin that a step's parameters name."""
    options = dict(parameters["operation"])
    kind = TRANSFORMS.get(options.pop("name"))
    using = {role: open_dataset(objects, name) for role, name in parameters["using"].items()}
    made = kind(kind.Options.model_validate(options), using, parameters["attributes"])
    made.data = open_dataset(objects, parameters["data"])
    return made
