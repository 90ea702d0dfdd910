"""Ingest: raw files of one format to a dataset."""

from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar, Literal

from medray.steps.base.step import Step
from medray.steps.ingest.spec import IngestSpec

if TYPE_CHECKING:
    from medray.spec.documents import Place
    from medray.steps.base.resolved import Resolved
    from medray.steps.base.view import View
    from medray.storage.catalog.datasets import Dataset
    from medray.storage.store.objects import Objects
    from medray.tasks.section import Section


class IngestStep(Step):
    """Ingest: raw files of one format to a dataset."""

    name: ClassVar[str] = "ingest"
    Spec: ClassVar[type[IngestSpec]] = IngestSpec
    watches: ClassVar[Literal["", "inputs", "outputs"]] = "inputs"

    def check(self, view: "View", spec: IngestSpec) -> None:
        """See Step."""
        from medray.steps.ingest.check import check

        check(view, spec)

    def sections(self, dataset: "Dataset") -> "list[Section]":
        """What any modality that is installed has to show of such samples."""
        from medray.errors import SpecError
        from medray.modalities import MODALITIES

        made = []
        for name in MODALITIES.names():
            with suppress(SpecError):  # its library is not here
                made += MODALITIES.get(name)().ingested(dataset)
        return made

    def resolve(
        self, spec: IngestSpec, objects: "Objects", place: "Place"
    ) -> "Resolved[IngestSpec]":
        """See Step."""
        from medray.steps.ingest.resolve import resolve

        return resolve(spec, objects, place)

    def begun(self, resolved: "Resolved[IngestSpec]", objects: "Objects") -> None:
        """The next plan goes on from this one."""
        from medray.steps.ingest.regroup import remember

        samples = resolved.step.unit_samples
        remember(objects, resolved.output, resolved.spec, resolved.run, samples)
