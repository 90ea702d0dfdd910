"""Several networks as one: each window goes through all of them, and their mean is blended."""

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn

from medray.errors import SpecError
from medray.modalities.image.plan import ImagePlan
from medray.models.base import Network
from medray.models.image.base import ImageNetwork
from medray.tasks.base import Task


class Averaged(nn.Module):
    """Networks of one grid that answer with logits of the mean of their probabilities.

    So a mask of n networks takes one pass over the image, and n times the arithmetic, but holds
    what one network's takes: the image's slabs, one ring of blended logits, and of a window in hand
    the activations of one network and a sum.

    Args:
        networks: in evaluation mode, on one device.
        task: what their logits mean.
    """

    def __init__(self, networks: Sequence[ImageNetwork], task: Task) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.divisor = networks[0].divisor
        self.feature_maps: tuple[str, ...] = ()  # each has its own
        self._task = task

    def forward(self, windows: Tensor) -> Tensor:
        """(B, channels, *space) to float32 logits (B, classes, *space)."""
        first, *others = self.networks
        total = self._task.probabilities(first(windows))
        for network in others:
            more = self._task.probabilities(network(windows))
            total = total + more if total.requires_grad else total.add_(more)
        return self._task.logits(total / len(self.networks))


def averaged(networks: Sequence[Network], plans: Sequence[ImagePlan], task: Task) -> Network:
    """See Several.united.

    Raises:
        SpecError: the networks are not of one grid (code "other-grid").
    """
    first = plans[0]
    for plan in plans:
        for what in ("patch", "spacing_mm", "channels"):
            if getattr(plan, what) != getattr(first, what):
                raise SpecError(
                    f"networks of one model differ in {what}",
                    code="other-grid",
                    about=f"{getattr(first, what)}, {getattr(plan, what)}",
                    hint="train them again: they then have one plan",
                )
    made = Averaged([cast("ImageNetwork", one) for one in networks], task)
    return cast("Network", made)
