"""The contract of a kind of step. A kind is a folder of this room, and a line in medray.spec.kinds.

What stands in a kind's `__init__` loads next to nothing: documents are read, and jobs with nothing
to do are run, by it alone. What it needs to do its work it imports where it does it.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from medray.spec.kinds import KINDS
from medray.spec.step import StepSpec

if TYPE_CHECKING:
    from medray.spec.documents import Place
    from medray.steps.base.events import StepResult
    from medray.steps.base.resolved import Resolved
    from medray.steps.base.view import View
    from medray.steps.base.work import Work
    from medray.storage.catalog.datasets import Dataset
    from medray.storage.shards.reader import Shard
    from medray.storage.store.objects import Objects
    from medray.tasks.section import Section


class Step(ABC):
    """One kind of step: from a document to what it makes. Stateless."""

    name: ClassVar[str]
    Spec: ClassVar[type[StepSpec]]
    makes: ClassVar[Literal["datasets", "models"]] = "datasets"
    watches: ClassVar[Literal["", "inputs", "outputs"]] = ""
    """As what the samples of each night are compared with those before (report.morning)."""

    @abstractmethod
    def check(self, view: "View", spec: Any) -> None:
        """Write down what is wrong with a document, and what it makes, before any step begins.

        Args:
            view: what the document sees; takes problems, by field.
            spec: the document, an instance of `Spec`.
        """

    def sections(self, dataset: "Dataset") -> "list[Section]":
        """What a page has to show of a dataset that it made, besides its scores.

        Scores are the rows of a dataset whose version has `task` and `summary` (Task.section).
        """
        return []

    @abstractmethod
    def resolve(self, spec: Any, objects: "Objects", place: "Place") -> "Resolved[Any]":
        """Pin the inputs to versions, fill in every default, and plan the units.

        Args:
            spec: the document, an instance of `Spec`.
            objects: the storage root.
            place: maps the parts of a field's path to how errors name the place.

        Raises:
            SpecError: a plugin or an option of it is unknown, or an input does not exist.
        """

    def begun(self, resolved: "Resolved[Any]", objects: "Objects") -> None:  # noqa: B027 - optional
        """The plan stands in storage, and work begins."""

    def run(self, resolved: "Resolved[Any]", work: "Work") -> "StepResult":
        """Do the step as a whole; only of a kind that resolves to no units.

        Args:
            resolved: the step.
            work: where it runs, and who is told.
        """
        raise NotImplementedError

    def conclude(
        self, resolved: "Resolved[Any]", objects: "Objects", shards: "Sequence[Shard | None]"
    ) -> dict[str, Any]:
        """What all units say together: attributes of the version, `metrics` and `summary` among
        them.

        Args:
            resolved: the step.
            objects: the storage root.
            shards: of all units, in order; None for those without a row.
        """
        return {}


def named(kind: str) -> Step:
    """The kind of step of that name.

    Raises:
        SpecError: there is none (code "unknown-plugin").
    """
    found: Any = KINDS.get(kind)
    made: Step = found()
    return made
