"""TIFF: every plane that the file announces, channels apart from depth, values as stored.

tifffile tells what a file holds, ImageJ's and OME's descriptions included, and imagecodecs decodes
it: Pillow turns MinIsWhite of some depths over, stretches few bits, swaps the bytes of big-endian
numbers that are compressed, and cuts colours to 8 bits. Here black and white stand as stored,
whichever of them 0 means: a MinIsWhite mask keeps its classes.
"""

import logging
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from medray.errors import DataError
from medray.formats.imaging.values import millimetres

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffFrame, TiffPage, TiffPageSeries

Array = np.ndarray[Any, Any]

MAX_PAGES = 4096
BOMB_PIXELS = 2**24  # below this even an absurd ratio does no harm
BOMB_RATIO = 4096  # pixels a byte: deflate reaches 1,032, fax coding of blank pages more
# Coarser resolutions say how large to print: 72, 96, 300 dots an inch stand in files by default.
LEAST_DPI = 1000
_GREY, _COLOUR, _PALETTE = ("MINISBLACK", "MINISWHITE"), ("RGB", "YCBCR"), "PALETTE"
_ORDERS: dict[str, Literal["little", "big"]] = {"<": "little", ">": "big"}
# As ImageOps.exif_transpose: flips of (Y, X) behind a transposition.
_TURNS = {
    2: (False, (1,)), 3: (False, (0, 1)), 4: (False, (0,)), 5: (True, ()), 6: (True, (1,)),
    7: (True, (0, 1)), 8: (True, (0,)),
}  # fmt: skip


def read_tiff(
    path: Path, max_pixels: int, *, volume: bool, indices: bool
) -> tuple[Array, tuple[float | None, ...]]:
    """The one image of a file, and its spacing.

    Args:
        path: of the file.
        max_pixels: refuse more, over all planes.
        volume: stack planes along Z; otherwise several of them are refused.
        indices: keep a palette's indices (a mask's classes) instead of its colours.

    Returns:
        (C, Y, X), or (C, Z, Y, X) with `volume`; and millimetres along (Z, Y, X), None where the
        file does not tell.

    Raises:
        DataError: as `raster.read_raster`, and "missing-planes", "several-images", "time-series",
            "unsupported-compression", "unsupported-colour".
    """
    from tifffile import TiffFile

    logging.getLogger("tifffile").disabled = True  # its warnings quote the file
    with TiffFile(path, _multifile=False) as file:
        pages = len(file.pages)
        if pages > MAX_PAGES:
            raise DataError(f"the file holds over {MAX_PAGES} pages", code="many-pages")
        series = _series(file, volume=volume)
        page: TiffPage = series.keyframe
        axes, shape = _axes(series), series.get_shape(squeeze=False)
        depth = math.prod(n for n, axis in zip(shape, axes, strict=True) if axis == "Z")
        _check_size(page, math.prod(shape), max_pixels, path)
        if depth > 1 and not volume:
            raise DataError(
                f"the file holds {depth} planes",
                code="many-pages",
                hint="`pages: volume` stacks them along Z",
            )
        values = _ordered(_values(path, series), axes)
        return _finished(values, page, indices, volume=volume), _spacing(file, page)


def transparent() -> DataError:
    """What is said of an image that is not opaque everywhere."""
    return DataError(
        "the image is transparent in places",
        code="transparent-image",
        hint="lay it on a background at the source",
    )


def _series(file: "TiffFile", *, volume: bool) -> "TiffPageSeries":
    """The file's only image, all of whose planes are there."""
    _check_chain(file)
    found = file.series
    if not found:
        raise DataError("the file is a TIFF without an image", code="not-an-image")
    announced = next((k for k in ("shaped", "ome", "imagej") if getattr(file, f"is_{k}")), None)
    kinds = {one.kind for one in found}
    if len(found) != 1:
        if not volume:
            images = sum(len(one.pages) for one in found)  # with those below a page
            code, reason = "many-pages", f"the file holds {images} pages"
        elif "ome" not in kinds and all(len(one.pages) == 1 for one in found):
            code, reason = "uneven-pages", "the file's pages differ in size or type"
        else:
            code, reason = "several-images", f"the file holds {len(found)} images"
        raise DataError(reason, code=code, hint="save each image as a file of its own")
    series = found[0]
    planes = math.prod(series.get_shape(squeeze=False)) // max(1, series.keyframe.size)
    held = len(series.pages)
    # One IFD may stand for planes that follow it without a gap.
    contiguous = held == 1 and series.dataoffset is not None
    there = sum(one is not None for one in series.pages)
    told = _announced(file, announced)
    if told > planes or announced not in (None, *kinds) or not (contiguous or there >= planes):
        raise DataError(
            f"the file announces {max(told, planes)} planes, and {there} are there",
            code="missing-planes",
            hint="save the whole image as one file with a page for each plane",
        )
    return series


