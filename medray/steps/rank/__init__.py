"""Rank: the best samples of a dataset by a column of numbers."""

from typing import TYPE_CHECKING, ClassVar

from medray.steps.base.step import Step
from medray.steps.rank.spec import RankSpec

if TYPE_CHECKING:
    from medray.spec.documents import Place
    from medray.steps.base.resolved import Resolved
    from medray.steps.base.view import View
    from medray.storage.catalog.datasets import Dataset
    from medray.storage.store.objects import Objects
    from medray.tasks.section import Section


class RankStep(Step):
    """Rank: the best samples of a dataset by a column of numbers."""

    name: ClassVar[str] = "rank"
    Spec: ClassVar[type[RankSpec]] = RankSpec

    def check(self, view: "View", spec: RankSpec) -> None:
        """See Step."""
        from medray.steps.rank.check import check

        check(view, spec)

    def sections(self, dataset: "Dataset") -> "list[Section]":
        """The first of them, drawn where the modality of a model that scored them can."""
        from medray.steps.rank.section import section_of

        return [section_of(dataset)]

    def resolve(self, spec: RankSpec, objects: "Objects", place: "Place") -> "Resolved[RankSpec]":
        """See Step."""
        from medray.steps.rank.resolve import resolve

        return resolve(spec, objects)
