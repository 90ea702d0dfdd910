"""The contract of generation: new samples from a trained model, and what is to be said of them."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa

from medray.spec.base import Settings
from medray.storage.catalog.datasets import Dataset
from medray.storage.shards.holds import Names
from medray.storage.shards.rows import Rows
from medray.tasks.section import Section

if TYPE_CHECKING:
    import torch

    from medray.models.base import Network


class GenerateOptions(Settings):
    """Base of how a modality's models draw samples: frozen, unknown keys refused."""


class Generation(ABC):
    """How models of a modality draw new samples. Stateless."""

    Options: ClassVar[type[GenerateOptions]]
    answers: ClassVar[str]
    """What a task's networks answer for, if they can draw; see `Task.answers`."""
    columns: ClassVar[Names]
    """Of what is drawn."""
    libraries: ClassVar[tuple[str, ...]] = ()
    """That it stands on, of an extra."""

    @abstractmethod
    def draw(
        self,
        network: "Network",
        plan: Any,
        options: Any,
        device: "torch.device",
        drawn: range,
        seed: int,
    ) -> Rows:
        """Some of the samples that a model draws: a function of the arguments alone.

        Args:
            network: in evaluation mode, on `device`.
            plan: of its training.
            options: an instance of `Options`.
            device: where it is.
            drawn: numbers of the samples, which are their ids.
            seed: of all of them.
        """

    @abstractmethod
    def appraise(
        self, drawn: pa.Table, plan: Any, learnt: Dataset, indices: Sequence[int], seed: int
    ) -> dict[str, Any]:
        """What all samples say together.

        Args:
            drawn: all of them, as `draw` made them.
            plan: of the training.
            learnt: the dataset that the model learnt from, and
            indices: which samples of it.
            seed: of all choices.

        Returns:
            `metrics`, numbers by name, and `summary`, with `cautions`: what is to be known before
            the samples are used.
        """

    @abstractmethod
    def section(self, name: str, summary: dict[str, Any]) -> Section:
        """What a page shows of the samples.

        Args:
            name: of the dataset.
            summary: as `appraise` made it.
        """
