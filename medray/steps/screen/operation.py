"""Screen: samples of a dataset to what several models say of them, a row each."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from medray.engine.units.operation import Operation, Unit
from medray.errors import DataError
from medray.modalities.base import Asking, Predictor
from medray.modalities.folds import predictor_of
from medray.modalities.loaded import load_model
from medray.modalities.lot import ROWS, Lot
from medray.storage.shards.reader import Shard
from medray.storage.shards.records import Pinned
from medray.storage.shards.rows import Rows
from medray.storage.shards.samples import Sample


class Screen(Operation):
    """Runs trained models over samples. What they read is read once for all that read the same.

    Of a model of folds all networks are asked, for their mean.

    Parameters: `models` (column → reference), `precision`, `batch`, `keep` (columns of the data).
    Payload of a unit: `shard`, `start`, `stop`: rows of it.
    Output samples: in the order of the data, each with its id, what is kept, and float32 columns,
    see `columns_of`; null where a model's answer is not finite.
    """

    name: ClassVar[str] = "screen"
    device: ClassVar[bool] = True

    def open(self) -> None:
        """Load the networks, once for all units."""
        _ = self._predictors

    @cached_property
    def _predictors(self) -> dict[str, Predictor]:
        how = {name: self.parameters[name] for name in ("precision", "batch")}
        made = {}
        for column, reference in self.parameters["models"].items():
            model = load_model(self.objects, reference)
            options = next(iter(model.members.values())).modality.PredictOptions()
            made[column] = predictor_of(model, Asking(options, **how))
        return made

    def load(self, unit: Unit, key: str) -> Iterator[Sample]:
        """Which rows."""
        yield Sample(key, dict(unit.payload))

    def compute(self, samples: Sequence[Sample]) -> Iterator[Rows]:
        """See Operation."""
        for sample in samples:
            yield Rows(self._scored(Shard(self.objects, Pinned(*sample.row["shard"])), sample.row))

    def _scored(self, shard: Shard, row: dict[str, Any]) -> pa.Table:
        numbers = np.arange(row["start"], row["stop"])
        found: dict[str, list[np.ndarray]] = {column: [] for column in self._predictors}
        for first in range(0, len(numbers), ROWS):
            lot = Lot(shard, numbers[first : first + ROWS])
            for column, predictor in self._predictors.items():
                found[column].append(answered(predictor, lot))
        table = shard.columns(["sample_id", *self.parameters["keep"]])
        table = table.slice(row["start"], len(numbers))
        for column, parts in found.items():
            scores = np.concatenate(parts)
            outputs = columns_of(column, self._predictors[column].trained.task.classes)
            for name, values in zip(outputs, scores.T, strict=True):
                made = pa.array(np.ascontiguousarray(values), pa.float32(), mask=np.isnan(values))
                table = table.append_column(name, made)
        return table


def columns_of(column: str, classes: Sequence[str]) -> list[str]:
    """Columns of a model's answers: its own, or of several outputs one each, `column.output`."""
    return [column] if len(classes) == 1 else [f"{column}.{one}" for one in classes]


def answered(predictor: Predictor, lot: Lot) -> np.ndarray:
    """What a model makes of rows, float32 (rows, classes); NaN where that is not finite."""
    try:
        return predictor.of_shard(lot)
    except DataError as error:
        if error.code != "nonfinite-output":
            raise
    if len(lot) == 1:
        return np.full((1, len(predictor.trained.task.classes)), np.nan, np.float32)
    halves = np.array_split(np.arange(len(lot)), 2)
    return np.concatenate([answered(predictor, lot.take(rows)) for rows in halves])
