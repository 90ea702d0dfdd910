"""Maps of what an answer hangs on: Grad-CAM, integrated gradients and occlusion, in 2-D and 3-D.

All take a network in evaluation mode, images (B, C, *space) on its device, and a score that makes
one number a sample of its logits; samples are explained together and do not know of each other.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from medray.modalities.image.explain import How
from medray.modalities.image.explain.target import OverRegion
from medray.modalities.image.sliding.grid import axis_starts, box

Score = Callable[[Tensor], Tensor]
"""Logits (B, classes, …) to one number a sample, (B,)."""

Hook = Callable[[nn.Module, Any, Tensor], Tensor | None]

CELLS = 7  # an axis, as the deepest maps of a picture of 224 x 224 have in a ResNet
STEPS, MOST_STEPS = 16, 128  # points on the path: as many as it takes
CLOSE = 0.01  # of the attributions' size, that their sum may be off
BLUR = 1 / 8  # of the image's size: the deviation of the Gaussian that hides what is small
PARTS = {2: 8, 3: 4}  # boxes that cover an axis in occlusion, by axes: 225 and 343 passes
_LINEAR = {2: "bilinear", 3: "trilinear"}


def attribute(
    how: How, network: nn.Module, levels: Sequence[str], images: Tensor, score: Score
) -> Tensor:
    """How much each voxel has to do with the score, float32 (B, *space).

    Args:
        how: one of the methods below.
        network: in evaluation mode.
        levels: modules that Grad-CAM may weigh (`ImageNetwork.feature_maps`).
        images: (B, C, *space), normalised.
        score: what is explained.
    """
    if how == "grad-cam":
        return grad_cam(network, levels, images, score)
    if how == "integrated-gradients":
        return integrated_gradients(network, images, score)[0]
    return occlusion(network, images, score)


def grad_cam(network: nn.Module, levels: Sequence[str], images: Tensor, score: Score) -> Tensor:
    """Grad-CAM (Selvaraju et al. 2017): maps of features, each weighed by the mean of its
    gradient, added up, rectified, and drawn out linearly to the image.

    Of the deepest maps, where they have CELLS an axis. Where they are coarser, as of volumes, a
    lesion may be less than a cell: then of the deepest that have as many, each cell weighed by its
    own gradient (HiResCAM, Draelos & Carin 2020), since a mean over finer maps says nothing of a
    place. Finer maps are of edges, one side of which speaks against what the other speaks for: they
    are blurred by half a deepest cell before they are rectified.

    With a score over a region this is the map for segmentation of Vinogradova et al. 2020, of the
    deepest maps always: each cell's own gradient would point at the region whatever was learnt (of
    boxes the ranks of such maps and of those of random weights had a correlation of .85).

    Args:
        network: see above.
        levels: names of modules whose outputs (B, K, *smaller) are maps of features, finest first.
        images: (B, C, *space).
        score: what is explained.

    Returns:
        float32 (B, *space), never negative.
    """
    space = tuple(range(2, images.ndim))
    if isinstance(score, OverRegion):
        levels = levels[-1:]
    level, width = _fine_enough(network, levels, images)
    held: dict[str, Tensor] = {}

    def keep(_: nn.Module, __: Any, made: Tensor) -> Tensor:
        held["maps"] = made.detach().requires_grad_()
        # Of its own: layers behind it may change what they are given in place.
        return held["maps"] * 1

    with torch.enable_grad(), _hooked(network, [level], keep):
        total = score(network(images).float()).sum()
        (gradient,) = torch.autograd.grad(total, [held["maps"]])
    maps, deepest = held["maps"].detach(), level == levels[-1]
    weights = gradient.mean(space, keepdim=True) if deepest else gradient
    small = (weights * maps).sum(1, keepdim=True).float()
    if not deepest:
        small = _blurred(small, [cells / 2 for cells in width])
    mode = _LINEAR[len(space)]
    return functional.interpolate(small.relu(), size=images.shape[2:], mode=mode)[:, 0]


def _fine_enough(
    network: nn.Module, levels: Sequence[str], images: Tensor
) -> tuple[str, list[float]]:
    """The deepest level with CELLS an axis, by their geometric mean (without any the finest), and
    how many of its cells one of the deepest level is along each axis."""
    shapes: list[torch.Size] = []

    def measure(_: nn.Module, __: Any, made: Tensor) -> None:
        shapes.append(made.shape[2:])

    with torch.inference_mode(), _hooked(network, levels, measure):
        network(images[:1])
    fine = [at for at, shape in enumerate(shapes) if shape.numel() >= CELLS ** len(shape)]
    at = fine[-1] if fine else 0
    return levels[at], [own / last for own, last in zip(shapes[at], shapes[-1], strict=True)]


@contextmanager
def _hooked(network: nn.Module, names: Sequence[str], hook: Hook) -> Iterator[None]:
    """Modules have a hook behind them."""
    hooks = [network.get_submodule(name).register_forward_hook(hook) for name in names]
    try:
        yield
    finally:
        for one in hooks:
            one.remove()


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
    return _blurred(images, [BLUR * size for size in images.shape[2:]])


def _blurred(images: Tensor, sigmas: Sequence[float]) -> Tensor:
    """By a Gaussian of these deviations, in voxels along each axis; nothing lies outside."""
    for axis, sigma in enumerate(sigmas, start=2):
        size = images.shape[axis]
        at = torch.arange(size, dtype=images.dtype, device=images.device)
        weights = torch.exp(-0.5 * ((at[:, None] - at) / sigma) ** 2)
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

    Such a map has steps of half a box, as high at their rim as in their middle. Blurred by an
    eighth of a box it is highest in the middle.

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
    found = _blurred((lost / times)[:, None], [length / 8 for length in size])
    return found[:, 0].float()


def _scores(network: nn.Module, images: Tensor, score: Score) -> Tensor:
    with torch.inference_mode():
        found: Tensor = score(network(images).float())
    return found.clone()


def _gradient(network: nn.Module, images: Tensor, score: Score) -> Tensor:
    with torch.enable_grad():
        inputs = images.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(score(network(inputs).float()).sum(), [inputs])
    return gradient
