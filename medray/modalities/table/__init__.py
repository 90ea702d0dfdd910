"""Tables: features of one or several modalities, imputed and standardised as in training."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from medray.data.order import Order
from medray.errors import SpecError
from medray.modalities.base import Answering, Asking, Modality, Precision, Trained
from medray.modalities.plan import Sketch, Wanted, planned_fields
from medray.modalities.table.plan import TablePlan, TablePlanOptions
from medray.modalities.table.wire import TableWire
from medray.modalities.wire import Wire
from medray.spec.training import TrainSettings
from medray.storage.catalog.datasets import Dataset
from medray.storage.shards.holds import Needs

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from medray.modalities.table.cases import TableCases, TableLoader
    from medray.models.base import Network
    from medray.tasks.base import Task

TOGETHER = 1024  # rows that are validated at once
FEATURES = 8  # of a network that is built before there are data
BATCH = 64  # rows in a step at most, unless the job says


class Tables(Modality):
    """Samples with one or several arrays of features."""

    name: ClassVar[str] = "table"
    needs: ClassVar[Needs] = Needs(features=True)
    PlanOptions: ClassVar[type[TablePlanOptions]] = TablePlanOptions

    @classmethod
    def plan_type(cls) -> type[TablePlan]:
        """See Modality."""
        return TablePlan

    def plan(
        self, dataset: Dataset, indices: Sequence[int], task: "Task", wanted: Wanted
    ) -> TablePlan:
        """Medians, means and deviations of the training rows."""
        from medray.data.columns import Columns
        from medray.modalities.table.cases import gather

        names = modalities_of(dataset, indices)
        parts = zip(names, gather(dataset, indices, names), strict=True)
        columns = {name: Columns.of(part).plan for name, part in parts}
        targets = _targets(task, dataset.samples.take(list(indices)).to_pylist())
        return planned_fields(
            TablePlan,
            wanted.given,
            {
                "answers": task.answers,
                "classes": task.classes,
                "frequencies": task.statistics(targets.numpy()),
                "batch_size": wanted.settings.batch_size or max(2, min(BATCH, len(indices) // 10)),
                "samples": len(indices),
                "columns": columns,
                "blend": (),
            },
            {"batch_size": f"at most {BATCH} and a tenth of the samples"},
        )

    def sketch(self, model: dict[str, Any], given: Any, task: "Task", axes: int | None) -> Sketch:
        """Of a table with a few features: only the data know them."""
        known = [task.baseline, *task.beside] if task.baseline else []
        if not set(given.blend or ()) <= set(known):
            raise SpecError(
                "no such baseline stands beside the network",
                code="no-baseline",
                about="plan.blend",
                hint=f"of {task.name}: {', '.join(known) or 'none'}",
            )
        return Sketch({"modalities": {"features": FEATURES}}, FEATURES)

    def build(self, model: dict[str, Any], plan: TablePlan) -> "Network":
        """The network for so many features."""
        from medray.models import MODELS, model_options

        options = model_options(model, modalities=plan.widths)
        kind = MODELS.get(model["name"])
        return kind.build(options, sum(plan.widths.values()), len(plan.classes), None)

    def cases(
        self,
        dataset: Dataset,
        indices: Sequence[int],
        plan: TablePlan,
        task: "Task",
        settings: TrainSettings,
    ) -> "TableCases":
        """See medray.modalities.table.cases."""
        from medray.modalities.table.cases import TableCases

        return TableCases(dataset, indices, plan.scalers())

    def loader(
        self,
        cases: "TableCases",
        order: Order,
        plan: TablePlan,
        task: "Task",
        settings: TrainSettings,
        share: tuple[int, int],
        device: "torch.device",
    ) -> "TableLoader":
        """See medray.modalities.table.cases."""
        from medray.modalities.table.cases import TableLoader

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
        network: "Network",
        cases: "TableCases",
        chosen: Sequence[int],
        task: "Task",
        plan: TablePlan,
        device: "torch.device",
        precision: Precision,
    ) -> Iterator[list[float]]:
        """Many rows at a time."""
        import torch

        from medray.modalities.ask import ask

        for start in range(0, len(chosen), TOGETHER):
            some = cases.features[list(chosen[start : start + TOGETHER])]
            features = torch.from_numpy(some).to(device)
            for answer in ask(network, features, task, precision):
                yield task.judge(answer, None)

    def design(self, dataset: Dataset, indices: Sequence[int], plan: TablePlan) -> np.ndarray:
        """The standardised features; those of a modality that is not there are all at the mean."""
        from medray.modalities.table.cases import TableCases

        design: np.ndarray = np.nan_to_num(TableCases(dataset, indices, plan.scalers()).features)
        return design

    def blends(self, plan: TablePlan) -> tuple[str, ...]:
        """See Modality."""
        return plan.blend

    def wire(self, plan: dict[str, Any]) -> Wire:
        """See medray.modalities.table.wire."""
        return TableWire(plan)

    def predictor(self, trained: Trained, asked: Asking) -> Answering:
        """One row for each row."""
        from medray.modalities.table.predictor import TablePredictor

        return TablePredictor(trained, asked)

    def describe(self, plan: TablePlan) -> list[str]:
        """Features of each modality, and what is missing of them."""
        told = [
            f"{name}: {width} features"
            + (f", {one.missing:,} values missing" if (one := plan.columns[name]).missing else "")
            for name, width in plan.widths.items()
        ]
        return [", ".join(told)]


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


def _targets(task: "Task", rows: Sequence[dict[str, Any]]) -> "Tensor":
    targets = task.targets(rows)
    if targets is None:
        raise SpecError(
            "a table has no bases or voxels to answer for",
            code="task-mismatch",
            about=task.name,
            hint="take classification or regression",
        )
    return targets
