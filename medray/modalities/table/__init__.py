"""Tables: features of one or several modalities, imputed and standardised as in training."""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal, cast

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from medray.data.order import Order
from medray.errors import DataError, SpecError
from medray.modalities.base import (
    Answering,
    Modality,
    Plan,
    Precision,
    Trained,
    Wanted,
    planned_fields,
)
from medray.modalities.image.build import model_options
from medray.modalities.image.sliding.blend import require_finite
from medray.modalities.image.sliding.infer import forward
from medray.modalities.table.cases import Columns, TableCases, TableLoader, gather
from medray.models import MODELS
from medray.models.base import Network
from medray.spec.training import TrainSettings
from medray.storage.catalog.datasets import Dataset
from medray.storage.shards.holds import Needs
from medray.storage.shards.reader import Shard
from medray.storage.shards.samples import Sample
from medray.tasks.base import Task

TOGETHER = 1024  # rows that are validated at once
BATCH = 64  # rows in a step at most, unless the job says


class ColumnPlan(BaseModel):
    """How the columns of a modality are imputed and scaled; see `cases.Columns`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    median: tuple[float, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]


class TablePlan(Plan):
    """The plan of a training on tables."""

    modality: Literal["table"] = "table"
    columns: dict[str, ColumnPlan] = Field(description="of each array of features, by its name")

    @property
    def widths(self) -> dict[str, int]:
        """Features of each modality."""
        return {name: len(columns.mean) for name, columns in self.columns.items()}

    def scalers(self) -> dict[str, Columns]:
        """As the data room takes them."""
        return {
            name: Columns(*(np.asarray(part) for part in (one.median, one.mean, one.std)))
            for name, one in self.columns.items()
        }


class Tables(Modality):
    """Samples with one or several arrays of features."""

    name: ClassVar[str] = "table"
    Plan: ClassVar[type[TablePlan]] = TablePlan
    needs: ClassVar[Needs] = Needs(features=True)

    def plan(
        self, dataset: Dataset, indices: Sequence[int], task: Task, wanted: Wanted
    ) -> TablePlan:
        """Medians, means and deviations of the training rows."""
        names = modalities_of(dataset, indices)
        columns = {}
        for name, part in zip(names, gather(dataset, indices, names), strict=True):
            found = Columns.of(part)
            columns[name] = ColumnPlan(
                median=tuple(map(float, found.median)),
                mean=tuple(map(float, found.mean)),
                std=tuple(map(float, found.std)),
            )
        targets = _targets(task, dataset.samples.take(list(indices)).to_pylist())
        return planned_fields(
            TablePlan,
            wanted.given,
            {
                "classes": task.classes,
                "frequencies": task.statistics(targets.numpy()),
                "batch_size": wanted.settings.batch_size or max(2, min(BATCH, len(indices) // 10)),
                "samples": len(indices),
                "columns": columns,
            },
            {"batch_size": f"at most {BATCH} and a tenth of the samples"},
        )

    def build(self, model: dict[str, Any], plan: TablePlan) -> Network:
        """The network for so many features."""
        options = model_options(model, modalities=plan.widths)
        kind = MODELS.get(model["name"])
        return kind.build(options, sum(plan.widths.values()), len(plan.classes), None)

    def cases(
        self,
        dataset: Dataset,
        indices: Sequence[int],
        plan: TablePlan,
        task: Task,
        settings: TrainSettings,
    ) -> TableCases:
        """See medray.modalities.table.cases."""
        return TableCases(dataset, indices, plan.scalers())

    def loader(
        self,
        cases: TableCases,
        order: Order,
        plan: TablePlan,
        task: Task,
        settings: TrainSettings,
        share: tuple[int, int],
        device: torch.device,
    ) -> TableLoader:
        """See medray.modalities.table.cases."""
        targets = _targets(task, cases.rows)
        return TableLoader(
            cases,
            order,
            targets,
            share=share,
            device=device,
            prefetch=settings.prefetch,
            parts=settings.accumulate,
        )

    def judge(
        self,
        network: Network,
        cases: TableCases,
        chosen: Sequence[int],
        task: Task,
        plan: TablePlan,
        device: torch.device,
        precision: Precision,
    ) -> Iterator[list[float]]:
        """Many rows at a time."""
        for start in range(0, len(chosen), TOGETHER):
            features = cases.features[list(chosen[start : start + TOGETHER])]
            for answer in _answers(network, features, task, device, precision):
                yield task.judge(answer, None)

    def design(self, dataset: Dataset, indices: Sequence[int], plan: TablePlan) -> np.ndarray:
        """The standardised features; those of a modality that is not there are all at the mean."""
        design: np.ndarray = np.nan_to_num(TableCases(dataset, indices, plan.scalers()).features)
        return design

    def predictor(self, trained: Trained, options: dict[str, Any]) -> Answering:
        """One row for each row."""
        return TablePredictor(trained, options)

    def describe(self, plan: TablePlan) -> list[str]:
        """Features of each modality."""
        return [", ".join(f"{name}: {width} features" for name, width in plan.widths.items())]


class TablePredictor(Answering):
    """How a model of tables answers.

    Of several modalities, `without` holds the answer when each of them is hidden: what it is worth.
    """

    def __init__(self, trained: Trained, options: dict[str, Any]) -> None:
        super().__init__(trained, options)
        self._plan = cast("TablePlan", trained.plan)
        self._scalers = self._plan.scalers()

    @property
    def batch(self) -> int:
        """As the step says."""
        return int(self.options["batch"])

    def read(self, shard: Shard, number: int, together: int) -> Sample:
        """The sample's row, and its features float32 (features,), standardised."""
        row = shard.table.slice(number, 1).to_pylist()[0]
        there = shard.names(number)
        parts = []
        for name, width in self._plan.widths.items():
            values = np.full(width, np.nan, np.float32)
            if name in there:
                values = shard.array(number, name)[...].astype(np.float32)
            if values.shape != (width,):
                raise DataError(
                    f"{name!r} of {values.shape} for a model of {width} features",
                    code="model-mismatch",
                    about=str(row["sample_id"]),
                    hint="select samples like those the model was trained on",
                )
            parts.append(self._scalers[name].apply(values[None])[0])
        return Sample(str(row.pop("sample_id")), row, {"features": np.concatenate(parts)})

    def answers(self, samples: Sequence[Sample]) -> np.ndarray:
        """Of all modalities, and behind it, without each of them: (B, 1 + hidden, classes)."""
        whole = np.stack([np.asarray(sample.arrays["features"]) for sample in samples])
        made = [self._answer(whole)]
        widths = list(self._plan.widths.values())
        for at, width in enumerate(widths if len(widths) > 1 else []):
            less = whole.copy()
            less[:, sum(widths[:at]) :][:, :width] = np.nan
            made.append(self._answer(less))
        return np.stack(made, 1)

    def finish(self, sample: Sample, answer: np.ndarray) -> Sample:
        """See Predictor."""
        made = super().finish(sample, answer[0])
        if len(answer) > 1:
            names = list(self._plan.widths)
            made.row["without"] = {
                name: less.tolist() for name, less in zip(names, answer[1:], strict=True)
            }
        return made

    def _answer(self, features: np.ndarray) -> np.ndarray:
        trained = self.trained
        return _answers(
            trained.network, features, trained.task, trained.device, self.options["precision"]
        )


