"""PNG, JPEG and TIFF: values exactly as stored, or a refusal.

Pillow quietly reduces 16-bit colour to 8 bits; such files are refused instead. Metadata (EXIF, text
chunks, TIFF tags) is never carried over; of EXIF only the orientation is applied, so that an image
stands as its viewer shows it.
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

Array = np.ndarray[Any, Any]

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
FORMATS = ("PNG", "JPEG", "TIFF")
MAX_PAGES = 4096
BOMB_PIXELS = 2**24  # below this even an absurd ratio does no harm
BOMB_RATIO = 4096  # pixels a byte: deflate reaches 1,032, fax coding of blank pages more

# Whatever Pillow's parsers raise on damaged files.
_DAMAGE = (
    OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, EOFError, OverflowError,
    AttributeError, AssertionError, RuntimeError, ZeroDivisionError, MemoryError,
    struct.error, zlib.error,
)  # fmt: skip

_GREY = frozenset({"1", "L", "I;16", "I;16B", "I;16L", "I;16N", "I", "F"})


def read_raster(path: Path, max_pixels: int, *, volume: bool, indices: bool) -> Array:
    """The pixels of one file.

    Args:
        path: of a PNG, JPEG or TIFF file, told by its content.
        max_pixels: refuse more, over all pages.
        volume: stack the pages of a TIFF along Z; otherwise several pages are refused.
        indices: keep the palette's indices (a mask's classes) instead of its colours.

    Returns:
        (C, Y, X), or (C, Z, Y, X) with `volume`; C is 1 for grey and 3 for colour; bool as uint8.

    Raises:
        DataError: "not-an-image", "damaged-image", "image-too-large", "compression-bomb",
            "many-pages", "uneven-pages", "deep-colour", "transparent-image", "unsupported-mode".
    """
    with _guarded(path) as image:
        pages = _count_pages(image)
        if image.width * image.height * pages > max_pixels:
            raise DataError(
                f"the image has {image.width} x {image.height} x {pages} pixels, above the limit "
                f"of {max_pixels}",
                code="image-too-large",
                hint="raise `max_pixels` if memory allows",
            )
        if image.width * image.height * pages > max(BOMB_PIXELS, BOMB_RATIO * path.stat().st_size):
            raise DataError(
                f"the file would grow to over {BOMB_RATIO} pixels a byte", code="compression-bomb"
            )
        if pages > 1 and not volume:
            raise DataError(
                f"the file holds {pages} pages",
                code="many-pages",
                hint="`pages: volume` stacks them along Z",
            )
        planes = []
        for number in range(pages):
            image.seek(number)
            planes.append(_plane(image, indices))
        if len({plane.shape for plane in planes}) > 1:
            raise DataError("the file's pages differ in size", code="uneven-pages")
    return np.stack(planes, axis=1) if volume else planes[0]


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
        try:
            with image:
                yield image
        except Pillow.DecompressionBombError as error:
            raise DataError(
                "the image's size is beyond any picture", code="image-too-large"
            ) from error
        except _DAMAGE as error:
            raise DataError(
                f"the file is damaged or cut short ({type(error).__name__})", code="damaged-image"
            ) from error


def _count_pages(image: PillowImage) -> int:
    """Pages of a TIFF; one by one, because a damaged chain of them may be a circle."""
    if image.format != "TIFF":
        return 1
    pages = 1
    while pages <= MAX_PAGES:
        try:
            image.seek(pages)
        except EOFError:
            break
        pages += 1
    else:
        raise DataError(f"the file holds over {MAX_PAGES} pages", code="many-pages")
    image.seek(0)
    return pages


def _plane(image: PillowImage, indices: bool) -> Array:
    """One page as (C, Y, X)."""
    if _bits(image) > 8 and image.mode not in _GREY:
        raise DataError(
            "the image has more than 8 bits a colour, which would be cut off",
            code="deep-colour",
            hint="convert it to grey, or to 8 bits on purpose",
        )
    image.load()
    if image.mode == "P" and not indices:
        # The colours that the palette stands for; a mask keeps the indices.
        page = image.convert("RGBA" if "transparency" in image.info else "RGB")
    elif image.mode in ("CMYK", "YCbCr", "LAB"):
        page = image.convert("RGB")
    else:
        page = image
    page = ImageOps.exif_transpose(page)
    values = np.asarray(page)
    if page.mode in ("LA", "RGBA"):
        if not (values[..., -1] == 255).all():
            raise DataError(
                "the image is transparent in places",
                code="transparent-image",
                hint="lay it on a background at the source",
            )
        values = values[..., :-1]
    elif page.mode not in _GREY | {"P", "RGB"}:
        raise DataError(f"images of mode {page.mode} are not read", code="unsupported-mode")
    if values.dtype == np.bool_:
        values = values.astype(np.uint8)
    if not values.dtype.isnative:
        values = values.astype(values.dtype.newbyteorder("="))
    return values[None] if values.ndim == 2 else np.ascontiguousarray(np.moveaxis(values, -1, 0))


def _bits(image: PillowImage) -> int:
    """Bits a channel as stored in the file, which Pillow's mode does not always tell."""
    if isinstance(image, PngImagePlugin.PngImageFile):
        tile = image.tile[0] if image.tile else None
        raw = str(tile.args) if tile else ""
        return 16 if "16" in raw else 8
    tags = getattr(image, "tag_v2", None)
    if tags is None:
        return 8
    stored = tags.get(258, (1,))
    return max(stored) if isinstance(stored, tuple) else int(stored)
