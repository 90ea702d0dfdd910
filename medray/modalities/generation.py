"""The contract of generation: new samples from a trained model, and what is to be said of them."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from medray.spec.base import Settings
from medray.storage.catalog.datasets import Dataset
from medray.storage.shards.holds import Holds
from medray.storage.shards.reader import Shard
from medray.storage.shards.rows import Rows
from medray.storage.shards.samples import Sample
from medray.storage.shards.schema import Arrays
from medray.tasks.section import Section

if TYPE_CHECKING:
    import torch

    from medray.data.batch import Part
    from medray.models.base import Network
    from medray.tasks.base import Task


class GenerateOptions(Settings):
    """Base of how a modality's models draw samples: frozen, unknown keys refused."""


@dataclass(frozen=True)
class Model:
    """A trained network, and what it takes to use it.

    Args:
        network: in evaluation mode, on `device`.
        plan: of its training.
        task: that it has learnt.
        device: where it is.
        reference: of the package, "name@version".
    """

    network: "Network"
    plan: Any
    task: "Task"
    device: "torch.device"
    reference: str


@dataclass(frozen=True)
class Rollout:
    """Samples that a network has drawn while it learns.

    Args:
        part: of a batch, as if a loader had read them.
        drawn: what each is, as `Generation.verdict` takes it.
    """

    part: "Part"
    drawn: Sequence[Any]


@dataclass(frozen=True)
class Verdict:
    """What drawn samples are.

    Args:
        names: of equal samples equal ones; None of what is no sample at all.
        rewards: float64 (samples,), from 0 to 1; 0 of what is no sample.
    """

    names: Sequence[str | None]
    rewards: np.ndarray


class Generation(ABC):
    """How models of a modality draw new samples. Stateless."""

    Options: ClassVar[type[GenerateOptions]]
    answers: ClassVar[str]
    """What a task's networks answer for, if they can draw; see `Task.answers`."""
    holds: ClassVar[Holds]
    """What is drawn has."""
    arrays: ClassVar[Arrays] = {}
    """What is drawn may have, by name."""
    compares: ClassVar[bool] = False
    """Whether `appraise` holds samples against each other by the features of a trained network."""
    libraries: ClassVar[tuple[str, ...]] = ()
    """That it stands on, of an extra."""
    rewards: ClassVar[Mapping[str, type[Settings]]] = {}
    """What samples can be rewarded for, by name, and the options of each."""

    def draws(self, network: "type[torch.nn.Module]", *, likely: bool = False) -> bool:
        """Whether a network draws samples.

        Args:
            network: its class.
            likely: and says how likely it is that a sample is drawn.
        """
        return True

    @abstractmethod
    def draw(
        self, model: Model, options: Any, drawn: range, seed: int
    ) -> "Iterator[Rows | Sample]":
        """Some of the samples that a model draws, in order: a function of the arguments alone.

        Args:
            model: that draws.
            options: an instance of `Options`.
            drawn: numbers of the samples, by which they are named.
            seed: of all of them.
        """

    @abstractmethod
    def appraise(
        self,
        drawn: Sequence[Shard],
        plan: Any,
        task: "Task",
        learnt: Dataset,
        indices: Sequence[int],
        seed: int,
        features: Model | None,
    ) -> dict[str, Any]:
        """What all samples say together.

        Args:
            drawn: all of them, as `draw` made them.
            plan: of the training.
            task: that was learnt.
            learnt: the dataset that the model learnt from, and
            indices: which samples of it.
            seed: of all choices.
            features: of a generation that `compares`, by which it does so, if by any.

        Returns:
            `metrics`, numbers by name, and `summary`, with `cautions`: what is to be known before
            the samples are used.
        """

    @abstractmethod
    def section(self, drawn: Dataset, summary: dict[str, Any]) -> Section:
        """What a page shows of the samples.

        Args:
            drawn: they.
            summary: as `appraise` made it.
        """

    def rollout(
        self,
        network: "Network",
        plan: Any,
        count: int,
        own: slice,
        device: "torch.device",
        seed: int,
    ) -> Rollout:
        """Samples drawn as likely as they are to a network, which learns from them; of a generation
        that has `rewards`.

        Args:
            network: in evaluation mode, on `device`.
            plan: of its training.
            count: of samples, over all ranks.
            own: which of them are drawn here.
            device: where it is.
            seed: of all of them.
        """
        raise NotImplementedError

    def verdict(self, rollout: Rollout, plan: Any, reward: Any) -> Verdict:
        """What was drawn, and what it is worth.

        Args:
            rollout: as this drew it.
            plan: of the network's training.
            reward: options of one of `rewards`; None: all is worth 0.

        Raises:
            SpecError: it can't be rewarded so, whatever was drawn.
        """
        raise NotImplementedError

    def asked(self, name: str) -> dict[str, Any]:
        """A sample as a request in JSON has it, to be answered by another model.

        Args:
            name: of the sample, see Verdict.
        """
        raise NotImplementedError
