"""Maps of what an answer hangs on: Grad-CAM, integrated gradients and occlusion, in 2-D and 3-D.

All take a network in evaluation mode, images (B, C, *space) on its device, and a score that makes
one number a sample of its logits; samples are explained together and do not know of each other.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from medray.modalities.image.explain import How
from medray.modalities.image.sliding.grid import axis_starts, box

Score = Callable[[Tensor], Tensor]
"""Logits (B, classes, …) to one number a sample, (B,)."""

STEPS, MOST_STEPS = 16, 128  # points on the path: as many as it takes
CLOSE = 0.01  # of the attributions' size, that their sum may be off
BLUR = 1 / 8  # of the image's size: the deviation of the Gaussian that hides what is small
PARTS = {2: 8, 3: 4}  # boxes that cover an axis in occlusion, by axes: 225 and 343 passes
_LINEAR = {2: "bilinear", 3: "trilinear"}


def attribute(how: How, network: nn.Module, features: str, images: Tensor, score: Score) -> Tensor:
    """How much each voxel has to do with the score, float32 (B, *space).

    Args:
        how: one of the methods below.
        network: in evaluation mode.
        features: the module that Grad-CAM weighs (`ImageNetwork.features_of`).
        images: (B, C, *space), normalised.
        score: what is explained.
    """
    if how == "grad-cam":
        return grad_cam(network, features, images, score)
    if how == "integrated-gradients":
        return integrated_gradients(network, images, score)[0]
    return occlusion(network, images, score)


def grad_cam(network: nn.Module, features: str, images: Tensor, score: Score) -> Tensor:
    """Grad-CAM (Selvaraju et al. 2017): maps of features, each weighed by the mean of its
    gradient, added up, rectified, and drawn out linearly to the image.

    With a score over a region this is the map for segmentation of Vinogradova et al. 2020.

    Args:
        network: see above.
        features: name of the module whose output (B, K, *smaller) is weighed.
        images: (B, C, *space).
        score: what is explained.

    Returns:
        float32 (B, *space), never negative.
    """
    held: dict[str, Tensor] = {}

    def keep(_: nn.Module, __: Any, made: Tensor) -> Tensor:
        held["maps"] = made.detach().requires_grad_()
        # Of its own: layers behind it may change what they are given in place.
        return held["maps"] * 1

    with torch.enable_grad():
        hook = network.get_submodule(features).register_forward_hook(keep)
        try:
            total = score(network(images).float()).sum()
        finally:
            hook.remove()
        (gradient,) = torch.autograd.grad(total, [held["maps"]])
    space = tuple(range(2, images.ndim))
    weights = gradient.mean(space, keepdim=True)
    small = (weights * held["maps"].detach()).sum(1, keepdim=True).relu()
    mode = _LINEAR[len(space)]
    return functional.interpolate(small.float(), size=images.shape[2:], mode=mode)[:, 0]


def integrated_gradients(network: nn.Module, images: Tensor, score: Score) -> tuple[Tensor, Tensor]:
    """Integrated gradients (Sundararajan et al. 2017) from a baseline on, added up over channels.

    The baseline is the image blurred; see `hidden`.

    A sample's attributions add up to the difference of the scores of both images but for the sum
    over the path, whose points double until that is within CLOSE of their size, or they are
    MOST_STEPS.

    Returns:
        Maps, float32 (B, *space), and how far their sums are off, of the attributions' size, (B,).
    """
    base = hidden(images)
    ends = _scores(network, images, score) - _scores(network, base, score)
    away, steps = images - base, STEPS
    while True:
        total = torch.zeros_like(images)
        for step in range(steps):
            # The middle of each part of the path: ends may lie on a rectifier's edge.
            total += _gradient(network, base + away * ((step + 0.5) / steps), score)
        each = away * total / steps
        off = (each.flatten(1).sum(1) - ends).abs()
        off = off / each.flatten(1).abs().sum(1).clamp(min=1e-12)
        if steps >= MOST_STEPS or bool((off <= CLOSE).all()):
            return each.sum(1).float(), off.float()
        steps *= 2


def hidden(images: Tensor) -> Tensor:
    """Images in which nothing small can be seen: blurred by an eighth of their size, (B, C, *space)
    (Fong & Vedaldi 2017; Sturmfels et al. 2020).

    A constant would be seen itself where the image is darker or brighter than it, as air in a CT;
    and behind an instance norm a dim image is no other than a bright one.
    """
    for axis, size in enumerate(images.shape[2:], start=2):
        at = torch.arange(size, dtype=images.dtype, device=images.device)
        weights = torch.exp(-0.5 * ((at[:, None] - at) / (BLUR * size)) ** 2)
        weights = weights / weights.sum(1, keepdim=True)
        images = torch.tensordot(images, weights, ([axis], [1])).movedim(-1, axis)
    return images


def occlusion(
    network: nn.Module,
    images: Tensor,
    score: Score,
    size: Sequence[int] | None = None,
) -> Tensor:
    """Occlusion (Zeiler & Fergus 2014): what the score loses where a box is hidden, averaged over
    all boxes that cover a voxel; see `hidden`.

    Args:
        network: see above.
        images: (B, C, *space).
        score: what is explained.
        size: of the box; they lie half a box apart. None: an eighth of each axis, a quarter in 3-D.

    Returns:
        float32 (B, *space).
    """
    shape = tuple(images.shape[2:])
    size = tuple(size or (max(1, -(-length // PARTS[len(shape)])) for length in shape))
    whole, base = _scores(network, images, score), hidden(images)
    lost, times = images.new_zeros((len(images), *shape)), images.new_zeros(shape)
    starts = (axis_starts(*pair, 0.5) for pair in zip(shape, size, strict=True))
    for start in itertools.product(*starts):
        here = box(start, size)
        changed = images.clone()
        changed[:, :, *here] = base[:, :, *here]
        drop = whole - _scores(network, changed, score)
        lost[:, *here] += drop.view(-1, *[1] * len(shape))
        times[*here] += 1
    return (lost / times).float()


def _scores(network: nn.Module, images: Tensor, score: Score) -> Tensor:
    with torch.inference_mode():
        found: Tensor = score(network(images).float())
    return found.clone()


def _gradient(network: nn.Module, images: Tensor, score: Score) -> Tensor:
    with torch.enable_grad():
        inputs = images.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(score(network(inputs).float()).sum(), [inputs])
    return gradient
