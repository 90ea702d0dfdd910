"""What is explained: the logit of a class, or its mean over where it is predicted, be that a region
or the middles of objects."""

from dataclasses import dataclass

import torch
from torch import Tensor

from medray.tasks.base import Task


@dataclass(frozen=True)
class OfClass:
    """The logit of one class of each sample: logits (B, classes) to (B,).

    Args:
        which: class of each sample, int64 (B,).
    """

    which: Tensor

    def __call__(self, logits: Tensor) -> Tensor:
        """See above."""
        return logits.gather(1, self.which[:, None])[:, 0]


@dataclass(frozen=True)
class OverRegion:
    """The mean logit of a channel over a region of each sample: (B, channels, *cells) to (B,).

    Args:
        number: of the channel.
        region: bool (B, *cells); of a sample without any it is 0.
    """

    number: int
    region: Tensor

    def __call__(self, logits: Tensor) -> Tensor:
        """See above."""
        inside = (logits[:, self.number] * self.region).flatten(1).sum(1)
        return inside / self.region.flatten(1).sum(1).clamp(min=1)


def regions(task: Task, logits: Tensor) -> list[OverRegion]:
    """The regions of a prediction, one for each of the task's findings.

    Args:
        task: of masks or of objects.
        logits: of windows, (B, channels, *cells).
    """
    found = task.regions(logits)
    return [OverRegion(number, found[:, at]) for at, number in enumerate(task.findings)]


def explained(probabilities: Tensor) -> Tensor:
    """Which class of each sample is explained, (B,): of two the second, of more the likeliest.

    Args:
        probabilities: (B, classes); of one value that one is explained.
    """
    if probabilities.shape[1] == 2:
        return torch.ones(len(probabilities), dtype=torch.long, device=probabilities.device)
    return probabilities.argmax(1)
