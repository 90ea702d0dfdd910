"""A precision that can't be had is told before a network is asked."""

import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from medray.errors import SpecError
from medray.models import MODELS
from medray.models.precision import cast_ahead, check_precision

# oneDNN as a CPU without AVX-512 has it; what torch says of an LSTM there, and what medray does.
OLD = {"ONEDNN_MAX_CPU_ISA": "AVX2"}
CODE = """
import torch
from torch import nn
from medray.errors import SpecError
from medray.models.precision import check_precision

cpu, lstm = torch.device("cpu"), nn.LSTM(4, 4)
check_precision("fp32", cpu, [lstm])
check_precision("bf16", cpu, [nn.Linear(4, 4)])
try:
    check_precision("bf16", cpu, [nn.Sequential(lstm)])
except SpecError as error:
    print(error.code)
try:
    with torch.autocast("cpu", torch.bfloat16):
        lstm(torch.ones(2, 2, 4))
except RuntimeError as error:
    print(type(error).__name__)
"""


def test_bf16_of_recurrent_layers_is_refused_where_torch_would_fail() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        env={**os.environ, **OLD},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["bf16-unsupported", "RuntimeError"]


def test_fp16_needs_a_gpu() -> None:
    with pytest.raises(SpecError, match="fp16-needs-cuda"):
        check_precision("fp16", torch.device("cpu"), [nn.Linear(1, 1)])
    check_precision("fp16", torch.device("cuda"), [nn.LSTM(1, 1)])


@pytest.mark.parametrize("name", ["centernet", "resnet", "unet", "cnn", "segnet"])
def test_weights_cast_ahead_change_no_answer(name: str) -> None:
    torch.manual_seed(0)
    kind = MODELS.get(name)
    features = {} if name == "resnet" else {"features": (8, 16, 16)}
    network = kind.build(kind.Options(dims=2, **features), 2, 3, (32, 64)).eval()
    network.requires_grad_(False).to(memory_format=torch.channels_last)
    cast = cast_ahead(network)
    image = torch.randn(2, 2, 32, 64)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(cast(image), network(image))
    assert torch.bfloat16 in {one.dtype for one in cast.parameters()}
    own = {id(one) for one in network.parameters()}
    for module in cast.modules():
        half = type(module) in (nn.Conv2d, nn.ConvTranspose2d)
        for one in module.parameters(recurse=False):
            assert (one.dtype, id(one) in own) == (
                (torch.bfloat16, False) if half else (torch.float32, True)
            )
    assert {one.dtype for one in network.parameters()} == {torch.float32}
