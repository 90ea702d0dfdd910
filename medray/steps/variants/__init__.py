"""Variants: what each ALT of a table of sites changes in a model's answer."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from medray.steps.base.step import Step
from medray.steps.variants.spec import VariantsSpec

if TYPE_CHECKING:
    from medray.spec.documents import Place
    from medray.steps.base.resolved import Resolved
    from medray.steps.base.view import View
    from medray.storage.shards.reader import Shard
    from medray.storage.store.objects import Objects


class VariantsStep(Step):
    """Variants: what each ALT of a table of sites changes in a model's answer."""

    name: ClassVar[str] = "variants"
    Spec: ClassVar[type[VariantsSpec]] = VariantsSpec
    watches: ClassVar[Literal["", "inputs", "outputs"]] = "outputs"

    def check(self, view: "View", spec: VariantsSpec) -> None:
        """See Step."""
        from medray.steps.variants.check import check

        check(view, spec)

    def resolve(
        self, spec: VariantsSpec, objects: "Objects", place: "Place"
    ) -> "Resolved[VariantsSpec]":
        """See Step."""
        from medray.steps.variants.resolve import resolve

        return resolve(spec, objects)

    def conclude(
        self,
        resolved: "Resolved[VariantsSpec]",
        objects: "Objects",
        shards: "Sequence[Shard | None]",
    ) -> dict[str, Any]:
        """See Step."""
        from medray.steps.variants.conclude import conclude

        return conclude(shards)
