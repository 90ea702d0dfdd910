"""What a modality has to show of datasets, on pages and in versions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from medray.storage.catalog.datasets import Dataset
from medray.storage.shards.reader import Shard
from medray.tasks.section import Picture, ScoredCases, Section, Table

if TYPE_CHECKING:
    from medray.models.base import Network
    from medray.tasks.base import Task


class Shows:
    """The part of a modality that pages ask; nothing unless it says so."""

    def illustrate(
        self, section: Section, task: "Task", truth: Dataset, predictions: Dataset
    ) -> Section:
        """A page's section on scores, with the pictures that the task asks for, and more."""
        return replace(section, pictures=())

    def grouped(self, task: "Task", scores: ScoredCases, truth: Dataset) -> list[Table]:
        """Scores by what parts the samples into groups, such as the machine that made them."""
        return []

    def ingested(self, dataset: Dataset) -> list[Section]:
        """What a page shows of a dataset of any samples that were ingested; nothing of others'."""
        return []

    def conclude(self, options: Any, shards: Sequence[Shard | None]) -> dict[str, Any]:
        """What predictions say together: attributes of their version.

        Args:
            options: an instance of `PredictOptions`.
            shards: of all units, in order; None for those without a row.
        """
        return {}

    def examples(
        self, task: "Task", plan: Any, of: "Callable[[], tuple[Network, Any]]"
    ) -> list[Picture]:
        """Pictures of validation samples that say what a network has learnt, where no scores will.

        Args:
            task: that was learnt.
            plan: of the training.
            of: makes the network, in evaluation mode, and the cases, which takes time.
        """
        return []

    def drawings(self, rows: Sequence[Mapping[str, Any]]) -> Sequence[bytes | None]:
        """A PNG or SVG of each sample by its row; None of one that can't be drawn so."""
        return [None] * len(rows)

    def sections(self, predictions: Dataset, data: Dataset) -> list[Section]:
        """What a page shows of predictions before they are scored, and of what they are made of."""
        return []
