"""Several networks of pairs as one, which answers with their mean."""

from collections.abc import Mapping, Sequence
from typing import cast

from torch import Tensor, nn

from medray.modalities.text.plan import TextPlan
from medray.models.base import Network
from medray.tasks.base import Task


class Averaged(nn.Module):
    """Networks of one plan that answer with logits of the mean of their probabilities.

    Args:
        networks: in evaluation mode, on one device.
        task: what their logits mean.
    """

    def __init__(self, networks: Sequence[Network], task: Task) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self._task = task

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """A batch to float32 logits (B, classes)."""
        each = [self._task.probabilities(network(inputs)) for network in self.networks]
        return self._task.logits(sum(each[1:], each[0]) / len(each))


def averaged(networks: Sequence[Network], plans: Sequence[TextPlan], task: Task) -> Network | None:
    """See Several.united: of pairs, since what is judged of these are counts, which have no mean;
    None where networks differ in what they read."""
    first, *others = plans
    if task.answers != "links" or any(plan != first for plan in others):
        return None
    return cast("Network", Averaged(networks, task))
