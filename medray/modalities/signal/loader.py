"""Batches of signals: drawn, scaled, changed at random, brought to the device."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from medray.data.ahead import many_ahead
from medray.data.batch import Batch, in_parts
from medray.data.order import Order
from medray.data.tree import Tree, to_device
from medray.modalities.signal.augment import SignalAugment
from medray.modalities.signal.cases import SignalCases
from medray.modalities.signal.change import changed
from medray.modalities.signal.inputs import Signals, scaled


class SignalLoader:
    """Prepares a rank's batches: trees as `models.signal.base` has them, and their targets.

    Args:
        cases: the training samples.
        order: of them.
        targets: one per case.
        augment: how they are changed; None: not at all.
        share: (rank, ranks).
        device: where batches go.
        prefetch: batches that are prepared ahead; none on a CPU, see medray.data.ahead.
        parts: that a batch is computed in.
    """

    def __init__(
        self,
        cases: SignalCases,
        order: Order,
        targets: Tensor,
        *,
        augment: SignalAugment | None = None,
        share: tuple[int, int] = (0, 1),
        device: torch.device | None = None,
        prefetch: int = 2,
        parts: int = 1,
    ) -> None:
        self.cases, self.order, self._targets = cases, order, targets
        self._augment, self._share = augment, share
        self._prefetch, self._parts = prefetch, parts
        self._device = device or torch.device("cpu")

    def batches(self, first: int, last: int) -> Iterator[Batch]:
        """This rank's batches of the steps first … last - 1."""
        steps = range(first, last)
        return many_ahead(self._made, steps, prefetch=self._prefetch, device=self._device)

    def batch(self, step: int) -> Batch:
        """This rank's batch of one step."""
        return next(self._made(range(step, step + 1)))

    def _made(self, steps: range) -> Iterator[Batch]:
        samples, seeds = self.order.slice_at(steps.start, *self._share, len(steps))
        parts = (np.split(one, len(steps)) for one in (samples, seeds))
        taken = self._taken(samples, len(steps))
        for step, own, drawn, found in zip(steps, *parts, taken, strict=True):
            given = scaled(found, self.cases.plan)
            if self._augment is not None:
                given = changed(given, self._augment, drawn, self.cases.plan.rate)
            target = to_device(self._targets[torch.from_numpy(own)], self._device)
            yield in_parts(step, tree(given, self._device), target, self._parts)

    def _taken(self, samples: np.ndarray, steps: int) -> Iterator[Signals]:
        """The signals of each step; those of several steps are read together where that is less."""
        parts = np.split(samples, steps)
        size = len(parts[0])
        many = max(1, self.cases.together // max(1, size))
        for start in range(0, steps, many):
            some = self.cases.take(np.concatenate(parts[start : start + many]))
            for at in range(len(parts[start : start + many])):
                yield some.part(slice(at * size, (at + 1) * size))


def tree(given: Signals, device: torch.device) -> Tree:
    """Scaled signals as a network takes them."""
    parts = {"signal": given.signal}
    if given.context is not None:
        parts["context"] = given.context
    if given.columns.shape[1]:
        parts["columns"] = given.columns
    return {
        name: to_device(torch.from_numpy(np.ascontiguousarray(one, np.float32)), device)
        for name, one in parts.items()
    }
