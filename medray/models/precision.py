"""Which precision a device can compute networks in."""

from collections.abc import Iterable

import torch
from torch import nn

from medray.errors import SpecError


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


def _has_bf16() -> bool:
    """Whether oneDNN has bfloat16 here."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())  # noqa: SLF001 - no other door
