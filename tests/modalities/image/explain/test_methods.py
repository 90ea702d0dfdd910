"""Maps hold what can be computed by hand, on networks whose answer is known."""

import itertools

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor, nn
from torch.nn import functional

from medray.modalities.image.explain.methods import (
    CLOSE,
    attribute,
    grad_cam,
    hidden,
    integrated_gradients,
    occlusion,
)
from medray.modalities.image.explain.target import OfClass
from medray.models import MODELS, model_options
from medray.models.image.base import ImageNetwork


class Linear(nn.Module):
    """Maps of features by fixed convolutions; the mean over space; one linear layer."""

    def __init__(self, dims: int, channels: int = 2, classes: int = 3) -> None:
        super().__init__()
        torch.manual_seed(dims)
        conv = nn.Conv3d if dims == 3 else nn.Conv2d
        self.maps = conv(1, channels, 1, bias=False)
        self.head = nn.Linear(channels, classes, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.maps(x)
        answer: Tensor = self.head(maps.flatten(2).mean(2))
        return answer


class Sees(nn.Module):
    """Its second logit is what stands in one box, and nothing else."""

    def __init__(self, box: tuple[slice, ...]) -> None:
        super().__init__()
        self.box = box

    def forward(self, x: Tensor) -> Tensor:
        inside = x[:, 0][(slice(None), *self.box)].flatten(1).sum(1)
        return torch.stack([torch.zeros_like(inside), inside], 1)


def images(*shape: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(1).normal(size=shape).astype(np.float32))


def small(dims: int) -> nn.Module:
    torch.manual_seed(0)
    kind = MODELS.get("cnn")
    options = model_options({"name": "cnn", "features": [4, 8], "convs": 1}, dims=dims)
    network = kind.build(options, 2, 3, (16,) * dims).eval()
    with torch.no_grad():
        for one in network.parameters():
            one *= 2
    return network.requires_grad_(False)


@pytest.mark.parametrize("dims", [2, 3])
def test_grad_cam_of_a_linear_network_is_its_weights_over_the_maps(dims: int) -> None:
    net, inputs = Linear(dims).eval().requires_grad_(False), images(2, 1, *(6,) * dims)
    which = torch.tensor([2, 0])
    found = grad_cam(net, ["maps"], inputs, OfClass(which, exclusive=False))
    # The logit is sum_k w_k mean(A_k): the gradient of a map is w_k / voxels at every voxel.
    maps, weights = net.maps(inputs), net.head.weight[which]
    wanted = (weights.view(2, 2, *[1] * dims) * maps / 6**dims).sum(1).relu()
    assert wanted.max() > 0
    torch.testing.assert_close(found, wanted)


def test_grad_cam_is_drawn_out_to_the_image() -> None:
    class Pooled(Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(functional.avg_pool2d(x, 2))

    net, inputs = Pooled(2).eval(), images(1, 1, 8, 12)
    found = grad_cam(net, ["maps"], inputs, OfClass(torch.tensor([1]), exclusive=False))
    maps = net.maps(functional.avg_pool2d(inputs, 2))
    small = (net.head.weight[1].view(1, 2, 1, 1) * maps / 24).sum(1, keepdim=True).relu()
    wanted = functional.interpolate(small, size=(8, 12), mode="bilinear")[:, 0]
    torch.testing.assert_close(found, wanted.detach())


@pytest.mark.parametrize("dims", [2, 3])
def test_integrated_gradients_add_up_to_the_difference_of_both_answers(dims: int) -> None:
    net, inputs = small(dims), images(3, 2, *(16,) * dims)
    target = OfClass(torch.tensor([0, 1, 2]), exclusive=False)
    found, off = integrated_gradients(net, inputs, target)
    with torch.no_grad():
        ends = target(net(inputs)) - target(net(hidden(inputs)))
    sums = found.flatten(1).sum(1)
    assert ends.abs().min() > 0.01
    # Of the size of attributions of channels, which are larger than those of their sum.
    assert bool((off <= CLOSE).all())
    assert ((sums - ends).abs() / ends.abs()).max() < 0.1
    # Of a linear network the path is a line: values times weights, exactly.
    line, inputs = Linear(dims).eval(), images(1, 1, *(4,) * dims)
    found, off = integrated_gradients(line, inputs, OfClass(torch.tensor([1]), exclusive=False))
    weight = line.head.weight[1] @ line.maps.weight.flatten(1) / 4**dims
    away = (inputs - hidden(inputs))[:, 0]
    torch.testing.assert_close(found, (away * weight).detach())
    assert off.max() < 1e-4


@pytest.mark.parametrize(("shape", "size"), [((10, 7), (3, 2)), ((5, 4, 6), (2, 2, 3))])
def test_occlusion_is_what_hiding_box_by_box_loses(
    shape: tuple[int, ...], size: tuple[int, ...]
) -> None:
    net, inputs = small(len(shape)), images(2, 2, *shape)
    target = OfClass(torch.tensor([2, 1]), exclusive=False)
    found = occlusion(net, inputs, target, size)
    lost, times, base = np.zeros((2, *shape)), np.zeros(shape), hidden(inputs)
    with torch.no_grad():
        before = target(net(inputs)).numpy()
        steps = [max(1, length // 2) for length in size]
        # Every half a box, and one that ends at the border.
        starts = [
            sorted({*range(0, whole - box, step), whole - box})
            for whole, box, step in zip(shape, size, steps, strict=True)
        ]
        for start in itertools.product(*starts):
            box = tuple(slice(at, at + by) for at, by in zip(start, size, strict=True))
            changed, every = inputs.clone(), (slice(None), slice(None), *box)
            changed[every] = base[every]
            drop = before - target(net(changed)).numpy()
            lost[(slice(None), *box)] += drop.reshape(2, *[1] * len(shape))
            times[box] += 1
    wanted = lost / times
    for axis, (whole, box) in enumerate(zip(shape, size, strict=True), start=1):
        away = np.arange(whole)[:, None] - np.arange(whole)
        near = np.exp(-0.5 * (away / (box / 8)) ** 2)
        near /= near.sum(1, keepdims=True)
        wanted = np.moveaxis(np.tensordot(wanted, near, (axis, 1)), -1, axis)
    np.testing.assert_allclose(found.numpy(), wanted, atol=1e-5)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("how", ["integrated-gradients", "occlusion"])
def test_what_a_network_sees_is_what_is_shown(how: str, dims: int) -> None:
    box = (slice(4, 8),) * dims
    inputs = torch.zeros(1, 1, *(16,) * dims)
    inputs[(0, 0, *box)] = 1
    found = attribute(how, Sees(box), (), inputs, OfClass(torch.tensor([1]), exclusive=False))[0]
    inside = torch.zeros_like(found, dtype=torch.bool)
    inside[box] = True
    if how == "integrated-gradients":
        torch.testing.assert_close(found, (inputs - hidden(inputs))[0, 0] * inside)
    else:
        assert inside.flatten()[found.argmax()]
        far = found[(slice(12, None),) * dims]
        assert float(far.abs().max()) < 1e-6


def test_coarse_maps_give_way_to_finer_ones() -> None:
    """A lesion of two voxels: the deepest of 4 cells an axis can't point at it, the next can."""

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fine, self.coarse = nn.AvgPool3d(2), nn.AvgPool3d(2)

        def forward(self, x: Tensor) -> Tensor:
            mean = self.coarse(self.fine(x)).flatten(1).mean(1)
            return torch.stack([torch.zeros_like(mean), mean], 1)

    inputs, target = torch.zeros(1, 1, 16, 16, 16), OfClass(torch.tensor([1]), exclusive=False)
    inputs[0, 0, 6:8, 8:10, 4:6] = 1
    found = grad_cam(Two(), ["fine", "coarse"], inputs, target)[0]
    assert inputs[0, 0].flatten()[found.argmax()] == 1
    coarse = grad_cam(Two(), ["coarse"], inputs, target)[0]
    assert (coarse == coarse.max()).nonzero().float().mean(0).tolist() == [5.5, 9.5, 5.5]
    # Of 7 cells an axis or more the deepest are taken, weighed as Grad-CAM does.
    large = torch.randn(1, 1, 28, 28, 28)
    torch.testing.assert_close(
        grad_cam(Two(), ["fine", "coarse"], large, target),
        grad_cam(Two(), ["coarse"], large, target),
    )


@pytest.mark.parametrize("name", ["unet", "segnet", "resnet", "cnn"])
def test_networks_name_their_levels_from_fine_to_coarse(name: str) -> None:
    kind = MODELS.get(name)
    network = kind.build(model_options({"name": name}, dims=2), 1, 2, (64, 64)).eval()
    assert isinstance(network, ImageNetwork)
    sizes: list[int] = []
    for level in network.feature_maps:
        module = network.get_submodule(level)
        module.register_forward_hook(lambda _, __, made: sizes.append(made.shape[2]))
    with torch.no_grad():
        network(images(1, 1, 64, 64))
    assert len(sizes) == len(network.feature_maps) > 1
    assert sizes == sorted(sizes)[::-1]
    assert sizes[0] > sizes[-1]


def test_what_is_hidden_is_blurred() -> None:
    inputs = images(1, 1, 16, 16)
    base = hidden(inputs)
    wanted = ndimage.gaussian_filter(inputs[0, 0].numpy(), 2, truncate=8)
    inner = (slice(6, 10), slice(6, 10))  # where the border is far
    np.testing.assert_allclose(base[0, 0][inner].numpy(), wanted[inner], atol=2e-3)
    assert base.std() < 0.3 * inputs.std()
    torch.testing.assert_close(
        hidden(torch.full((1, 2, 5, 6, 7), 3.0)), torch.full((1, 2, 5, 6, 7), 3.0)
    )


def test_a_network_that_is_blind_to_contrast_is_explained() -> None:
    class Blind(Linear):
        def __init__(self) -> None:
            super().__init__(2)
            self.norm = nn.InstanceNorm2d(2, affine=True)

        def forward(self, x: Tensor) -> Tensor:
            answer: Tensor = self.head(self.norm(self.maps(x)).relu().flatten(2).mean(2))
            return answer

    net, inputs = Blind().eval().requires_grad_(False), images(1, 1, 16, 16)
    found, off = integrated_gradients(net, inputs, OfClass(torch.tensor([1]), exclusive=False))
    with torch.no_grad():
        ends = (net(inputs) - net(hidden(inputs)))[0, 1]
    assert float(off) < CLOSE
    assert float(found.sum()) == pytest.approx(float(ends), abs=float(found.abs().sum()) * CLOSE)
