"""What a network learns of boxes, and how boxes are read from what it answers.

Maps are of cells. Channels are a logit of each class for an object's centre in the cell, then for
each axis the logarithm of the distance from the cell's middle to the face towards 0, then to those
opposite, all in cells.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

CORE = 0.54  # of a box's half, along each axis: as far as its cells learn its faces (Liu et al.)
FAR = 8.0  # logarithm of distances at most: 3000 cells


def centre_loss(maps: Tensor, target: Mapping[str, Tensor], box_weight: float) -> Tensor:
    """Loss of each sample, (B,), float32.

    The heat map's is the focal one of Law & Deng 2018 (alpha 2, beta 4), divided by the number of
    objects. That of boxes is 1 - GIoU (Rezatofighi et al. 2019), over cells near a centre, by a
    Gaussian that adds up to 1 for each object, as training-time-friendly networks do (Liu et al.
    2020); a cell near several learns of the smallest.

    Args:
        maps: (B, classes + 2 * axes, *cells).
        target: `boxes` (B, objects, 2 * axes) as shares of the patch, `kinds` (B, objects), -1
            behind the last, `ignored` (B, objects) bool: neither learnt nor held against it.
        box_weight: of the boxes' loss.
    """
    maps = maps.float()
    losses = [
        _loss(one, boxes[kinds >= 0], kinds[kinds >= 0], ignored[kinds >= 0], box_weight)
        for one, boxes, kinds, ignored in zip(
            maps, target["boxes"], target["kinds"], target["ignored"], strict=True
        )
    ]
    return torch.stack(losses)


def _loss(maps: Tensor, boxes: Tensor, kinds: Tensor, ignored: Tensor, weight: float) -> Tensor:
    cells, axes = maps.shape[1:], maps.ndim - 1
    classes = len(maps) - 2 * axes
    size = torch.tensor(cells, dtype=torch.float32, device=maps.device)
    edges = boxes * size.repeat(2)
    begin, end = edges[~ignored, :axes], edges[~ignored, axes:]
    near = _near(begin, end, cells)
    heat, of = maps.new_zeros((classes, *cells)), kinds[~ignored]
    for kind in set(of.tolist()):
        heat[kind] = near[of == kind].amax(0)
    known = maps.new_ones(cells)
    for one in edges[ignored]:
        known[_inside(one, cells)] = 0
    count = max(1, len(near))
    loss = (_focal(maps[:classes], heat) * known).sum() / count
    if not len(near):
        return loss
    # The smallest box whose core holds a cell is the one that the cell learns.
    area = (end - begin).prod(1)
    covered = torch.where(near > 0, area.view(-1, *[1] * axes), torch.inf)
    least, owner = covered.min(0)
    there = torch.isfinite(least)
    mine = owner[there]
    share = near.gather(0, owner[None])[0][there] / near.flatten(1).sum(1)[mine]
    low, high = faces(maps[classes:], there)
    overlap = _giou(low, high, begin[mine], end[mine])
    return loss + weight * (share * (1 - overlap)).sum() / count


def _near(begin: Tensor, end: Tensor, cells: torch.Size) -> Tensor:
    """Of each box a Gaussian about its centre's cell, cut off at its core: (boxes, *cells)."""
    axes = len(cells)
    made = begin.new_ones((len(begin), *cells))
    for axis, size in enumerate(cells):
        middle = ((begin[:, axis] + end[:, axis]) / 2).floor().clamp(0, size - 1)
        radius = ((end[:, axis] - begin[:, axis]) / 2 * CORE).floor()
        sigma = (2 * radius + 1) / 6
        off = torch.arange(size, device=begin.device)[None] - middle[:, None]
        along = torch.exp(-0.5 * (off / sigma[:, None]) ** 2)
        along = torch.where(off.abs() <= radius[:, None], along, 0.0)
        shape = [1] * axes
        shape[axis] = size
        made = made * along.view(-1, *shape)
    return made


def _inside(edges: Tensor, cells: torch.Size) -> tuple[slice, ...]:
    low, high = edges.tolist()[: len(cells)], edges.tolist()[len(cells) :]
    return tuple(
        slice(max(0, int(first)), min(size, int(np.ceil(last))))
        for first, last, size in zip(low, high, cells, strict=True)
    )


