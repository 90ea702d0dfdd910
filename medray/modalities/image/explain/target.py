"""What is explained: how much speaks for a class, of a whole image or on average over where it is
predicted, be that a region or the middles of objects.

Of classes that exclude each other that is the log of the class's odds, its logit less the
logarithm of the summed exponentials of all others: of two classes the difference of their logits. A
softmax does not change where all logits grow alike, so a logit alone says what it stands for only
up to what all have in common, and leaves out what speaks against the others. Else it is the logit,
which of a sigmoid is the same.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from medray.tasks.base import Task


@dataclass(frozen=True)
class OfClass:
    """One class of each sample: logits (B, classes) to (B,).

    Args:
        which: class of each sample, int64 (B,).
        exclusive: see `Places`.
    """

    which: Tensor
    exclusive: bool

    def __call__(self, logits: Tensor) -> Tensor:
        """See above."""
        return _evidence(logits, self.which, exclusive=self.exclusive)

    def sure(self, probabilities: Tensor) -> Tensor:
        """How sure the network is of it, (B,), of probabilities (B, classes)."""
        return _evidence(probabilities, self.which, exclusive=False)


@dataclass(frozen=True)
class OverRegion:
    """The mean of a channel over a region of each sample: (B, channels, *cells) to (B,).

    Args:
        number: of the channel.
        region: bool (B, *cells); of a sample without any it is 0.
        exclusive: see `Places`.
    """

    number: int
    region: Tensor
    exclusive: bool

    def __call__(self, logits: Tensor) -> Tensor:
        """See above."""
        return self._mean(_evidence(logits, self._which(logits), exclusive=self.exclusive))

    def sure(self, probabilities: Tensor) -> Tensor:
        """How sure the network is of the channel over the region, (B,), of probabilities like
        logits."""
        return self._mean(_evidence(probabilities, self._which(probabilities), exclusive=False))

    def _which(self, values: Tensor) -> Tensor:
        return torch.full((len(values),), self.number, device=values.device)

    def _mean(self, values: Tensor) -> Tensor:
        inside = (values * self.region).flatten(1).sum(1)
        return inside / self.region.flatten(1).sum(1).clamp(min=1)


Target = OfClass | OverRegion


def _evidence(values: Tensor, which: Tensor, *, exclusive: bool) -> Tensor:
    """Of values (B, channels, *cells) a channel of each sample, (B, *cells); of exclusive ones less
    those of all others together."""
    own = values[torch.arange(len(values), device=values.device), which]
    if not exclusive:
        return own
    channels = torch.arange(values.shape[1], device=values.device)
    chosen = (channels == which[:, None]).view(*values.shape[:2], *[1] * (values.ndim - 2))
    return own - values.masked_fill(chosen, -torch.inf).logsumexp(1)


def regions(task: Task, logits: Tensor) -> list[OverRegion]:
    """The regions of a prediction, one for each of the task's findings.

    Args:
        task: of masks or of objects.
        logits: of windows, (B, channels, *cells).
    """
    found = task.regions(logits)
    return [
        OverRegion(number, found[:, at], task.exclusive) for at, number in enumerate(task.findings)
    ]


def explained(probabilities: Tensor) -> Tensor:
    """Which class of each sample is explained, (B,): of two the second, of more the likeliest.

    Args:
        probabilities: (B, classes); of one value that one is explained.
    """
    if probabilities.shape[1] == 2:
        return torch.ones(len(probabilities), dtype=torch.long, device=probabilities.device)
    return probabilities.argmax(1)