def _check_chain(file: "TiffFile") -> None:
    """The last page says that it is the last: tifffile ends quietly where a chain breaks off."""
    last, form, raw = file.pages[-1].offset, file.tiff, file.filehandle
    raw.seek(last)
    tags = int.from_bytes(raw.read(form.tagnosize), _ORDERS[file.byteorder])
    raw.seek(last + form.tagnosize + tags * form.tagsize)
    if any(raw.read(form.offsetsize)):
        raise DataError("the file's chain of pages breaks off", code="damaged-image")


def _announced(file: "TiffFile", kind: str | None) -> int:
    """Planes that ImageJ's description names; the others' are in the shape of the series."""
    if kind != "imagej":
        return 1
    named = file.imagej_metadata or {}
    sizes = [named.get(name, 1) for name in ("frames", "slices", "channels", "images")]
    if not all(isinstance(size, int) for size in sizes):
        raise DataError("ImageJ's description is damaged", code="damaged-image")
    frames, slices, channels, images = map(int, sizes)
    # Samples of a colour may be counted as channels.
    return max(frames * slices, images // max(1, channels))


def _axes(series: "TiffPageSeries") -> str:
    """One letter an axis: Z for depth, C for channels and colours, Y, X; others are 1."""
    named = []
    for axis, size in zip(
        series.get_axes(squeeze=False), series.get_shape(squeeze=False), strict=True
    ):
        if axis == "T" and size > 1:
            raise DataError(
                f"the file is a series of {size} times",
                code="time-series",
                hint="split it by time at the source",
            )
        # I and Q are tifffile's names for pages that nothing describes.
        kind = {"S": "C", "I": "Z", "Q": "Z", "D": "Z"}.get(axis, axis)
        if kind not in "ZCYX" and size > 1:
            raise DataError(f"the file has an axis {axis!r} of {size}", code="several-images")
        named.append(kind if kind in "ZCYX" else "1")
    axes = "".join(named)
    if axes.count("Y") != 1 or axes.count("X") != 1:
        raise DataError("the file's axes are no image's", code="several-images")
    return axes


def _check_size(page: "TiffPage", values: int, max_pixels: int, path: Path) -> None:
    pixels = values // max(1, page.samplesperpixel)
    if pixels > max_pixels:
        raise DataError(
            f"the image has {pixels} pixels, above the limit of {max_pixels}",
            code="image-too-large",
            hint="raise `max_pixels` if memory allows",
        )
    if pixels > max(BOMB_PIXELS, BOMB_RATIO * path.stat().st_size):
        raise DataError(
            f"the file would grow to over {BOMB_RATIO} pixels a byte", code="compression-bomb"
        )


def _values(path: Path, series: "TiffPageSeries") -> Array:
    """All values of a series, whole or not at all."""
    from tifffile import TIFF

    page: TiffPage = series.keyframe
    if page.dtype is None or page.dtype.kind not in "biuf":
        raise DataError("the image's values are no real numbers", code="unsupported-datatype")
    shape = series.get_shape(squeeze=False)
    for one in series.pages:
        if one is not None:  # as _series has seen to
            _check_whole(one, page)
    if len(series.pages) == 1 and series.dataoffset is not None:
        end = series.dataoffset + math.prod(shape) * page.bitspersample // 8
        if end > path.stat().st_size:
            raise DataError("the file is cut short", code="damaged-image")
    if page.compression != 1 and page.compression not in TIFF.DECOMPRESSORS:
        raise DataError(
            f"the image is compressed by {_name(page.compression)}, which is not read",
            code="unsupported-compression",
            hint="save it with deflate or without compression",
        )
    return series.asarray(squeeze=False).reshape(shape)


def _name(value: int) -> str:
    """Of a tag's value; a number that the standard does not know has none."""
    return str(getattr(value, "name", value))


def _check_whole(one: "TiffPage | TiffFrame", page: "TiffPage") -> None:
    """Every strip and tile lies in the file: tifffile fills with 0 what does not."""
    size = one.parent.filehandle.size
    stored = list(zip(one.dataoffsets, one.databytecounts, strict=True))
    if not stored or not all(count and 0 < at <= size - count for at, count in stored):
        raise DataError(
            "the file is cut short, or stores no pixels in places", code="damaged-image"
        )
    wanted = page.size * page.bitspersample // 8
    if page.compression == 1 and sum(count for _, count in stored) < wanted:
        raise DataError("the file holds less than its pixels", code="damaged-image")


def _ordered(values: Array, axes: str) -> Array:
    """(C, Z, Y, X), C and Z both 1 where the file has none; colours vary faster than channels."""
    order = sorted(range(len(axes)), key=lambda at: "1CZYX".index(axes[at]))
    sizes = {
        axis: math.prod(n for n, a in zip(values.shape, axes, strict=True) if a == axis)
        for axis in "CZYX"
    }
    return values.transpose(order).reshape(tuple(sizes[axis] for axis in "CZYX"))


def _finished(values: Array, page: "TiffPage", indices: bool, *, volume: bool) -> Array:
    """Colours of a palette, no alpha, the way up that the file asks for; (C, [Z,] Y, X)."""
    kind = _name(page.photometric)
    if kind == _PALETTE and not indices:
        values = _painted(values, page)
    elif kind not in (*_GREY, *_COLOUR, _PALETTE):
        raise DataError(
            f"the image's colours are {kind}, which are no red, green and blue",
            code="unsupported-colour",
            hint="convert it with its colour profile at the source",
        )
    elif kind == "YCBCR" and page.compression == 1:
        raise DataError(
            "YCbCr without JPEG is not read", code="unsupported-colour", hint="save it as RGB"
        )
    if any(_name(one) != "UNSPECIFIED" for one in page.extrasamples):
        alpha = values[-1]
        if not (alpha == (1 if alpha.dtype.kind in "bf" else np.iinfo(alpha.dtype).max)).all():
            raise transparent()
        values = values[:-1]
    turn = page.tags.valueof(274, 1)
    if turn in _TURNS:
        transpose, flips = _TURNS[turn]
        values = values.swapaxes(-1, -2) if transpose else values
        values = np.flip(values, tuple(axis - 2 for axis in flips))
    values = values if volume else values[:, 0]
    if values.dtype == np.bool_:
        values = values.astype(np.uint8)
    return np.ascontiguousarray(values).astype(values.dtype.newbyteorder("="), copy=False)


def _painted(values: Array, page: "TiffPage") -> Array:
    colours = page.colormap
    if colours is None or int(values.max()) >= colours.shape[-1]:
        raise DataError("the palette lacks colours of the image", code="damaged-image")
    # Of 16 bits by the standard; some writers fill in 8.
    bits = 8 if colours.max() > 255 else 0
    painted = (colours >> bits).astype(np.uint8)[:, values[0]]
    return np.ascontiguousarray(painted)


def _spacing(file: "TiffFile", page: "TiffPage") -> tuple[float | None, ...]:
    """Millimetres along (Z, Y, X) by OME's or ImageJ's description, or by the resolution."""
    if file.is_ome:
        return _ome_spacing(file)
    x, y = (_number(page.tags.valueof(tag)) for tag in (282, 283))
    if file.is_imagej:
        named = file.imagej_metadata or {}
        unit = millimetres(str(named.get("unit", "")))
        if unit is None:
            return None, None, None
        deep = named.get("spacing")
        across = (unit / n if n else None for n in (y, x))
        return _sane(deep * unit if isinstance(deep, int | float) else None, *across)
    unit = {2: 25.4, 3: 10.0}.get(int(page.tags.valueof(296, 1)))
    if unit is None or not x or not y or min(x, y) * 25.4 / unit < LEAST_DPI:
        return None, None, None
    return _sane(None, unit / y, unit / x)


def _ome_spacing(file: "TiffFile") -> tuple[float | None, ...]:
    from xml.etree import ElementTree

    try:
        # expat stops entities that grow, and tifffile has read the same text before.
        root = ElementTree.fromstring(file.ome_metadata or "")  # noqa: S314
        pixels = next(
            one for one in root.iter() if one.tag.endswith("}Pixels") or one.tag == "Pixels"
        )
        found = []
        for axis in "ZYX":
            size = pixels.get(f"PhysicalSize{axis}")
            unit = millimetres(pixels.get(f"PhysicalSize{axis}Unit", "µm"))
            found.append(float(size) * unit if size and unit else None)
    except (ElementTree.ParseError, StopIteration, ValueError):
        return None, None, None
    return _sane(*found)


def _sane(*sizes: float | None) -> tuple[float | None, ...]:
    return tuple(size if size and 1e-9 < size < 1e6 else None for size in sizes)


def _number(value: Any) -> float | None:
    if isinstance(value, tuple) and len(value) == 2 and value[1]:
        return float(value[0] / value[1])
    return float(value) if isinstance(value, int | float) else None
