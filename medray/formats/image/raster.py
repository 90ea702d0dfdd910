"""PNG, JPEG and TIFF: values exactly as stored, or a refusal.

Pillow quietly reduces a PNG's 16-bit colour to 8 bits; such files are refused instead. It also
stretches grey of 2 and 4 bits to 255, which is undone. Metadata (EXIF, text chunks, TIFF tags) is
never carried over; of EXIF only the orientation is applied, so that an image stands as its viewer
shows it, and of a TIFF the size of a pixel.
"""

import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow
from PIL import ImageOps, PngImagePlugin
from PIL.Image import Image as PillowImage

from medray.errors import DataError
from medray.formats.image.png import require_rows
from medray.formats.image.tiff import BOMB_PIXELS, BOMB_RATIO, read_tiff, transparent

Array = np.ndarray[Any, Any]

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
FORMATS = ("PNG", "JPEG")
TIFF_MARKS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

# Whatever the parsers of Pillow and tifffile raise on damaged files.
_DAMAGE = (
    OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, EOFError, OverflowError,
    AttributeError, AssertionError, RuntimeError, ZeroDivisionError, MemoryError,
    struct.error, zlib.error,
)  # fmt: skip

_GREY = frozenset({"1", "L", "I;16", "I;16B", "I;16L", "I;16N", "I"})


def read_raster(
    path: Path, max_pixels: int, *, volume: bool, indices: bool
) -> tuple[Array, tuple[float | None, ...]]:
    """The pixels of one file, and their size.

    Args:
        path: of a PNG, JPEG or TIFF file, told by its content.
        max_pixels: refuse more, over all pages.
        volume: stack the pages of a TIFF along Z; otherwise several pages are refused.
        indices: keep the palette's indices (a mask's classes) instead of its colours.

    Returns:
        (C, Y, X), or (C, Z, Y, X) with `volume`; C is 1 for grey, 3 for colour, and the channels of
        a microscope's TIFF; bool as uint8. And millimetres along (Z, Y, X), None where the file
        does not tell.

    Raises:
        DataError: "not-an-image", "damaged-image", "image-too-large", "compression-bomb",
            "many-pages", "uneven-pages", "deep-colour", "transparent-image", "unsupported-colour",
            "animated-image", "unsupported-mode", and what `tiff.read_tiff` adds.
    """
    with path.open("rb") as file:
        tiff = file.read(4) in TIFF_MARKS
    if tiff:
        with _damage():
            return read_tiff(path, max_pixels, volume=volume, indices=indices)
    with _guarded(path) as image:
        frames = getattr(image, "n_frames", 1)
        if frames > 1:
            raise DataError(
                f"the file holds {frames} frames or pictures",
                code="animated-image",
                hint="save the one that is meant",
            )
        if image.width * image.height > max_pixels:
            raise DataError(
                f"the image has {image.width} x {image.height} pixels, above the limit of "
                f"{max_pixels}",
                code="image-too-large",
                hint="raise `max_pixels` if memory allows",
            )
        if image.width * image.height > max(BOMB_PIXELS, BOMB_RATIO * path.stat().st_size):
            raise DataError(
                f"the file would grow to over {BOMB_RATIO} pixels a byte", code="compression-bomb"
            )
        plane = _plane(image, indices)
        if image.format == "PNG" and _may_lack_rows(image, plane):
            require_rows(path)
    return (plane[:, None] if volume else plane), (None, None, None)


def encode_png(values: Array) -> bytes:
    """A PNG of (Y, X) or (C, Y, X) values, uint8 or grey uint16; C is 1 or 3.

    Raises:
        DataError: PNG can't hold these values (code "not-a-png").
    """
    if values.ndim == 3:
        values = values[0] if values.shape[0] == 1 else np.moveaxis(values, 0, -1)
    colour = values.ndim == 3 and values.shape[-1] == 3 and values.dtype == np.uint8
    grey = values.ndim == 2 and values.dtype in (np.uint8, np.uint16)
    if not (colour or grey):
        raise DataError(
            f"PNG holds no {values.dtype} of shape {values.shape}",
            code="not-a-png",
            hint="export volumes as NIfTI or OME-Zarr",
        )
    buffer = BytesIO()
    Pillow.fromarray(np.ascontiguousarray(values)).save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()


@contextmanager
def _guarded(path: Path) -> Iterator[PillowImage]:
    with warnings.catch_warnings():
        # Oddities in metadata are not ours to report, and sizes are checked before pixels load.
        warnings.simplefilter("ignore")
        try:
            image = Pillow.open(path, formats=FORMATS)
        except Pillow.DecompressionBombError as error:
            raise DataError(
                "the image's size is beyond any picture", code="image-too-large"
            ) from error
        except _DAMAGE as error:
            raise DataError("the file is no PNG, JPEG or TIFF", code="not-an-image") from error
        with _damage(), image:
            yield image


@contextmanager
def _damage() -> Iterator[None]:
    try:
        yield
    except Pillow.DecompressionBombError as error:
        raise DataError("the image's size is beyond any picture", code="image-too-large") from error
    except _DAMAGE as error:
        raise DataError(
            f"the file is damaged or cut short ({type(error).__name__})", code="damaged-image"
        ) from error


def _may_lack_rows(image: PillowImage, plane: Array) -> bool:
    """Whether some edge is all 0, as rows are that no file holds; of a palette 0 has any colour."""
    edges = (plane[..., 0, :], plane[..., -1, :], plane[..., 0], plane[..., -1])
    told = image.mode == "P" or "interlace" in image.info
    return told or not all(edge.any() for edge in edges)


def _plane(image: PillowImage, indices: bool) -> Array:
    """The pixels as (C, Y, X)."""
    stored = _stored(image)
    if "16" in stored and image.mode not in _GREY:
        raise DataError(
            "the image has more than 8 bits a colour, which would be cut off",
            code="deep-colour",
            hint="save it as TIFF, convert it to grey, or to 8 bits on purpose",
        )
    if image.mode == "CMYK":
        raise DataError(
            "the image's colours are inks, which are no red, green and blue",
            code="unsupported-colour",
            hint="convert it with its colour profile at the source",
        )
    image.load()
    clear = image.info.get("transparency")
    if image.mode == "P" and not indices:
        # The colours that the palette stands for; a mask keeps the indices.
        page = image.convert("RGB" if clear is None else "RGBA")
    else:
        page = image
    page = ImageOps.exif_transpose(page)
    values = np.asarray(page)
    if page.mode in ("LA", "RGBA"):
        if not (values[..., -1] == 255).all():
            raise transparent()
        values = values[..., :-1]
    elif page.mode not in _GREY | {"P", "RGB"}:
        raise DataError(f"images of mode {page.mode} are not read", code="unsupported-mode")
    if stored in ("L;2", "L;4"):
        values = values // (85 if stored == "L;2" else 17)
    if values.dtype == np.bool_:
        values, clear = values.astype(np.uint8), clear and 1
    if clear is not None and image.mode != "P" and not indices:
        # One grey or one colour that stands for nothing.
        same = values == np.asarray(clear, values.dtype)
        if (same.all(-1) if values.ndim == 3 else same).any():
            raise transparent()
    if not values.dtype.isnative:
        values = values.astype(values.dtype.newbyteorder("="))
    return values[None] if values.ndim == 2 else np.ascontiguousarray(np.moveaxis(values, -1, 0))


def _stored(image: PillowImage) -> str:
    """How a PNG's pixels are stored, which Pillow's mode does not always tell; "" of others."""
    if isinstance(image, PngImagePlugin.PngImageFile) and image.tile:
        return str(image.tile[0].args)
    return ""
