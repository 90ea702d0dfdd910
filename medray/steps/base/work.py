"""What a step without units is lent: storage, ranks to train on, and who is told."""

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from medray.steps.base.events import Listener, StepResult
from medray.storage.store.objects import Objects

if TYPE_CHECKING:
    from medray.engine.training.loop import TrainResult
    from medray.engine.training.setup import TrainSetup


class Work(Protocol):
    """Where a step runs."""

    @property
    def objects(self) -> Objects:
        """The storage root."""

    @property
    def stop(self) -> threading.Event:
        """Set when what is under way is to end."""

    @property
    def tell(self) -> Listener:
        """Hears what happens."""

    @property
    def known(self) -> StepResult | None:
        """What this run made when it was done last."""

    @property
    def device(self) -> str:
        """Where ranks compute, "cpu" or "cuda", which a plan has to know before there are any."""

    def fit(self, setups: "Sequence[TrainSetup]", tells: Sequence[Listener]) -> "list[TrainResult]":
        """Train networks on ranks, one after the other.

        Args:
            setups: one for each network.
            tells: hears each network's epochs.

        Raises:
            InterruptedRun: `stop` was set (code "stopped").
        """
