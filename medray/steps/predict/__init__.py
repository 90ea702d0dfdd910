"""Predict: a model and a dataset to a dataset of predictions."""

from typing import TYPE_CHECKING, ClassVar, Literal

from medray.steps.base.step import Step
from medray.steps.predict.spec import PredictSpec

if TYPE_CHECKING:
    from medray.spec.documents import Place
    from medray.steps.base.resolved import Resolved
    from medray.steps.base.view import View
    from medray.storage.store.objects import Objects


class PredictStep(Step):
    """Predict: a model and a dataset to a dataset of predictions."""

    name: ClassVar[str] = "predict"
    Spec: ClassVar[type[PredictSpec]] = PredictSpec
    watches: ClassVar[Literal["", "inputs", "outputs"]] = "outputs"

    def check(self, view: "View", spec: PredictSpec) -> None:
        """See Step."""
        from medray.steps.predict.check import check

        check(view, spec)

    def resolve(
        self, spec: PredictSpec, objects: "Objects", place: "Place"
    ) -> "Resolved[PredictSpec]":
        """See Step."""
        from medray.steps.predict.resolve import resolve

        return resolve(spec, objects, place)
