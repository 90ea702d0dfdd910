"""Generate: a model to a dataset of new samples."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from medray.errors import SpecError
from medray.steps.base.step import Step
from medray.steps.generate.spec import GenerateSpec

if TYPE_CHECKING:
    from medray.spec.documents import Place
    from medray.steps.base.resolved import Resolved
    from medray.steps.base.view import View
    from medray.storage.catalog.datasets import Dataset
    from medray.storage.shards.reader import Shard
    from medray.storage.store.objects import Objects
    from medray.tasks.section import Section


class GenerateStep(Step):
    """Generate: a model to a dataset of new samples."""

    name: ClassVar[str] = "generate"
    Spec: ClassVar[type[GenerateSpec]] = GenerateSpec

    def check(self, view: "View", spec: GenerateSpec) -> None:
        """See Step."""
        from medray.steps.generate.check import check

        check(view, spec)

    def sections(self, dataset: "Dataset") -> "list[Section]":
        """What the model's modality has to show of its samples; nothing where the model is gone."""
        from medray.modalities import modality_of
        from medray.storage.catalog.models import open_model

        try:
            model = open_model(dataset.objects, str(dataset.attributes["model"]))
        except SpecError:
            return []
        generation = modality_of(model.config["model"]).generation()
        return [generation.section(dataset, dataset.attributes["summary"])] if generation else []

    def resolve(
        self, spec: GenerateSpec, objects: "Objects", place: "Place"
    ) -> "Resolved[GenerateSpec]":
        """See Step."""
        from medray.steps.generate.resolve import resolve

        return resolve(spec, objects, place)

    def conclude(
        self,
        resolved: "Resolved[GenerateSpec]",
        objects: "Objects",
        shards: "Sequence[Shard | None]",
    ) -> dict[str, Any]:
        """See Step."""
        from medray.steps.generate.conclude import conclude

        return conclude(resolved, objects, shards)
