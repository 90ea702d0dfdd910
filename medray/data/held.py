"""Batches of cases that are held in memory, each made when its step comes."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Generic, TypeVar

import torch
from torch import Tensor

from medray.data.ahead import many_ahead
from medray.data.batch import Batch
from medray.data.cases import Cases
from medray.data.order import Order

Held = TypeVar("Held", bound=Cases)


class HeldLoader(ABC, Generic[Held]):
    """Prepares a rank's batches of cases that are all in memory, and their targets.

    Args:
        cases: the training samples.
        order: of them.
        targets: one per case.
        share: (rank, ranks).
        device: where batches go.
        prefetch: batches that are prepared ahead; none on a CPU, see medray.data.ahead.
        parts: that a batch is computed in.
    """

    def __init__(
        self,
        cases: Held,
        order: Order,
        targets: Tensor,
        *,
        share: tuple[int, int] = (0, 1),
        device: torch.device | None = None,
        prefetch: int = 2,
        parts: int = 1,
    ) -> None:
        self.cases, self.order, self.targets = cases, order, targets
        self.share, self.prefetch, self.parts = share, prefetch, parts
        self.device = device or torch.device("cpu")

    def batches(self, first: int, last: int) -> Iterator[Batch]:
        """This rank's batches of the steps first … last - 1."""
        return many_ahead(
            lambda steps: map(self.batch, steps),
            range(first, last),
            prefetch=self.prefetch,
            device=self.device,
        )

    @abstractmethod
    def batch(self, step: int) -> Batch:
        """This rank's batch of one step."""
