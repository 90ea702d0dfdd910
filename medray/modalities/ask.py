"""What a network answers, without gradients: the one forward pass of all modalities; and several
networks as one."""

import math
from collections.abc import Callable, Sequence
from itertools import combinations
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from medray.data.tree import Tree, device_of
from medray.errors import DataError
from medray.modalities.base import Precision
from medray.modalities.plan import Plan
from medray.models.base import Network
from medray.tasks.base import Task

Net = Callable[..., Tensor]


def ask(
    network: Net,
    inputs: Tree,
    task: Task,
    precision: Precision,
    mirror_axes: Sequence[int] = (),
) -> np.ndarray:
    """What the task makes of a network's logits, float32 (B, classes, …).

    Args:
        network: in eval mode.
        inputs: a batch, tensors by name or one, on the network's device.
        task: what the logits mean.
        precision: of the forward pass.
        mirror_axes: see `forward`.

    Raises:
        DataError: the logits hold NaN or Inf (code "nonfinite-output").
    """
    logits = forward(network, inputs, precision, mirror_axes)
    require_finite(logits)
    answers: np.ndarray = task.probabilities(logits).cpu().numpy()
    return answers


def forward(
    network: Net, inputs: Tree, precision: Precision = "fp32", mirror_axes: Sequence[int] = ()
) -> Tensor:
    """Logits of a batch, without gradients.

    Args:
        network: in eval mode.
        inputs: (B, …), or tensors by name, on the network's device.
        precision: "bf16" runs the network under torch.autocast.
        mirror_axes: spatial axes of inputs (B, C, *space) to mirror along, one by one and
            together; logits are averaged.
    """
    # Not around a yield: both modes would leak into the consumer of the generator.
    with (
        torch.inference_mode(),
        torch.autocast(device_of(inputs).type, torch.bfloat16, enabled=precision == "bf16"),
    ):
        logits = network(inputs)
        if not (mirror_axes and isinstance(inputs, Tensor)):
            return logits
        total = logits.float()
        for count in range(1, len(mirror_axes) + 1):
            for axes in combinations(mirror_axes, count):
                dims = [axis + 2 for axis in axes]
                turned = network(inputs.flip(dims))
                # Logits of a whole image have no space that would have to be turned back.
                total = total + (turned.flip(dims) if turned.ndim == inputs.ndim else turned)
        return total / (1 << len(mirror_axes))


def require_finite(logits: Tensor) -> None:
    """Raise DataError (code "nonfinite-output") if a network's output holds NaN or Inf."""
    low, high = logits.aminmax()  # both spread through extremes, as they do through sums
    if not (math.isfinite(low) and math.isfinite(high)):
        raise DataError(
            "the network's output is not finite",
            code="nonfinite-output",
            hint="look at the input's values, or predict with precision fp32",
        )


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

    def forward(self, inputs: Tree) -> Tensor:
        """A batch to float32 logits (B, classes, …)."""
        first, *others = self.networks
        total = self._task.probabilities(first(inputs))
        for network in others:
            more = self._task.probabilities(network(inputs))
            total = total + more if total.requires_grad else total.add_(more)
        return self._task.logits(total / len(self.networks))


def averaged(
    networks: Sequence[Network],
    plans: Sequence[Plan],
    task: Task,
    kind: type[Averaged] = Averaged,
) -> Network | None:
    """See Several.united; None where networks differ in what they read.

    Args:
        kind: of the mean, with what the modality asks of its networks besides.
    """
    first, *others = plans
    return None if any(plan != first for plan in others) else cast("Network", kind(networks, task))
