"""The contract of an objective: its networks, and what one step does with them."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

from torch import Tensor, nn

from medray.data.batch import Batch
from medray.engine.training.hands import MODEL, Hands
from medray.errors import SpecError
from medray.models.base import Network
from medray.spec.base import Settings
from medray.spec.training import OptimiserSettings, TrainSettings
from medray.tasks.base import Task


class ObjectiveOptions(Settings):
    """Base of an objective's options: frozen, unknown keys refused."""


class Objective(ABC):
    """What is done in a step. Ranks, precision, clipping and saving are the loop's.

    All its randomness comes from torch's global generator, which the loop seeds for every step, and
    what it keeps from step to step are tensors of its networks: so a training resumes bit by bit.

    Args:
        options: an instance of the class's `Options`.
        task: gives the loss.
        build: makes the step's own network, ready to be trained; to be called once, first of all.
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

    def __init__(self, options: Any, task: Task, build: Callable[[], Network]) -> None:
        self.options, self.task = options, task
        self.networks: dict[str, nn.Module] = {MODEL: build()}
        """Those that learn, "model" among them; each has an optimiser."""
        self.followers: dict[str, nn.Module] = {}
        """Those that change by other means than gradients."""

    @property
    def given(self) -> nn.Module:
        """The network that `gives` names."""
        return (self.networks | self.followers)[self.gives]

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


def check_objective(kind: type[Objective], settings: TrainSettings, task: Task) -> None:
    """Refuse settings that an objective can't do with.

    Raises:
        SpecError: see the codes.
    """
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
