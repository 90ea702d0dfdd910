"""From settings to an optimiser."""

import torch
from torch import nn

from medray.errors import SpecError
from medray.spec.training import OptimiserSettings


def build_optimiser(network: nn.Module, chosen: OptimiserSettings) -> torch.optim.Optimizer:
    """The optimiser of all parameters that learn; weight decay on weights only.

    Biases and the scales of norms are vectors; decaying them only shifts the data (as timm and
    nanoGPT do it).
    """
    learnt = [one for one in network.parameters() if one.requires_grad]
    if not learnt:
        raise SpecError(
            "every parameter is frozen", code="nothing-to-learn", hint="freeze fewer parts"
        )
    groups = [
        {"params": [p for p in learnt if p.ndim > 1], "weight_decay": chosen.weight_decay},
        {"params": [p for p in learnt if p.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if chosen.name == "adamw":
        # All tensors of a step in one call: of small networks a tenth of a training's time.
        return torch.optim.AdamW(groups, lr=chosen.lr, betas=chosen.betas, fused=True)
    return torch.optim.SGD(groups, lr=chosen.lr, momentum=chosen.momentum, nesterov=True)
