"""Predict: samples of a dataset to what a model says of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from medray.engine.units.operation import Operation, Unit
from medray.modalities.base import Asking, Predictor
from medray.modalities.folds import predictor_of
from medray.modalities.loaded import LoadedModel, load_model
from medray.modalities.lot import Lot
from medray.storage.shards.reader import Shard
from medray.storage.shards.records import Pinned, Refusal
from medray.storage.shards.rows import Rows
from medray.storage.shards.samples import Sample
from medray.storage.shards.schema import Arrays
from medray.storage.shards.stored import InShard
from medray.storage.shards.writer import table_of
from medray.storage.store.objects import Objects


class Predict(Operation):
    """Runs a trained model over samples.

    Parameters: `model` (reference), `precision`, `batch`, `options` of the model's modality, and
    `held_out` of a model of folds (see medray.modalities.base.Asking).
    Payload of a unit: `shard`, `rows` (see medray.steps.base.planned).
    Output samples have the id of their input and its row, without what that says of arrays. Dense
    tasks add the array `label`, or `probability` (classes, *space) with outputs "probabilities",
    slab by slab. Tasks on whole images add the columns of `Task.decide`.
    """

    name: ClassVar[str] = "predict"
    device: ClassVar[bool] = True

    def __init__(self, objects: Objects, parameters: dict[str, Any]) -> None:
        super().__init__(objects, parameters)
        self._shard = lru_cache(maxsize=4)(
            lambda *pinned: Shard(objects, Pinned(*pinned), in_order=True)
        )
        self._looked_up: _Place | None = None

    def open(self) -> None:
        """Load the network, once for all units."""
        _ = self._predictor

    @cached_property
    def _predictor(self) -> Predictor:
        model = load_model(self.objects, self.parameters["model"])
        return self._asking(model)

    def adopt(self, model: LoadedModel) -> None:
        """Use a model that is loaded already; the caller vouches that it is the one named."""
        self._predictor = self._asking(model)

    def _asking(self, model: LoadedModel) -> Predictor:
        how = {n: self.parameters[n] for n in ("precision", "batch", "held_out")}
        kind = next(iter(model.members.values())).modality.PredictOptions
        options = kind.model_validate(self.parameters["options"])
        return predictor_of(model, Asking(options, **how))

    @property
    def arrays(self) -> Arrays:
        """See Predictor."""
        return self._predictor.arrays

    @property
    def batch(self) -> int:
        """See Predictor; as many as are answered together."""
        return self._predictor.rows

    def lazy(self, unit: Unit) -> bool:
        """Where samples of its shard are answered together; see Predictor."""
        return self._place(unit).lazy

    def load(self, unit: Unit, key: str) -> Iterator[Sample | Refusal]:
        """The sample, prepared, or where it lies of those that are answered together."""
        place = self._place(unit)
        shard, number = place.shard, place.rows[key]
        if place.lazy:
            yield _There(key, shard, number)
        else:
            yield self._predictor.prepare(InShard(shard, number), len(unit.inputs))

    def _place(self, unit: Unit) -> "_Place":
        """Where a unit's inputs lie, looked up once: two threads may each ask for their own."""
        place = self._looked_up
        if place is None or place.unit != unit.id:
            shard = self._shard(*unit.payload["shard"])
            rows = dict(zip(unit.inputs, unit.payload["rows"], strict=True))
            place = _Place(unit.id, shard, rows, self._predictor.together(shard) is not None)
            self._looked_up = place
        return place

    def compute(self, samples: Sequence[Sample]) -> Iterator[Sample]:
        """One output sample for each input sample, in order, or rows of all of them."""
        there = [one for one in samples if isinstance(one, _There)]
        if not there:
            yield from self._predictor.compute(samples)
            return
        numbers = np.array([one.number for one in there], np.int64)
        shard = there[0].shard
        decided = self._predictor.decided(Lot(shard, numbers))
        table = shard.table.take(pa.array(numbers))
        if self._predictor.together(shard) == "samples":
            for row, own in zip(table.to_pylist(), decided, strict=True):
                yield Sample(row.pop("sample_id"), row | own)
            return
        made = table_of(decided)
        table = table.select([name for name in table.column_names if name not in made.schema.names])
        for name in made.column_names:
            table = table.append_column(name, made[name])
        yield Rows(table)


@dataclass(frozen=True)
class _Place:
    """Where a unit's inputs lie.

    Args:
        unit: its id.
        shard: that holds them.
        rows: of each input.
        lazy: they are answered together.
    """

    unit: str
    shard: Shard
    rows: dict[str, int]
    lazy: bool


class _There(Sample):
    """A sample that is read with others of its shard.

    Args:
        key: its id.
        shard: that holds it.
        number: its row there.
    """

    def __init__(self, key: str, shard: Shard, number: int) -> None:
        super().__init__(key, {})
        self.shard, self.number = shard, number
