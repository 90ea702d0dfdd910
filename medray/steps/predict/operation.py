"""Predict: samples of a dataset to what a model says of them."""

from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from medray.engine.units.operation import Operation, Unit
from medray.modalities.base import Asking, Predictor
from medray.modalities.folds import predictor_of
from medray.modalities.loaded import LoadedModel, load_model
from medray.modalities.lot import ROWS, Lot
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
        self._of, self._at = "", dict[str, int]()

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
        """See Predictor; of a columnar one as many as are answered together."""
        return ROWS if self._predictor.columnar else self._predictor.batch

    @property
    def lazy(self) -> bool:
        """Of a columnar predictor."""
        return self._predictor.columnar

    def load(self, unit: Unit, key: str) -> Iterator[Sample | Refusal]:
        """The sample, prepared, or of a columnar predictor where it lies; see Predictor."""
        at = self._places(unit)[key]
        shard, number = self._shard(*unit.payload["shard"]), unit.payload["rows"][at]
        if self._predictor.columnar:
            yield _There(key, shard, number)
        else:
            yield self._predictor.prepare(InShard(shard, number), len(unit.inputs))

    def _places(self, unit: Unit) -> dict[str, int]:
        """Where each of a unit's inputs stands, looked up once."""
        if self._of != unit.id:
            self._of, self._at = unit.id, {one: at for at, one in enumerate(unit.inputs)}
        return self._at

    def compute(self, samples: Sequence[Sample]) -> Iterator[Sample]:
        """One output sample for each input sample, in order; of a columnar predictor as rows."""
        if not self._predictor.columnar:
            yield from self._predictor.compute(samples)
            return
        there = [one for one in samples if isinstance(one, _There)]
        numbers = np.array([one.number for one in there], np.int64)
        shard, task = there[0].shard, self._predictor.trained.task
        answers = self._predictor.of_shard(Lot(shard, numbers))
        made = table_of([task.decide(one) for one in answers])
        table = shard.table.take(pa.array(numbers))
        table = table.select([name for name in table.column_names if name not in made.schema.names])
        for name in made.column_names:
            table = table.append_column(name, made[name])
        yield Rows(table)


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
