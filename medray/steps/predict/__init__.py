"""Predict: a model and a dataset to a dataset of predictions."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from medray.errors import SpecError
from medray.steps.base.step import Step
from medray.steps.predict.spec import PredictSpec

if TYPE_CHECKING:
    from medray.spec.documents import Place
    from medray.steps.base.resolved import Resolved
    from medray.steps.base.view import View
    from medray.storage.catalog.datasets import Dataset
    from medray.storage.shards.reader import Shard
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

    def conclude(
        self,
        resolved: "Resolved[PredictSpec]",
        objects: "Objects",
        shards: "Sequence[Shard | None]",
    ) -> dict[str, Any]:
        """What the model's modality has to say of all answers."""
        from medray.modalities import modality_of
        from medray.storage.catalog.models import open_model

        model = open_model(objects, str(resolved.parameters["model"]))
        modality = modality_of(model.config["model"])
        options = modality.PredictOptions.model_validate(resolved.parameters["options"])
        return modality.conclude(options, shards)
