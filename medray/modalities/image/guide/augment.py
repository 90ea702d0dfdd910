"""Augmentation of a guide: masks that a network has not learnt from err, and not always alike.

Morphology and lost parts are nnU-Net's for its cascade (Isensee et al. 2021), with cubes where it
has balls: those are three short maxima in place of a long one.
"""

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from medray.data.chance import Chance
from medray.modalities.image.augment import ImageAugment

RADIUS = (1, 8)  # voxels of a morphological operation, uniform
PART_SHARE = 0.15  # of a patch: parts above this are not taken away
OF_CLASS = 0.5  # chance of a class, where a patch is changed


def augment_guide(guide: Tensor, chance: Chance, settings: ImageAugment) -> Tensor:
    """Grow, shrink, open and close the mask of some classes; take a part of some away.

    Args:
        guide: (classes - 1, *patch), float32, shares of each class from 0 to 1.
        chance: where randomness comes from.
        settings: how often.

    Returns:
        The same shape; the input is not changed.
    """
    if chance.hit(settings.guide_shape_chance):
        guide = guide.clone()
        for at in range(len(guide)):
            if chance.hit(OF_CLASS):
                _reshape(guide, at, chance.integer(0, 3), chance.integer(*RADIUS))
    if chance.hit(settings.guide_part_chance):
        guide = guide.clone()
        for at in range(len(guide)):
            if chance.hit(OF_CLASS):
                _lose_part(guide[at], chance)
    return guide


def _reshape(guide: Tensor, at: int, how: int, radius: int) -> None:
    """Change one class in place; where it has grown, other classes give way."""
    own = (guide[at] > 0.5).float()
    if how == 0:
        made = grown(own, radius)
    elif how == 1:
        made = shrunk(own, radius)
    elif how == 2:
        made = grown(shrunk(own, radius), radius)
    else:
        made = shrunk(grown(own, radius), radius)
    guide *= 1 - (made > own).float()
    guide[at] = made


def grown(mask: Tensor, radius: int) -> Tensor:
    """Dilation of (*space,), 0 or 1, by a cube of 2 * radius + 1 voxels."""
    out = mask[None, None]
    pool = functional.max_pool3d if mask.ndim == 3 else functional.max_pool2d
    for axis in range(mask.ndim):
        size, pad = [1] * mask.ndim, [0] * mask.ndim
        size[axis], pad[axis] = 2 * radius + 1, radius
        out = pool(out, size, stride=1, padding=pad)
    return out[0, 0]


def shrunk(mask: Tensor, radius: int) -> Tensor:
    """Erosion by such a cube; what lies beyond the patch is taken for more of the same."""
    return 1 - grown(1 - mask, radius)


def _lose_part(mask: Tensor, chance: Chance) -> None:
    """Take one connected part away, in place, unless it is large."""
    parts, count = ndimage.label(mask.cpu().numpy() > 0.5)
    sizes = np.bincount(parts.ravel(), minlength=count + 1)[1:]
    small = np.flatnonzero(sizes <= PART_SHARE * mask.numel()) + 1
    if len(small):
        gone = parts == small[chance.integer(0, len(small) - 1)]
        mask[torch.from_numpy(gone).to(mask.device)] = 0.0