def modalities_of(dataset: Dataset, indices: Sequence[int]) -> list[str]:
    """Names of the arrays of features that any of the samples has, sorted.

    Raises:
        SpecError: there are none (code "no-features").
    """
    places = dataset.samples.select(["_shard", "_row"]).take(list(indices)).to_pylist()
    names: set[str] = set()
    for place in places:
        names.update(dataset.shards[place["_shard"]].names(place["_row"]))
    if not names:
        raise SpecError(
            "the samples hold no features",
            code="no-features",
            about=dataset.reference,
            hint="this network takes samples with features, as the format `table` reads them",
        )
    return sorted(names)


def _targets(task: Task, rows: Sequence[dict[str, Any]]) -> Tensor:
    targets = task.targets(rows)
    if targets is None:
        raise SpecError(
            "a table has no bases or voxels to answer for",
            code="task-mismatch",
            about=task.name,
            hint="take classification or regression",
        )
    return targets


def _answers(
    network: Network,
    features: np.ndarray,
    task: Task,
    device: torch.device,
    precision: Precision,
) -> np.ndarray:
    """What the task makes of the network's answers: float32 (B, classes)."""
    inputs = torch.from_numpy(features).to(device)
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        logits = forward(network, inputs)
    require_finite(logits)
    return task.probabilities(logits).cpu().numpy()
