"""The contract of an objective: its networks, and what one step does with them."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from medray.data.batch import Batch
from medray.engine.training.hands import MODEL, Hands
from medray.errors import SpecError
from medray.modalities.base import Modality
from medray.modalities.plan import Plan
from medray.models.base import Network
from medray.spec.base import Settings
from medray.spec.training import OptimiserSettings, TrainSettings
from medray.storage.store.objects import Objects
from medray.tasks.base import Task


class ObjectiveOptions(Settings):
    """Base of an objective's options: frozen, unknown keys refused."""

    models: ClassVar[tuple[str, ...]] = ()
    """Fields that name trained models, which are pinned to their versions before a training."""


@dataclass(frozen=True)
class Given:
    """What an objective is given of a training.

    Args:
        task: gives the loss.
        build: makes the step's own network, ready to be trained; to be called once, first of all.
        modality: how samples come to it.
        plan: of the training.
        objects: the storage root.
        settings: of the training.
    """

    task: Task
    build: Callable[[], Network]
    modality: Modality
    plan: Plan
    objects: Objects
    settings: TrainSettings


class Objective(ABC):
    """What is done in a step. Ranks, precision, clipping and saving are the loop's.

    All its randomness comes from torch's global generator, which the loop seeds for every step, and
    what it keeps from step to step are tensors of its networks: so a training resumes bit by bit.

    Args:
        options: an instance of the class's `Options`.
        given: of the training.
    """

    name: ClassVar[str]
    Options: ClassVar[type[ObjectiveOptions]] = ObjectiveOptions
    losses: ClassVar[tuple[str, ...]] = ("loss",)
    """Names of what `step` returns, as the curve has them; the first is "loss"."""
    gives: ClassVar[str] = MODEL
    """Name of the network that is validated and becomes the model."""
    whole_batch: ClassVar[bool] = False
    """Whether the task's loss sees the whole global batch, on every rank."""
    accumulates: ClassVar[bool] = True
    """Whether a share may come in several parts."""
    one_network: ClassVar[bool] = True
    """Whether it has the model alone, which may then be spread over the ranks (fsdp)."""
    alone: ClassVar[bool] = False
    """Whether it takes one worker, and no more."""
    unlabelled: ClassVar[bool] = False
    """Whether it learns from samples without targets too (`Batch.unlabelled`), and needs some."""
    by_task: ClassVar[bool] = True
    """Whether it is the task's loss of the samples that is learnt. Else they are not to blame where
    nothing is finite, and as metrics of what is held out don't say which weights are best, the last
    are taken."""

    def __init__(self, options: Any, given: Given) -> None:
        self.options, self.task = options, given.task
        self.networks: dict[str, nn.Module] = {MODEL: given.build()}
        """Those that learn, "model" among them; each has an optimiser."""
        self.followers: dict[str, nn.Module] = {}
        """Those that change by other means than gradients."""

    @property
    def given(self) -> nn.Module:
        """The network that `gives` names."""
        return (self.networks | self.followers)[self.gives]

    @classmethod
    def accept(
        cls, options: Any, task: Task, network: type[Network], settings: TrainSettings
    ) -> None:
        """Refuse what it can't do with, before there are data.

        Args:
            options: an instance of its `Options`.
            task: that is to be learnt.
            network: that is to learn.
            settings: of the training.

        Raises:
            SpecError: see the codes.
        """
        return

    def optimiser(self, network: str, settings: OptimiserSettings) -> OptimiserSettings:
        """How a network is optimised; `settings` are those of the job."""
        return settings

    @abstractmethod
    def step(self, batch: Batch, hands: Hands) -> dict[str, Tensor]:
        """Compute gradients and update what learns.

        Returns:
            Every one of `losses`, (samples of this rank,), detached.
        """

    def follow(self, step: int) -> None:  # noqa: B027 - optional
        """Change the followers after a step whose updates were all made."""


def check_objective(
    kind: type[Objective], settings: TrainSettings, task: Task, *, unlabelled: bool
) -> None:
    """Refuse settings that an objective can't do with.

    Args:
        kind: the objective.
        settings: of the training.
        task: that is to be learnt.
        unlabelled: whether there are samples without targets.

    Raises:
        SpecError: see the codes.
    """
    if unlabelled and not kind.unlabelled:
        raise SpecError(
            f"{kind.name} learns from targets alone",
            code="targets-only",
            about="unlabelled",
            hint="take an objective that learns without, or leave `unlabelled` out",
        )
    if kind.unlabelled and not unlabelled:
        raise SpecError(
            f"{kind.name} learns from samples without targets, and there are none",
            code="needs-unlabelled",
            about="objective",
            hint="say by `unlabelled` which they are",
        )
    if settings.accumulate > 1 and not kind.accumulates:
        raise SpecError(
            f"{kind.name} takes a worker's share at once",
            code="needs-whole-batch",
            about="accumulate",
            hint="leave accumulate at 1, with a smaller batch or more workers",
        )
    if task.whole_batch and not kind.whole_batch:
        raise SpecError(
            f"{kind.name} takes the loss of each rank's samples alone, {task.name} that of all",
            code="needs-whole-batch",
            about="objective",
            hint="leave objective out: the task's own is taken",
        )
    if settings.strategy == "fsdp" and not kind.one_network:
        raise SpecError(
            f"{kind.name} has several networks, and fsdp spreads one",
            code="one-network",
            about="strategy",
            hint="take the strategy ddp",
        )
    if kind.alone and max(settings.world_sizes) > 1:
        raise SpecError(
            f"{kind.name} is computed by one worker",
            code="one-worker",
            about="workers",
            hint="leave workers at 1",
        )
    if kind.by_task and not task.by_loss:
        raise SpecError(
            f"no loss says what {task.name} is to learn",
            code="no-loss",
            about="objective",
            hint="take one that has networks learn from each other",
        )
    if settings.early_stopping is not None and not kind.by_task:
        raise SpecError(
            f"{kind.name} does not learn the task, whose metrics can't say when to stop",
            code="objective-mismatch",
            about="early_stopping",
            hint="leave it out; the last weights are taken",
        )
