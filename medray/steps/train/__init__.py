"""Train: a dataset to a trained model."""

from typing import TYPE_CHECKING, ClassVar, Literal

from medray.steps.base.step import Step
from medray.steps.train.spec import TrainSpec

if TYPE_CHECKING:
    from medray.spec.documents import Place
    from medray.steps.base.events import StepResult
    from medray.steps.base.resolved import Resolved
    from medray.steps.base.view import View
    from medray.steps.base.work import Work
    from medray.storage.store.objects import Objects


class TrainStep(Step):
    """Train: a dataset to a trained model."""

    name: ClassVar[str] = "train"
    Spec: ClassVar[type[TrainSpec]] = TrainSpec
    makes: ClassVar[Literal["datasets", "models"]] = "models"

    def check(self, view: "View", spec: TrainSpec) -> None:
        """See Step."""
        from medray.steps.train.check import check

        check(view, spec)

    def resolve(self, spec: TrainSpec, objects: "Objects", place: "Place") -> "Resolved[TrainSpec]":
        """See Step."""
        from medray.steps.train.resolve import resolve

        return resolve(spec, objects, place)

    def run(self, resolved: "Resolved[TrainSpec]", work: "Work") -> "StepResult":
        """See Step."""
        from medray.steps.train.run import run_training  # loads torch

        return run_training(resolved, work)
