"""One forward pass for all modalities, and what they share without loading torch."""

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from medray.errors import DataError
from medray.modalities import MODALITIES
from medray.modalities.ask import ask, forward
from medray.tasks import build_task

TASK = {"name": "classification", "classes": ["a", "b"]}


def seen(types: list[torch.dtype]) -> Callable[[Tensor], Tensor]:
    layer = torch.nn.Linear(4, 2)

    def network(tokens: Tensor) -> Tensor:
        made: Tensor = layer(tokens.float())
        types.append(made.dtype)
        return made

    return network


def test_precision_holds_for_inputs_of_every_type() -> None:
    # Tokens are bytes: what they are is no sign of how the network is to compute.
    types: list[torch.dtype] = []
    network = seen(types)
    tokens = torch.zeros(3, 4, dtype=torch.uint8)
    forward(network, tokens, "bf16")
    forward(network, tokens)
    forward(network, tokens.to(torch.bfloat16))
    assert types == [torch.bfloat16, torch.float32, torch.float32]
    answers = ask(network, tokens, build_task(TASK), "bf16")
    assert answers.dtype == np.float32
    np.testing.assert_allclose(answers.sum(1), 1, rtol=1e-6)


def test_logits_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(DataError) as caught:
        ask(lambda x: x / 0, torch.zeros(1, 2), build_task(TASK), "fp32")
    assert caught.value.code == "nonfinite-output"


def test_a_modality_is_asked_what_it_takes_without_torch() -> None:
    code = (
        "import sys; from medray.modalities import MODALITIES; "
        "[MODALITIES.get(name)().needs for name in MODALITIES.names()]; "
        "print('torch' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "False\n"
    assert {"image", "sequence", "table"} <= set(MODALITIES.names())
