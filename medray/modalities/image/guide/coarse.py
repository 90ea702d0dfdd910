"""The grid of a cascade's first network: so coarse that a patch covers a good part of an image."""

import math
from collections.abc import Callable, Sequence

import numpy as np

from medray.errors import SpecError
from medray.modalities.image.survey import Fingerprint

COVER = 0.25  # of the median image's voxels, below which nnU-Net plans a cascade
STEP = 1.03  # by which the grid grows
ALIKE = 2.0  # axes finer by more than this grow first, until they are alike
WORTH = 2.0  # a grid of more than 1 / WORTH of the voxels is not worth a network of its own

Sizes = tuple[int, ...]
Choose = Callable[[tuple[float, ...]], tuple[Sizes, Sizes]]


def coarse_spacing(
    found: Fingerprint, spacing: Sequence[float] | None, choose: Choose
) -> tuple[float, ...]:
    """The finest grid, in mm, of which a patch covers a quarter of the median image, as in nnU-Net
    (Isensee et al. 2021).

    Args:
        found: what the training samples are like.
        spacing: of the fine grid; None: images keep theirs, which is one for all.
        choose: the median size of the images on a grid, and the patch for it, both in voxels.

    Raises:
        SpecError: it is not known how large voxels are ("no-spacing"), or the patch of the fine
            grid, or of one hardly coarser, covers that much ("covers-enough").
    """
    known = [one for one in found.spacings if one]
    if len(known) < len(found.spacings):
        raise SpecError(
            "not every image has the size of its voxels",
            code="no-spacing",
            about="plan.coarse",
            hint="ingest them with their spacing, or give `spacing_mm`",
        )
    fine = np.array(spacing or known[0], np.float64)
    grid = fine.copy()
    median, patch = choose(tuple(grid.tolist()))
    voxels = math.prod(median)
    while covered(patch, median) < COVER:
        finer = grid.max() / grid > ALIKE
        grid[finer if finer.any() else slice(None)] *= STEP
        median, patch = choose(tuple(grid.tolist()))
    if voxels < WORTH * math.prod(median):
        raise SpecError(
            f"a patch of {list(patch)} covers {covered(patch, median):.0%} of the median image",
            code="covers-enough",
            about="plan.coarse",
            hint="leave `coarse` out: one network sees enough",
        )
    return tuple(round(float(value), 4) for value in grid)


def shown(patch: Sequence[int], median: Sequence[int], *, guided: bool) -> str:
    """What a plan says of a patch, and that a cascade may be worth trying, where it is none yet."""
    share = covered(patch, median)
    said = f"a patch covers {share:.1%} of it"
    if share < COVER and not guided:
        said += "; where a class hangs on what lies farther away, a cascade may find more"
    return said


def covered(patch: Sequence[int], median: Sequence[int]) -> float:
    """Share of an image's voxels that a patch covers; 1 at most."""
    pairs = zip(patch, median, strict=True)
    return math.prod(min(size, whole) for size, whole in pairs) / math.prod(median)
