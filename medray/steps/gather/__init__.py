"""Gather: parts of subjects to whole subjects."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from medray.steps.base.step import Step
from medray.steps.gather.spec import GatherSpec

if TYPE_CHECKING:
    from medray.spec.documents import Place
    from medray.steps.base.resolved import Resolved
    from medray.steps.base.view import View
    from medray.storage.catalog.datasets import Dataset
    from medray.storage.shards.reader import Shard
    from medray.storage.store.objects import Objects
    from medray.tasks.section import Section


class GatherStep(Step):
    """Gather: parts of subjects to whole subjects."""

    name: ClassVar[str] = "gather"
    Spec: ClassVar[type[GatherSpec]] = GatherSpec

    def check(self, view: "View", spec: GatherSpec) -> None:
        """See Step."""
        from medray.steps.gather.check import check

        check(view, spec)

    def sections(self, dataset: "Dataset") -> "list[Section]":
        """What became of the source's rows, and of codes and units."""
        from medray.steps.gather.section import section_of

        return [section_of(dataset)]

    def resolve(
        self, spec: GatherSpec, objects: "Objects", place: "Place"
    ) -> "Resolved[GatherSpec]":
        """See Step."""
        from medray.steps.gather.resolve import resolve

        return resolve(spec, objects)

    def conclude(
        self,
        resolved: "Resolved[GatherSpec]",
        objects: "Objects",
        shards: "Sequence[Shard | None]",
    ) -> dict[str, Any]:
        """See Step."""
        from medray.steps.gather.conclude import conclude

        return conclude(resolved, objects, shards)
