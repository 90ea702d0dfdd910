"""Transform: a dataset to a dataset, by a plugin."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from medray.steps.base.step import Step
from medray.steps.transform.spec import TransformSpec

if TYPE_CHECKING:
    from medray.spec.documents import Place
    from medray.steps.base.resolved import Resolved
    from medray.steps.base.view import View
    from medray.storage.catalog.datasets import Dataset
    from medray.storage.shards.reader import Shard
    from medray.storage.store.objects import Objects
    from medray.tasks.section import Section


class TransformStep(Step):
    """Transform: a dataset to a dataset, by a plugin."""

    name: ClassVar[str] = "transform"
    Spec: ClassVar[type[TransformSpec]] = TransformSpec

    def check(self, view: "View", spec: TransformSpec) -> None:
        """See Step."""
        from medray.steps.transform.check import check

        check(view, spec)

    def sections(self, dataset: "Dataset") -> "list[Section]":
        """What the transformation has to show."""
        from medray.steps.transform.transforms import TRANSFORMS

        made = TRANSFORMS.get(dataset.attributes["operation"])
        return made.sections(dataset.name, dataset.attributes)

    def resolve(
        self, spec: TransformSpec, objects: "Objects", place: "Place"
    ) -> "Resolved[TransformSpec]":
        """See Step."""
        from medray.steps.transform.resolve import resolve

        return resolve(spec, objects, place)

    def conclude(
        self,
        resolved: "Resolved[TransformSpec]",
        objects: "Objects",
        shards: "Sequence[Shard | None]",
    ) -> dict[str, Any]:
        """See Step."""
        from medray.steps.transform.conclude import conclude

        return conclude(resolved, objects, shards)
