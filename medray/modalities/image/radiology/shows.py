"""What pages show of images: an entry that loads no torch and nothing that draws."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from medray.modalities.image.explain import HOW
from medray.modalities.image.options import ImageOptions
from medray.modalities.shows import Shows
from medray.storage.catalog.datasets import Dataset
from medray.storage.shards.reader import Shard
from medray.tasks.section import Picture, ScoredCases, Section, Table

if TYPE_CHECKING:
    from medray.modalities.image.cases import Cases
    from medray.modalities.image.plan import ImagePlan
    from medray.models.base import Network
    from medray.tasks.base import Task
    from medray.tasks.objects import ObjectTask
    from medray.tasks.restoring import RestoringTask


class ImageShows(Shows):
    """The part of the modality that pages ask."""

    def illustrate(
        self, section: Section, task: "Task", truth: Dataset, predictions: Dataset
    ) -> Section:
        """See medray.modalities.image.pages; of objects medray.modalities.image.objects.pages."""
        if task.answers == "objects":
            from medray.modalities.image.objects.pages import drawn as boxed

            pictures = boxed(section.pictures, cast("ObjectTask", task), truth, predictions)
            return replace(section, pictures=pictures)
        from medray.modalities.image.pages import drawn, leafed

        pictures = drawn(section.pictures, task, truth, predictions)
        volumes = leafed(section.pictures, task, truth, predictions)
        return replace(section, pictures=pictures, volumes=volumes)

    def grouped(self, task: "Task", scores: ScoredCases, truth: Dataset) -> list[Table]:
        """By scanner, site and spacing; see medray.modalities.image.radiology.groups."""
        from medray.modalities.image.radiology.groups import grouped

        return grouped(task.metrics, scores, truth)

    def ingested(self, dataset: Dataset) -> list[Section]:
        """Some of the images, and their spacing and size; see radiology.ingested."""
        from medray.modalities.image.radiology.ingested import section

        made = section(dataset)
        return [] if made is None else [made]

    def conclude(self, options: ImageOptions, shards: Sequence[Shard | None]) -> dict[str, Any]:
        """Of maps; see medray.modalities.image.explain.worth."""
        if options.outputs not in HOW:
            return {}
        from medray.modalities.image.explain.worth import concluded

        return concluded(options.outputs, shards)

    def sections(self, predictions: Dataset, data: Dataset) -> list[Section]:
        """Maps; see medray.modalities.image.explain.pages."""
        from medray.modalities.image.explain.pages import section

        made = section(predictions, data)
        return [] if made is None else [made]

    def examples(
        self, task: "Task", plan: "ImagePlan", of: "Callable[[], tuple[Network, Cases]]"
    ) -> list[Picture]:
        """See medray.modalities.image.restored.pages."""
        if task.answers != "restored":
            return []
        from medray.modalities.image.restored.pages import pictures

        return pictures(*of(), cast("RestoringTask", task), plan)
