"""A case to be leafed through: its volume and masks, small enough for a page."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from medray.modalities.image.radiology.orient import turn_of
from medray.storage.shards.stored import Sliceable, Stored
from medray.tasks.section import Colour, Volume

VOXELS = 2**20  # of a volume on a page at most: 2 to 3 MB of it
SLAB = 32  # planes read at once, as many as a stored chunk has
OBLIQUE_DEG = 5.0  # from here on a page says that planes are off
_LEVELS = 2**16 - 1


def volume_of(
    title: str,
    caption: str,
    stored: Stored,
    masks: Mapping[str, Sliceable],
    legend: Sequence[tuple[str, Colour]],
) -> Volume:
    """A case as pages show it: every so many voxels along each axis, the first channel alone.

    Args:
        title: a word.
        caption: a sentence.
        stored: with `image` (C, Z, Y, X), and in its row `spacing_mm` and `affine` where known.
        masks: by name, (Z, Y, X) of classes.
        legend: names and colours of classes 1, 2, ….
    """
    image = stored.array("image")
    shape = image.shape[1:]
    spacing = [float(one) for one in stored.row.get("spacing_mm") or [1.0] * 3]
    steps = steps_of(shape, spacing)
    values = _thinned(image, steps)
    turn = turn_of(stored.row.get("affine"))
    drawn = {name: _numbered(_thinned(mask, steps)) for name, mask in masks.items()}
    sizes = [size * step for size, step in zip(spacing, steps, strict=True)]
    said = [caption]
    if math.prod(steps) > 1:
        said.append(f"every {' x '.join(str(one) for one in steps)} voxels of {list(shape)}")
    if turn is None:
        first, second, third = sizes
        said.append("the file does not say how the patient lies")
    else:
        values, drawn = turn(values), {name: turn(mask) for name, mask in drawn.items()}
        first, second, third = turn.sizes(sizes)
        if turn.oblique_deg > OBLIQUE_DEG:
            said.append(f"planes are those stored, {turn.oblique_deg:.0f} degrees off the body's")
    whole, slope, intercept = _levels(values)
    low, high = (float(one) for one in np.percentile(values, (1, 99)))
    return Volume(
        title=title,
        caption=" · ".join(filter(None, said)),
        case=stored.id,
        values=whole,
        slope=slope,
        intercept=intercept,
        masks=drawn,
        sizes_mm=(first, second, third),
        lettered=turn is not None,
        window=((low + high) / 2, max(high - low, slope)),
        legend=legend,
    )


def steps_of(shape: Sequence[int], spacing_mm: Sequence[float]) -> list[int]:
    """Every how many voxels are kept along each axis: the finest axes are thinned first."""
    steps = [1] * len(shape)
    while math.prod(-(-size // step) for size, step in zip(shape, steps, strict=True)) > VOXELS:
        left = [axis for axis, size in enumerate(shape) if steps[axis] < size]
        finest = min(left, key=lambda axis: spacing_mm[axis] * steps[axis])
        steps[finest] += 1
    return steps


def _thinned(array: Sliceable, steps: Sequence[int]) -> np.ndarray:
    """Every so many voxels, (Z, Y, X), read slab by slab."""
    lead = () if len(array.shape) == 3 else (slice(0, 1),)
    parts = []
    for start in range(0, array.shape[len(lead)], SLAB):
        some: np.ndarray = array[(*lead, slice(start, start + SLAB))]
        some = some.reshape(some.shape[-3:])
        parts.append(some[-start % steps[0] :: steps[0], :: steps[1], :: steps[2]])
    return np.concatenate(parts)


def _numbered(mask: np.ndarray) -> np.ndarray:
    """Classes as they are; of more numbers than a byte holds, which begin again, 0 is kept."""
    found: np.ndarray = np.where(mask > 0, (mask.astype(np.int64) - 1) % 255 + 1, 0)
    return found.astype(np.uint8)


def _levels(values: np.ndarray) -> tuple[np.ndarray, float, float]:
    """uint16 numbers, and slope and intercept that make values of them: whole numbers stay."""
    low, high = float(values.min()), float(values.max())
    exact = values.dtype.kind in "iu" and high - low <= _LEVELS
    slope = 1.0 if exact or high == low else (high - low) / _LEVELS
    whole = ((values.astype(np.float64) - low) / slope).round().astype(np.uint16)
    return whole, slope, low
