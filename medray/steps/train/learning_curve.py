"""Learning curve: trainings with shares of the labels, to how good each network is."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from medray.steps.base.step import Step
from medray.steps.train.curve.spec import LearningCurveSpec

if TYPE_CHECKING:
    from medray.spec.documents import Place
    from medray.steps.base.resolved import Resolved
    from medray.steps.base.view import View
    from medray.storage.catalog.datasets import Dataset
    from medray.storage.shards.reader import Shard
    from medray.storage.store.objects import Objects
    from medray.tasks.section import Section


class LearningCurveStep(Step):
    """Learning curve: trainings with shares of the labels, to how good each network is."""

    name: ClassVar[str] = "learning-curve"
    Spec: ClassVar[type[LearningCurveSpec]] = LearningCurveSpec

    def check(self, view: "View", spec: LearningCurveSpec) -> None:
        """See Step."""
        from medray.steps.train.curve.check import check

        check(view, spec)

    def sections(self, dataset: "Dataset") -> "list[Section]":
        """The curve, and what arms differ by."""
        from medray.steps.train.curve.section import section_of

        return [section_of(dataset)]

    def resolve(
        self, spec: LearningCurveSpec, objects: "Objects", place: "Place"
    ) -> "Resolved[LearningCurveSpec]":
        """See Step."""
        from medray.steps.train.curve.resolve import resolve

        return resolve(spec, objects, place)

    def conclude(
        self,
        resolved: "Resolved[LearningCurveSpec]",
        objects: "Objects",
        shards: "Sequence[Shard | None]",
    ) -> dict[str, Any]:
        """See Step."""
        from medray.steps.train.curve.conclude import conclude

        return conclude(resolved, shards)
