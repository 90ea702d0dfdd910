"""Slides in TIFF: Aperio's SVS, pyramidal TIFF and OME-TIFF, by tifffile.

A level is a page of the first one's shape that is stored in tiles, or a page below the first one
(SubIFDs). Pictures of the label and of the whole glass, which may show names, are stored in strips
or have another shape, and are called so: they are never decoded. Of descriptions only the size of a
pixel is read.
"""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import numpy as np

from medray.errors import DataError
from medray.formats.imaging.values import millimetres
from medray.formats.slide.levels import Array, Level, Slide, damage, spacing

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage

MAX_PAGES = 256
LEAST_DPI = 1000  # coarser resolutions say how large to print
_ASSOCIATED = re.compile(r"\b(label|macro|thumbnail)\b", re.IGNORECASE)
_APERIO_MPP = re.compile(r"\|\s*MPP\s*=\s*([0-9.]+)")
_COLOURS = ("RGB", "YCBCR")
_JPEG = (6, 7, 33007, 34892)


@contextmanager
def open_tiff(path: Path) -> Iterator[Slide]:
    """A slide in a TIFF file, while it is open.

    Raises:
        DataError: "not-a-slide", "damaged-slide", "unsupported-colour", "unsupported-compression",
            "uneven-pixels".
    """
    from tifffile import TiffFile

    logging.getLogger("tifffile").disabled = True  # its warnings quote the file
    with damage():
        file = TiffFile(path, _multifile=False)
    with file:
        with damage():
            slide = _slide(file)
        yield slide


class TiffLevel(Level):
    """A page of a TIFF."""

    def __init__(self, page: "TiffPage") -> None:
        tall = page.tilelength if page.is_tiled else min(page.rowsperstrip, page.imagelength)
        wide = page.tilewidth if page.is_tiled else page.imagewidth
        super().__init__(page.imagewidth, page.imagelength, (int(tall), int(wide)))
        self._page = page
        self._across = -(-self.width // self.segment[1])
        down = -(-self.height // self.segment[0])
        if not len(page.dataoffsets) == len(page.databytecounts) == self._across * down:
            raise DataError("a level's tiles don't count as its size says", code="damaged-slide")

    def decode(self, row: int, column: int) -> Array | None:
        """See Level."""
        page, number = self._page, row * self._across + column
        start, size = page.dataoffsets[number], page.databytecounts[number]
        if not size:
            return None
        handle = page.parent.filehandle
        if start <= 0 or size < 0 or start + size > handle.size:
            raise DataError("a tile of the slide lies beyond the file", code="damaged-tile")
        with damage("damaged-tile"):
            handle.seek(start)
            data = handle.read(size)  # before tables are asked for, which moves the file's place
            more = (
                {"jpegtables": page.jpegtables, "jpegheader": page.jpegheader}
                if page.compression in _JPEG
                else {}
            )
            found = np.asarray(page.decode(data, number, **more)[0])
            pixels: Array = found[0, :, :, :3]
            if pixels.shape[2] != 3 or pixels.dtype != "uint8":
                raise DataError("a tile of the slide has other colours", code="damaged-tile")
            return pixels


def _slide(file: "TiffFile") -> Slide:
    if len(file.pages) > MAX_PAGES:
        raise DataError(f"the file holds over {MAX_PAGES} pages", code="not-a-slide")
    first = file.pages[0].aspage()
    _check_colours(first)
    levels: list[Level] = [TiffLevel(first)]
    rest = [page.aspage() for page in file.pages[1:]]
    for page in [*rest, *(first.pages or ())]:
        below = page.aspage()
        if _is_level(below, levels[-1], levels[0]):
            _check_colours(below)
            levels.append(TiffLevel(below))
    kind = "OME-TIFF" if file.is_ome else "SVS" if file.is_svs else "TIFF"
    return Slide(levels, _mpp(file, first), kind)


def _is_level(page: "TiffPage", last: Level, base: Level) -> bool:
    """Whether a page is the first one, coarser: in tiles, of its shape, not called otherwise."""
    if not page.is_tiled or _ASSOCIATED.search(page.description.partition("|")[0]):
        return False
    if not 0 < page.imagewidth < last.width or page.imagelength < 1:
        return False
    tall = base.height * page.imagewidth / base.width
    return bool(abs(tall - page.imagelength) <= max(2.0, 0.01 * tall))


def _check_colours(page: "TiffPage") -> None:
    from tifffile import TIFF

    kind = str(getattr(page.photometric, "name", page.photometric))
    flat = page.planarconfig == 1 and page.samplesperpixel in (3, 4) and page.imagedepth == 1
    if kind not in _COLOURS or page.bitspersample != 8 or not flat:
        raise DataError(
            "the slide is not in red, green and blue of 8 bits each, beside each other",
            code="unsupported-colour",
            hint="slides of stained tissue are read; fluorescence is read by the format `image`",
        )
    if page.compression != 1 and page.compression not in TIFF.DECOMPRESSORS:
        raise DataError(
            "the slide's compression is not read",
            code="unsupported-compression",
            hint="save it with JPEG, JPEG 2000 or deflate",
        )


def _mpp(file: "TiffFile", page: "TiffPage") -> float | None:
    """Micrometres a pixel: Aperio's own word, OME's, or the resolution."""
    told = _APERIO_MPP.search(page.description)
    if told and file.is_svs:
        return spacing(float(told[1]), float(told[1]))
    if file.is_ome:
        return _ome_mpp(page.description)
    unit = {2: 25_400.0, 3: 10_000.0}.get(int(page.tags.valueof(296, 1)))
    x, y = (page.tags.valueof(tag) for tag in (282, 283))
    if unit is None or not _is_ratio(x) or not _is_ratio(y):
        return None
    across, down = x[0] / x[1], y[0] / y[1]
    if min(across, down) * 25_400 / unit < LEAST_DPI:
        return None
    return spacing(unit / across, unit / down)


def _is_ratio(value: object) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and value[0] > 0 and value[1] > 0


def _ome_mpp(text: str) -> float | None:
    try:
        # expat stops entities that grow, and tifffile has read the same text before.
        root = ElementTree.fromstring(text)  # noqa: S314
    except ElementTree.ParseError:
        return None
    for one in root.iter():
        if one.tag.rpartition("}")[2] == "Pixels":
            return spacing(*(_micrometres(one, axis) for axis in "XY"))
    return None


def _micrometres(pixels: ElementTree.Element, axis: str) -> float | None:
    size = pixels.get(f"PhysicalSize{axis}")
    unit = millimetres(pixels.get(f"PhysicalSize{axis}Unit", "µm"))
    return None if size is None or unit is None else float(size) * unit * 1000
