"""Instance norm in either layout of memory."""

import pytest
import torch
from torch import nn

from medray.data.tree import channels_last
from medray.models.image.layers import norm


@pytest.mark.parametrize("dims", [2, 3])
def test_a_layout_changes_neither_values_nor_gradients(dims: int) -> None:
    torch.manual_seed(0)
    ours, theirs = norm(dims, "instance", 5), [nn.InstanceNorm2d, nn.InstanceNorm3d][dims - 2](5)
    with torch.no_grad():
        ours.weight.uniform_(0.5, 2)
        ours.bias.uniform_(-1, 1)
    values, weights = torch.randn(3, 5, *[6] * dims) * 4 + 9, torch.randn(3, 5, *[6] * dims)
    found = []
    for layout in (torch.contiguous_format, channels_last(dims)):
        x = values.clone(memory_format=layout).requires_grad_()
        y = ours(x)
        assert y.is_contiguous(memory_format=layout)
        found.append((y, *torch.autograd.grad((y * weights).sum(), [x, ours.weight, ours.bias])))
    for plain, other in zip(*found, strict=True):
        torch.testing.assert_close(other, plain, atol=2e-5, rtol=1e-5)
    shape = (1, 5, *[1] * dims)
    wanted = theirs(values) * ours.weight.view(shape) + ours.bias.view(shape)
    torch.testing.assert_close(found[0][0], wanted)


def test_a_sample_is_normalised_by_itself_whatever_lies_beside_it() -> None:
    layer, layout = norm(3, "instance", 4), channels_last(3)
    many = torch.randn(3, 4, 4, 6, 5).to(memory_format=layout)
    alone = layer(many[1:2].contiguous(memory_format=layout))
    assert torch.equal(layer(many)[1:2], alone)
