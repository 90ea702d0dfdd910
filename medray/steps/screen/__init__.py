"""Screen: several models over all of a dataset, in one pass."""

from typing import TYPE_CHECKING, ClassVar, Literal

from medray.steps.base.step import Step
from medray.steps.screen.spec import ScreenSpec

if TYPE_CHECKING:
    from medray.spec.documents import Place
    from medray.steps.base.resolved import Resolved
    from medray.steps.base.view import View
    from medray.storage.store.objects import Objects


class ScreenStep(Step):
    """Screen: several models over all of a dataset, in one pass."""

    name: ClassVar[str] = "screen"
    Spec: ClassVar[type[ScreenSpec]] = ScreenSpec
    watches: ClassVar[Literal["", "inputs", "outputs"]] = "outputs"

    def check(self, view: "View", spec: ScreenSpec) -> None:
        """See Step."""
        from medray.steps.screen.check import check

        check(view, spec)

    def resolve(
        self, spec: ScreenSpec, objects: "Objects", place: "Place"
    ) -> "Resolved[ScreenSpec]":
        """See Step."""
        from medray.steps.screen.resolve import resolve

        return resolve(spec, objects, place)
