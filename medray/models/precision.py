"""Which precision a device can compute networks in, and networks that are ready for one."""

import copy
from collections.abc import Iterable
from itertools import chain
from typing import TypeVar

import torch
from torch import nn

from medray.errors import SpecError

N = TypeVar("N", bound=nn.Module)
_CONVOLUTIONS = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def check_precision(precision: str, device: torch.device, networks: Iterable[nn.Module]) -> None:
    """Refuse a precision that a device can't compute networks in.

    Raises:
        SpecError: fp16 without a GPU (code "fp16-needs-cuda"), or bf16 of recurrent layers on a CPU
            whose library has none (code "bf16-unsupported"): torch would fail at the first step.
    """
    if device.type != "cpu":
        return
    if precision == "fp16":
        raise SpecError(
            "fp16 needs a GPU", code="fp16-needs-cuda", hint="set precision to bf16 or fp32"
        )
    recurrent = any(isinstance(part, nn.RNNBase) for one in networks for part in one.modules())
    if precision == "bf16" and recurrent and not _has_bf16():
        raise SpecError(
            "this CPU computes no recurrent layers in bf16",
            code="bf16-unsupported",
            hint="set precision to fp32",
        )


def cast_ahead(network: N) -> N:
    """A network to be asked in bf16 by autocast: its convolutions have their weights in bf16, and
    all else is shared. It answers as the network does, which stays as it is.

    Where nothing learns, autocast casts them again on each call, which took a tenth of a detector's
    time (one picture, 3 x 240 x 320, on one core).
    """
    shared = {id(one): one for one in chain(network.parameters(), network.buffers())}
    for module in network.modules():
        if type(module) in _CONVOLUTIONS:  # another kind may do more with its weights
            for one in module.parameters(recurse=False):
                cast = one.detach().to(torch.bfloat16)
                shared[id(one)] = nn.Parameter(cast, requires_grad=False)
    return copy.deepcopy(network, shared)


def _has_bf16() -> bool:
    """Whether oneDNN has bfloat16 here."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())  # noqa: SLF001 - no other door