def _focal(logits: Tensor, heat: Tensor) -> Tensor:
    p = logits.sigmoid()
    found = -((1 - p) ** 2) * functional.logsigmoid(logits)
    empty = -((1 - heat) ** 4) * p**2 * functional.logsigmoid(-logits)
    return torch.where(heat == 1, found, empty).sum(0)


def faces(distances: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
    """Boxes of some cells, in cells: where they begin and end, each (chosen, axes).

    Args:
        distances: logarithms, (2 * axes, *cells).
        there: which cells, bool (*cells).
    """
    axes = there.ndim
    middle = there.nonzero().float() + 0.5
    far = distances[:, there].clamp(max=FAR).exp().T
    return middle - far[:, :axes], middle + far[:, axes:]


def _giou(low: Tensor, high: Tensor, begin: Tensor, end: Tensor) -> Tensor:
    both = (torch.minimum(high, end) - torch.maximum(low, begin)).clamp(min=0).prod(1)
    either = (high - low).prod(1) + (end - begin).prod(1) - both
    hull = (torch.maximum(high, end) - torch.minimum(low, begin)).prod(1)
    return both / either - (hull - either) / hull


def _highest_near(heat: Tensor) -> Tensor:
    """The highest of a cell and all its neighbours, axis by axis: a fifth of what torch's pooling
    of volumes takes."""
    for axis in range(2, heat.ndim):
        size = heat.shape[axis]
        if size > 1:
            pairs = torch.maximum(heat.narrow(axis, 0, size - 1), heat.narrow(axis, 1, size - 1))
            first, last = pairs.narrow(axis, 0, 1), pairs.narrow(axis, size - 2, 1)
            low, high = torch.cat([first, pairs], axis), torch.cat([pairs, last], axis)
            heat = torch.maximum(low, high)
    return heat


def middles(logits: Tensor, least: Sequence[float]) -> Tensor:
    """The cells in which `peaks` has an object, bool (B, classes, *cells).

    Args:
        logits: of a centre, (B, classes, *cells).
        least: score of an object of each class.
    """
    heat = logits.float().sigmoid()
    scores = heat.new_tensor(least).view(-1, *[1] * (heat.ndim - 2))
    return _peaked(heat, scores)


def _peaked(heat: Tensor, least: float | Tensor) -> Tensor:
    return (_highest_near(heat) == heat) & (heat >= least)


def peaks(maps: Tensor, least: float, most: int) -> list[np.ndarray]:
    """Boxes of each sample, in cells: (objects, 2 * axes + 2), begin, end, score and class.

    An object is where a class's heat is at its highest among a cell and its neighbours, which
    stands for suppressing doubles (Zhou et al. 2019).

    Args:
        maps: (B, classes + 2 * axes, *cells), logits.
        least: score of an object.
        most: objects of a class.
    """
    maps = maps.float()
    axes = maps.ndim - 2
    classes = maps.shape[1] - 2 * axes
    heat = maps[:, :classes].sigmoid()
    # All samples at once: a window of a volume has few peaks, and each call its price.
    places = _peaked(heat, least).nonzero()
    sample, kind, *cell = places.unbind(1)
    middle = places[:, 2:].float() + 0.5
    far = maps[:, classes:].movedim(1, -1)[sample, *cell].clamp(max=FAR).exp()
    low, top = middle - far[:, :axes], middle + far[:, axes:]
    score = heat[sample, kind, *cell][:, None]
    boxes = torch.cat([low, top, score, kind[:, None].float()], 1).cpu().numpy()
    owner = sample.cpu().numpy()
    return [_best(boxes[owner == at], most) for at in range(len(maps))]


def _best(boxes: np.ndarray, most: int) -> np.ndarray:
    """So many of each class, those of the highest scores."""
    if len(boxes) <= most:
        return boxes
    order = np.argsort(-boxes[:, -2], kind="stable")
    kept = [order[boxes[order, -1] == kind][:most] for kind in np.unique(boxes[:, -1])]
    made: np.ndarray = boxes[np.sort(np.concatenate(kept))]
    return made
