"""OME-Zarr's multiscale images: which level, which axes, where in space.

Versions 0.4 (Zarr v2) and 0.5 (Zarr v3): https://ngff.openmicroscopy.org.
"""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from medray.errors import DataError
from medray.formats.imaging.values import checked_affine, millimetres
from medray.formats.ome_zarr.nodes import ArrayInfo, array_info, attributes, inside, read_values

Array = np.ndarray[Any, Any]

BOMB_BYTES = 256 * 2**20  # below this even an absurd ratio does no harm
BOMB_RATIO = 2000  # Blosc's zstd on an almost empty image reaches about 1,000


@dataclass(frozen=True)
class Level:
    """One resolution of an image.

    Args:
        info: its array.
        axes: one letter an axis, in order, out of t, c, z, y, x.
        scale: millimetres a voxel along the spatial axes, in order.
        affine: voxel (x, y, z) of this level to RAS+ mm, where the image carries medray's affine.
    """

    info: ArrayInfo
    axes: str
    scale: tuple[float, ...]
    affine: Array | None

    @property
    def grid(self) -> tuple[int, ...]:
        """Shape in space."""
        return tuple(n for n, axis in zip(self.info.shape, self.axes, strict=True) if axis in "zyx")


def read_level(folder: Path, number: int) -> Level:
    """Resolution `number` of the image in `folder`, 0 the finest.

    Raises:
        DataError: "not-multiscale", "no-such-level", "unordered-levels", "unknown-unit",
            "time-series" and what `array_info` raises.
    """
    values = attributes(folder)
    try:
        multiscale = values["multiscales"][0]
        axes = "".join(_axis(axis) for axis in multiscale["axes"])
        lengths = [_length(axis) for axis in multiscale["axes"]]
        levels = multiscale["datasets"]
        whole = multiscale.get("coordinateTransformations", [])
        transforms = [_transform(whole, level, len(axes)) for level in levels]
        paths = [str(level["path"]) for level in levels]
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise DataError("the group is no multiscale image", code="not-multiscale") from error
    if axes not in {"yx", "zyx", "cyx", "czyx", "tyx", "tzyx", "tcyx", "tczyx"}:
        raise DataError(f"the axes are {axes!r}", code="not-multiscale")
    if number >= len(paths):
        raise DataError(f"the image has {len(paths)} levels", code="no-such-level")
    _check_order(transforms)
    info = array_info(inside(folder, paths[number]))
    if len(info.shape) != len(axes):
        raise DataError("the array's axes don't count as the image's", code="not-multiscale")
    if axes[0] == "t" and info.shape[0] != 1:
        raise DataError(
            f"the image is a series of {info.shape[0]} times",
            code="time-series",
            hint="split it by time at the source",
        )
    space = [i for i, axis in enumerate(axes) if axis in "zyx"]
    scale = tuple(float(transforms[number][0][i]) * lengths[i] for i in space)
    if not all(1e-9 < s < 1e6 for s in scale):
        raise DataError("the voxel size is out of range", code="flat-affine")
    affine = _affine(values.get("affine_ras_mm"), transforms, number, space)
    return Level(info, axes, scale, affine)


def read_image(level: Level, max_bytes: int, stored: int) -> Array:
    """The level's values as (C, Z, Y, X) or (C, Y, X).

    Args:
        max_bytes: refuse more.
        stored: bytes of the image's files: an array that claims thousands of times as much is
            refused, for chunks that are not stored still take memory.

    Raises:
        DataError: "volume-too-large", "compression-bomb", "damaged-chunk".
    """
    if level.info.nbytes > max(BOMB_BYTES, BOMB_RATIO * stored):
        raise DataError(
            f"the image would grow more than {BOMB_RATIO}-fold", code="compression-bomb"
        )
    if level.info.nbytes > max_bytes:
        raise DataError(
            f"the image has {level.info.nbytes} bytes, above the limit of {max_bytes}",
            code="volume-too-large",
            hint="take a coarser `level`, or raise `max_bytes` if memory allows",
        )
    window: list[slice | int] = [slice(None)] * len(level.axes)
    if level.axes[0] == "t":
        window[0] = 0
    values = read_values(level.info, tuple(window))
    return values if "c" in level.axes else values[None]


def label_names(folder: Path) -> list[str]:
    """Names of the image's labels; [] where it has none."""
    if not (folder / "labels").is_dir():
        return []
    named = attributes(folder / "labels").get("labels", [])
    if not isinstance(named, list) or not all(isinstance(name, str) for name in named):
        raise DataError("the list of labels is damaged", code="damaged-metadata")
    return [name for name in named if name and "/" not in name and not name.startswith(".")]


def _check_order(transforms: list[tuple[Array, Array]]) -> None:
    """Levels are listed from the finest to the coarsest, or which is the first can't be told."""
    sizes = [float(np.prod(scale)) for scale, _ in transforms]
    if any(later < before * 0.999 for before, later in pairwise(sizes)):
        raise DataError(
            "the image's levels are not listed from the finest to the coarsest",
            code="unordered-levels",
            hint="order `datasets` by their scale at the source",
        )


def _length(axis: dict[str, Any]) -> float:
    """Millimetres of an axis' unit; 1 where it names none, or of an axis that is not in space."""
    unit = axis.get("unit")
    if unit in (None, "", "pixel") or axis["name"] not in "zyx":
        return 1.0
    length = millimetres(str(unit))
    if length is None:
        raise DataError(f"an axis counts in {str(unit)[:20]!r}", code="unknown-unit")
    return length


def _axis(axis: Any) -> str:
    name = str(axis["name"])
    if len(name) != 1:
        raise ValueError
    return name


def _transform(whole: list[Any], level: dict[str, Any], axes: int) -> tuple[Array, Array]:
    """Scale and translation of a level: its own, then the image's."""
    scale, shift = np.ones(axes), np.zeros(axes)
    for step in [*level.get("coordinateTransformations", []), *whole]:
        kind = step["type"]
        if kind == "identity":
            continue
        values = np.array(step[kind], float) * np.ones(axes)
        if kind == "scale":
            scale, shift = scale * values, shift * values
        elif kind == "translation":
            shift = shift + values
        else:
            raise ValueError
    return scale, shift


def _affine(
    stored: Any, transforms: list[tuple[Array, Array]], number: int, space: list[int]
) -> Array | None:
    """medray's affine is of the finest level; coarser ones stretch and shift it."""
    if stored is None or len(space) != 3:
        return None
    try:
        affine = np.array(stored, float).reshape(4, 4)
    except (TypeError, ValueError) as error:
        raise DataError("the affine is damaged", code="damaged-metadata") from error
    (fine, start), (scale, shift) = transforms[0], transforms[number]
    step = np.eye(4)
    for row, axis in enumerate(reversed(space)):
        step[row, row] = scale[axis] / fine[axis]
        step[row, 3] = (shift[axis] - start[axis]) / fine[axis]
    return checked_affine(affine @ step)
