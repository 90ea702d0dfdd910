"""OME-Zarr's multiscale images: which level, which axes, where in space.

Versions 0.4 (Zarr v2) and 0.5 (Zarr v3): https://ngff.openmicroscopy.org.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medray.errors import DataError
from medray.formats.imaging import checked_affine
from medray.formats.ome_zarr.nodes import ArrayInfo, array_info, attributes, read_values

Array = np.ndarray[Any, Any]

MAX_DEPTH = 8
BOMB_BYTES = 256 * 2**20  # below this even an absurd ratio does no harm
BOMB_RATIO = 2000  # Blosc's zstd on an almost empty image reaches about 1,000
_DOCUMENTS = ("zarr.json", ".zattrs", ".zgroup")
_MM = {
    "meter": 1e3, "centimeter": 10.0, "millimeter": 1.0, "micrometer": 1e-3, "nanometer": 1e-6,
    "angstrom": 1e-7, "picometer": 1e-9,
}  # fmt: skip


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


def find_images(root: Path, below: str = "") -> Iterator[str]:
    """Paths below `root` of every image: of plates, of bioformats2raw, or groups themselves.

    Folders that are no Zarr groups are searched, down to eight levels.
    """
    folder = root / below
    if any((folder / name).is_file() for name in _DOCUMENTS):
        yield from _images_of(folder, below)
    elif below.count("/") < MAX_DEPTH:
        for inside in sorted(p for p in folder.iterdir() if p.is_dir() and not p.is_symlink()):
            yield from find_images(root, _join(below, inside.name))


def read_level(folder: Path, number: int) -> Level:
    """Resolution `number` of the image in `folder`, 0 the finest.

    Raises:
        DataError: "not-multiscale", "no-such-level", "time-series" and what `array_info` raises.
    """
    values = attributes(folder)
    try:
        multiscale = values["multiscales"][0]
        axes = "".join(_axis(axis) for axis in multiscale["axes"])
        millimetres = [_MM.get(str(axis.get("unit")), 1.0) for axis in multiscale["axes"]]
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
    info = array_info(_inside(folder, paths[number]))
    if len(info.shape) != len(axes):
        raise DataError("the array's axes don't count as the image's", code="not-multiscale")
    if axes[0] == "t" and info.shape[0] != 1:
        raise DataError(
            f"the image is a series of {info.shape[0]} times",
            code="time-series",
            hint="split it by time at the source",
        )
    space = [i for i, axis in enumerate(axes) if axis in "zyx"]
    scale = tuple(float(transforms[number][0][i]) * millimetres[i] for i in space)
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


def _images_of(folder: Path, below: str) -> Iterator[str]:
    try:
        values = attributes(folder)
        if "multiscales" in values:
            yield below
        elif "plate" in values:
            for well in values["plate"]["wells"]:
                for field in attributes(_inside(folder, well["path"]))["well"]["images"]:
                    yield _join(below, f"{well['path']}/{field['path']}")
        elif "bioformats2raw.layout" in values:
            series = attributes(folder / "OME").get("series")
            if series is None:
                names = (p.name for p in folder.iterdir() if p.is_dir())
                series = sorted((name for name in names if name.isdigit()), key=int)
            for name in series:
                yield _join(below, str(name))
    except (DataError, KeyError, TypeError, AttributeError):
        # Planned all the same, so that reading it says what is wrong and the input is counted.
        yield below


def _inside(folder: Path, path: str) -> Path:
    place = folder / path
    if not place.resolve().is_relative_to(folder.resolve()):
        raise DataError("a path leads out of the plate", code="outside-source")
    return place


def _join(below: str, path: str) -> str:
    return f"{below}/{path}" if below else path


def _axis(axis: Any) -> str:
    name = str(axis["name"])
    if len(name) != 1:
        raise ValueError
    return name


def _transform(whole: list[Any], level: dict[str, Any], axes: int) -> tuple[Array, Array]:
    """Scale and translation of a level: its own, then the image's."""
    scale, shift = np.ones(axes), np.zeros(axes)
    for step in [*level.get("coordinateTransformations", []), *whole]:
        values = np.array(step.get(step["type"], 1.0), float) * np.ones(axes)
        if step["type"] == "scale":
            scale, shift = scale * values, shift * values
        elif step["type"] == "translation":
            shift = shift + values
        elif step["type"] != "identity":
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
