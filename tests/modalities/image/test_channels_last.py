"""The layout of a network's memory changes what it costs, not what it computes."""

import copy

import pytest
import torch
from torch import nn

from medray.modalities.image.channels_last import channels_last
from medray.models import MODELS


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("name", ["unet", "segnet", "resnet", "cnn"])
def test_channels_last_is_the_same_function(name: str, dims: int) -> None:
    torch.manual_seed(0)
    kind, patch = MODELS.get(name), (32, 64, 32)[:dims]
    network = kind.build(kind.Options(dims=dims), 2, 3, patch)
    network(torch.randn(4, 2, *patch) * 3 + 1)  # moves the statistics of batch norms
    network.eval().requires_grad_(False)
    for parameter in network.parameters():
        if parameter.ndim == 1:
            parameter.add_(0.1 * torch.randn_like(parameter))  # scales of norms are no longer 1
    other = copy.deepcopy(network)
    channels_last(other, dims)
    image = torch.randn(2, 2, *patch)
    apart = ~other(image).isclose(network(image), rtol=1e-3, atol=1e-3)
    # By rounding another may be the largest of a pool, which segnet hands on: a few places differ.
    assert apart.float().mean() <= (1e-3 if name == "segnet" else 0)
    assert not any(isinstance(m, nn.InstanceNorm2d | nn.InstanceNorm3d) for m in other.modules())
    layout = torch.channels_last_3d if dims == 3 else torch.channels_last
    assert other(image).shape == network(image).shape
    kernels = [p for p in other.parameters() if p.ndim == dims + 2]
    assert all(kernel.is_contiguous(memory_format=layout) for kernel in kernels)
    assert other.state_dict().keys() == network.state_dict().keys()
