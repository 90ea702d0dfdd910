"""A batch norm goes into the convolution before it, and nothing else changes."""

import copy

import pytest
import torch
from torch import nn

from medray.models import MODELS
from medray.models.image.fusion import fuse_norms


def _learnt(network: nn.Module) -> nn.Module:
    """With norms that are no identities."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
            for values in (module.weight.data, module.running_var):
                assert values is not None
                values.uniform_(0.5, 2)
            for values in (module.bias.data, module.running_mean):
                assert values is not None
                values.normal_()
    return network.eval().requires_grad_(False)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("name", ["centernet", "resnet", "cnn", "unet"])
def test_fused_is_the_same_function(name: str, dims: int) -> None:
    torch.manual_seed(0)
    kind, patch = MODELS.get(name), (32, 64, 32)[:dims]
    features = {} if name == "resnet" else {"features": (8, 16, 16)}
    network = _learnt(kind.build(kind.Options(dims=dims, **features), 2, 3, patch))
    fused = copy.deepcopy(network)
    fuse_norms(fused)
    kinds = nn.BatchNorm2d | nn.BatchNorm3d
    norms = [m for m in network.modules() if isinstance(m, kinds)]
    assert bool(norms) == (name != "unet")  # which has instance norms
    assert not any(isinstance(m, kinds) for m in fused.modules())
    names = [n for n, _ in network.named_modules()]
    assert [n for n, _ in fused.named_modules()] == names
    image = torch.randn(2, 2, *patch)
    torch.testing.assert_close(fused(image), network(image), rtol=1e-4, atol=1e-4)


def test_what_is_used_twice_or_knows_no_statistics_stays() -> None:
    torch.manual_seed(0)
    shared = nn.Conv2d(2, 2, 3, padding=1)
    network = nn.Sequential(
        nn.Sequential(shared, nn.BatchNorm2d(2)),
        nn.Sequential(shared, nn.ReLU()),
        nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2, track_running_stats=False)),
    ).eval()
    fused = copy.deepcopy(network)
    fuse_norms(fused)
    assert sum(isinstance(m, nn.BatchNorm2d) for m in fused.modules()) == 2
    image = torch.randn(2, 2, 8, 8)
    torch.testing.assert_close(fused(image), network(image))
