"""Export: a dataset to files, outside of storage."""

from typing import TYPE_CHECKING, ClassVar

from medray.steps.base.step import Step
from medray.steps.export.spec import ExportSpec

if TYPE_CHECKING:
    from medray.spec.documents import Place
    from medray.steps.base.resolved import Resolved
    from medray.steps.base.view import View
    from medray.storage.store.objects import Objects


class ExportStep(Step):
    """Export: a dataset to files, outside of storage."""

    name: ClassVar[str] = "export"
    Spec: ClassVar[type[ExportSpec]] = ExportSpec

    def check(self, view: "View", spec: ExportSpec) -> None:
        """See Step."""
        from medray.steps.export.check import check

        check(view, spec)

    def resolve(
        self, spec: ExportSpec, objects: "Objects", place: "Place"
    ) -> "Resolved[ExportSpec]":
        """See Step."""
        from medray.steps.export.resolve import resolve

        return resolve(spec, objects, place)
