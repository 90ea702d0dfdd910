"""Evaluate: predictions and the truth to scores."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from medray.steps.base.step import Step
from medray.steps.evaluate.spec import EvaluateSpec

if TYPE_CHECKING:
    from medray.spec.documents import Place
    from medray.steps.base.resolved import Resolved
    from medray.steps.base.view import View
    from medray.storage.shards.reader import Shard
    from medray.storage.store.objects import Objects


class EvaluateStep(Step):
    """Evaluate: predictions and the truth to scores."""

    name: ClassVar[str] = "evaluate"
    Spec: ClassVar[type[EvaluateSpec]] = EvaluateSpec

    def check(self, view: "View", spec: EvaluateSpec) -> None:
        """See Step."""
        from medray.steps.evaluate.check import check

        check(view, spec)

    def resolve(
        self, spec: EvaluateSpec, objects: "Objects", place: "Place"
    ) -> "Resolved[EvaluateSpec]":
        """See Step."""
        from medray.steps.evaluate.resolve import resolve

        return resolve(spec, objects)

    def conclude(
        self,
        resolved: "Resolved[EvaluateSpec]",
        objects: "Objects",
        shards: "Sequence[Shard | None]",
    ) -> dict[str, Any]:
        """See Step."""
        from medray.steps.evaluate.conclude import conclude

        return conclude(resolved, objects, shards)
