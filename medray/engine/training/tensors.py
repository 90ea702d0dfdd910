"""What a training is, as named tensors: parameters and the optimiser's moments, whole on rank 0."""

import sys
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from medray.errors import DataError


def gather_network(network: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name, on the CPU. Under fsdp every rank has to take part."""
    return {name: _whole(tensor) for name, tensor in network.state_dict().items()}


def load_network(network: nn.Module, tensors: dict[str, Tensor], about: str) -> None:
    """Put back what `gather_network` gave, into a network that may be sharded differently.

    Raises:
        DataError: names or shapes are not the network's (code "wrong-weights").
    """
    state = network.state_dict()
    wrong = set(state) ^ set(tensors)
    wrong |= {
        name for name in set(state) & set(tensors) if state[name].shape != tensors[name].shape
    }
    if wrong:
        raise DataError(
            f"{len(wrong)} tensors differ, {min(wrong)!r} is one",
            code="wrong-weights",
            about=about,
            hint="use the model's own config",
        )
    with torch.no_grad():
        for name, tensor in state.items():
            put(tensor, tensors[name])


def gather_optimiser(network: nn.Module, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's state as `<parameter>/<key>`, on the CPU."""
    return {
        f"{name}/{key}": _whole(value if isinstance(value, Tensor) else torch.tensor(value))
        for name, parameter in _named(network, optimiser)
        for key, value in optimiser.state[parameter].items()
        if value is not None
    }


def load_optimiser(
    network: nn.Module, optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor]
) -> None:
    """Put back what `gather_optimiser` gave."""
    by_parameter: dict[str, dict[str, Tensor]] = {}
    for path, tensor in tensors.items():
        name, _, key = path.rpartition("/")
        by_parameter.setdefault(name, {})[key] = tensor
    for name, parameter in _named(network, optimiser):
        state: dict[str, Any] = optimiser.state[parameter]
        for key, tensor in by_parameter.get(name, {}).items():
            if tensor.shape != parameter.shape:
                state[key] = tensor.to(parameter.device, copy=True)  # a count of steps
                continue
            state[key] = torch.empty_like(parameter, requires_grad=False)
            put(state[key], tensor)


def _named(
    network: nn.Module, optimiser: torch.optim.Optimizer
) -> Iterator[tuple[str, nn.Parameter]]:
    learnt = {id(one) for group in optimiser.param_groups for one in group["params"]}
    for name, parameter in network.named_parameters():
        if id(parameter) in learnt:
            yield name, parameter


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor that may be spread over the ranks; then every rank has to take part.

    Its module is looked up where a spread tensor must have loaded it: loading it takes every
    process a second.
    """
    spread = sys.modules.get("torch.distributed.tensor")
    if spread is not None and isinstance(tensor, spread.DTensor):
        full: Tensor = tensor.full_tensor()
        return full
    return tensor


def _whole(tensor: Tensor) -> Tensor:
    return whole(tensor).detach().cpu().contiguous()


def put(tensor: Tensor, value: Tensor) -> None:
    """Copy a whole value into a tensor that may be spread over the ranks."""
    spread = sys.modules.get("torch.distributed.tensor")
    if spread is not None and isinstance(tensor, spread.DTensor):
        value = spread.distribute_tensor(
            value.to(tensor.device), tensor.device_mesh, tensor.placements, src_data_rank=None
        )
    tensor.copy_(value)
