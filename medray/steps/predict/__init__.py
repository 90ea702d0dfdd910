"""Predict: a model and a dataset to a dataset of predictions."""

from typing import TYPE_CHECKING, ClassVar, Literal

from medray.errors import SpecError
from medray.steps.base.step import Step
from medray.steps.predict.spec import PredictSpec

if TYPE_CHECKING:
    from medray.spec.documents import Place
    from medray.steps.base.resolved import Resolved
    from medray.steps.base.view import View
    from medray.storage.catalog.datasets import Dataset
    from medray.storage.store.objects import Objects
    from medray.tasks.section import Section


class PredictStep(Step):
    """Predict: a model and a dataset to a dataset of predictions."""

    name: ClassVar[str] = "predict"
    Spec: ClassVar[type[PredictSpec]] = PredictSpec
    watches: ClassVar[Literal["", "inputs", "outputs"]] = "outputs"

    def check(self, view: "View", spec: PredictSpec) -> None:
        """See Step."""
        from medray.steps.predict.check import check

        check(view, spec)

    def sections(self, dataset: "Dataset") -> "list[Section]":
        """What the model's modality has to show of its answers; nothing where either is gone."""
        from medray.modalities import modality_of
        from medray.storage.catalog.datasets import open_dataset
        from medray.storage.catalog.models import open_model

        try:
            model = open_model(dataset.objects, str(dataset.attributes.get("model", "")))
            data = open_dataset(dataset.objects, dataset.parents[0])
        except SpecError:
            return []
        return modality_of(model.config["model"]).sections(dataset, data)

    def resolve(
        self, spec: PredictSpec, objects: "Objects", place: "Place"
    ) -> "Resolved[PredictSpec]":
        """See Step."""
        from medray.steps.predict.resolve import resolve

        return resolve(spec, objects, place)
