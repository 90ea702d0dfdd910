"""Records: sequences of events with their times, as the transform `cohort` makes them."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from medray.data.order import Order
from medray.data.vectors import SPECIAL, Rows
from medray.errors import SpecError
from medray.modalities.base import Answering, Asking, Modality, Precision, Trained
from medray.modalities.ehr.plan import CODES, HOURS, RecordPlan
from medray.modalities.ehr.wire import RecordWire
from medray.modalities.plan import Sketch, Wanted, planned_fields
from medray.modalities.wire import Wire
from medray.spec.training import TrainSettings
from medray.storage.catalog.datasets import Dataset
from medray.storage.shards.holds import Needs, names

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from medray.modalities.ehr.cases import RecordCases, RecordLoader
    from medray.models.base import Network
    from medray.tasks.base import Task

TOGETHER = 256  # sequences that are validated at once
VOCABULARY = 100  # of a network that is built before there are data
BATCH = 64  # sequences in a step at most, unless the job says


class HealthRecords(Modality):
    """Samples with events in their order: codes, and hours before the prediction time."""

    name: ClassVar[str] = "ehr"
    needs: ClassVar[Needs] = Needs((names(CODES), names(HOURS)))

    @classmethod
    def plan_type(cls) -> type[RecordPlan]:
        """See Modality."""
        return RecordPlan

    def plan(
        self, dataset: Dataset, indices: Sequence[int], task: "Task", wanted: Wanted
    ) -> RecordPlan:
        """The codes that the cohort has chosen."""
        targets = _targets(task, dataset.samples.take(list(indices)).to_pylist())
        return planned_fields(
            RecordPlan,
            wanted.given,
            {
                "answers": task.answers,
                "classes": task.classes,
                "frequencies": task.statistics(targets.numpy()),
                "batch_size": wanted.settings.batch_size or max(2, min(BATCH, len(indices) // 10)),
                "samples": len(indices),
                "names": tuple(dataset.attributes.get("vocabulary", ())),
            },
            {"batch_size": f"at most {BATCH} and a tenth of the samples"},
        )

    def rows(self, plan: RecordPlan) -> Rows:
        """See Worded: codes, behind no event and any other code."""
        return {"codes.weight": (f"{SPECIAL}0", f"{SPECIAL}1", *plan.names)}

    def sketch(self, model: dict[str, Any], given: Any, task: "Task", axes: int | None) -> Sketch:
        """Of some codes: only the data know them."""
        return Sketch({"vocabulary": VOCABULARY})

    def build(self, model: dict[str, Any], plan: RecordPlan) -> "Network":
        """The network for so many codes."""
        from medray.models import MODELS, model_options

        options = model_options(model, vocabulary=plan.vocabulary)
        return MODELS.get(model["name"]).build(options, 1, len(plan.classes), None)

    def cases(
        self,
        dataset: Dataset,
        indices: Sequence[int],
        plan: RecordPlan,
        task: "Task",
        settings: TrainSettings,
    ) -> "RecordCases":
        """See medray.modalities.ehr.cases."""
        from medray.modalities.ehr.cases import RecordCases

        return RecordCases(dataset, indices)

    def loader(
        self,
        cases: "RecordCases",
        order: Order,
        plan: RecordPlan,
        task: "Task",
        settings: TrainSettings,
        share: tuple[int, int],
        device: "torch.device",
    ) -> "RecordLoader":
        """See medray.modalities.ehr.cases."""
        from medray.modalities.ehr.cases import RecordLoader

        made = RecordLoader(
            cases,
            order,
            _targets(task, cases.rows),
            share=share,
            device=device,
            prefetch=settings.prefetch,
            parts=settings.accumulate,
        )
        made.plan = plan
        return made

    def judge(
        self,
        network: "Network",
        cases: "RecordCases",
        chosen: Sequence[int],
        task: "Task",
        plan: RecordPlan,
        device: "torch.device",
        precision: Precision,
    ) -> Iterator[list[float]]:
        """Many sequences at a time."""
        from medray.modalities.ask import ask
        from medray.modalities.ehr.cases import batched

        for start in range(0, len(chosen), TOGETHER):
            some = cases.some(chosen[start : start + TOGETHER])
            for answer in ask(network, dict(batched(some, plan, device)), task, precision):
                yield task.judge(answer, None)

    def design(self, dataset: Dataset, indices: Sequence[int], plan: RecordPlan) -> np.ndarray:
        """How often each code comes."""
        from medray.modalities.ehr.cases import design, gather

        return design(gather(dataset, indices), plan)

    def wire(self, plan: dict[str, Any]) -> Wire:
        """See medray.modalities.ehr.wire."""
        return RecordWire(plan)

    def predictor(self, trained: Trained, asked: Asking) -> Answering:
        """One row for each sequence."""
        from medray.modalities.ehr.predictor import RecordPredictor

        return RecordPredictor(trained, asked)

    def describe(self, plan: RecordPlan) -> list[str]:
        """Codes."""
        return [f"events of {len(plan.names)} codes, with their times"]


def _targets(task: "Task", rows: Sequence[dict[str, Any]]) -> "Tensor":
    targets = task.targets(rows)
    if targets is None:
        raise SpecError(
            "a record has no places to answer for",
            code="task-mismatch",
            about=task.name,
            hint="take classification or regression",
        )
    return targets
