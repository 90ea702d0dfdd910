"""From settings to an optimiser."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from medray.errors import SpecError
from medray.models.base import parts_of
from medray.spec.training import OptimiserSettings


def build_optimiser(
    network: nn.Module, chosen: OptimiserSettings, rates: Mapping[str, float]
) -> torch.optim.Optimizer:
    """The optimiser of all parameters that learn; weight decay on weights only.

    Biases and the scales of norms are vectors; decaying them only shifts the data (as timm and
    nanoGPT do it).

    Args:
        network: whose parameters learn.
        chosen: which optimiser.
        rates: factors of the learning rate by the beginning of a parameter's name, of which the
            longest counts; each group of parameters has its own as `factor`.

    Raises:
        SpecError: nothing learns (code "nothing-to-learn"), or a part that `rates` names is not
            there (code "unknown-layer").
    """
    named = dict(network.named_parameters())
    learnt = {name: one for name, one in named.items() if one.requires_grad}
    if not learnt:
        raise SpecError(
            "every parameter is frozen", code="nothing-to-learn", hint="freeze fewer parts"
        )
    factors = dict.fromkeys(learnt, 1.0)
    for prefix, names in sorted(
        parts_of(named, rates, "train.rates").items(), key=lambda one: len(one[0])
    ):
        factors |= dict.fromkeys(names & learnt.keys(), rates[prefix])
    groups: list[dict[str, Any]] = []
    for factor in dict.fromkeys([1.0, *factors.values()]):
        alike = [one for name, one in learnt.items() if factors[name] == factor]
        for decay, some in (
            (chosen.weight_decay, [one for one in alike if one.ndim > 1]),
            (0.0, [one for one in alike if one.ndim <= 1]),
        ):
            if some:
                groups.append({"params": some, "weight_decay": decay, "factor": factor})
    if chosen.name == "adamw":
        # All tensors of a step in one call: of small networks a tenth of a training's time.
        return torch.optim.AdamW(groups, lr=chosen.lr, betas=chosen.betas, fused=True)
    return torch.optim.SGD(groups, lr=chosen.lr, momentum=chosen.momentum, nesterov=True)
