"""Slides in DICOM: VL Whole Slide Microscopy, a file for each level, frames in tiles.

What a file is, its series and its kind of picture are told by its header; labels, overviews and
thumbnails of a series are passed over, and never decoded. Frames are decoded by pydicom one by one.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from medray.errors import DataError, PassedOver
from medray.formats.slide.levels import Array, Level, Slide, damage, spacing

if TYPE_CHECKING:
    from pydicom import Dataset

WSI = "1.2.840.10008.5.1.4.1.1.77.1.6"
VOLUME = "VOLUME"
HEADER_BYTES = 128 * 2**10
_PLANES = ("TotalPixelMatrixFocalPlanes", "NumberOfOpticalPaths")


class Kind(NamedTuple):
    """What a DICOM file is of.

    Args:
        series: its UID.
        picture: VOLUME, or LABEL, OVERVIEW, THUMBNAIL, ….
    """

    series: str
    picture: str


def kind_of(path: Path) -> Kind:
    """What a file is, by its header.

    Raises:
        PassedOver: it is DICOM of another kind (code "other-kind").
        DataError: it is no DICOM, or its header is damaged (code "damaged-slide").
    """
    tags = ["SOPClassUID", "SeriesInstanceUID", "ImageType"]
    found = _read(path, tags)
    with damage(), _quiet():  # values are read when they are asked for
        if str(found.get("SOPClassUID", "")) != WSI:
            raise PassedOver("DICOM that is no slide", code="other-kind")
        told = [str(one) for one in found.get("ImageType", None) or ()]
        return Kind(str(found.get("SeriesInstanceUID", "")), told[2] if len(told) > 2 else "")


@contextmanager
def open_wsi(paths: Sequence[Path]) -> Iterator[Slide]:
    """A slide in DICOM files, one for each level.

    Raises:
        DataError: "damaged-slide", "unsupported-colour", "uneven-pixels", "several-planes",
            "concatenated".
    """
    with damage(), _quiet():
        levels = sorted((WsiLevel(path, _read(path)) for path in paths), key=lambda one: -one.width)
        if len({one.width for one in levels}) < len(levels):
            raise DataError(
                "two files of the series are of one level",
                code="concatenated",
                hint="concatenated instances are not read; join them at the source",
            )
    yield Slide(levels, levels[0].mpp, "DICOM")


class WsiLevel(Level):
    """A file of a slide."""

    def __init__(self, path: Path, header: "Dataset") -> None:
        _check(header)
        size = int(header.TotalPixelMatrixColumns), int(header.TotalPixelMatrixRows)
        super().__init__(*size, (int(header.Rows), int(header.Columns)))
        self._path = str(path)
        self.mpp = _mpp(header)
        self._frames = _frames(header, self.segment)
        self._across = -(-self.width // self.segment[1])
        down = -(-self.height // self.segment[0])
        if self._frames is None and int(header.NumberOfFrames) != self._across * down:
            raise DataError("a level's tiles don't count as its size says", code="damaged-slide")

    def decode(self, row: int, column: int) -> Array | None:
        """See Level; of a slide stored in part, None where there is no frame."""
        from pydicom.pixels.utils import pixel_array

        number = row * self._across + column
        if self._frames is not None:
            if (row, column) not in self._frames:
                return None
            number = self._frames[row, column]
        with damage("damaged-tile"), _quiet():
            pixels: Array = pixel_array(self._path, index=number)
            if pixels.shape != (*self.segment, 3) or pixels.dtype != "uint8":
                raise DataError("a tile of the slide has other colours", code="damaged-tile")
            return pixels


def _read(path: Path, tags: list[str] | None = None) -> "Dataset":
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    try:
        with damage(), _quiet():
            return dcmread(path, stop_before_pixels=True, specific_tags=tags)
    except InvalidDicomError as error:
        raise DataError("the file is no DICOM", code="damaged-slide") from error


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they quote the file
        yield


def _check(header: "Dataset") -> None:
    if "ConcatenationUID" in header:
        raise DataError(
            "a level of the slide is in several files",
            code="concatenated",
            hint="concatenated instances are not read; join them at the source",
        )
    if any(int(header.get(name, 1) or 1) > 1 for name in _PLANES):
        raise DataError(
            "the slide has several focal planes or optical paths",
            code="several-planes",
            hint="slides of one plane are read",
        )
    kinds = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
    deep = int(header.get("BitsAllocated", 0)) != 8 or int(header.get("SamplesPerPixel", 0)) != 3
    if deep or str(header.get("PhotometricInterpretation", "")) not in kinds:
        raise DataError(
            "the slide is not in red, green and blue of 8 bits each",
            code="unsupported-colour",
            hint="slides of stained tissue are read; fluorescence is not",
        )


def _mpp(header: "Dataset") -> float | None:
    """Micrometres a pixel, by the functional groups that all frames share."""
    for shared in header.get("SharedFunctionalGroupsSequence", None) or ():
        for measures in shared.get("PixelMeasuresSequence", None) or ():
            down, across = (float(one) * 1000 for one in measures.PixelSpacing)
            return spacing(across, down)
    return None


def _frames(header: "Dataset", segment: tuple[int, int]) -> dict[tuple[int, int], int] | None:
    """Number of the frame of each tile by its row and column; None: all tiles, by rows.

    Raises:
        DataError: a frame lies between the tiles of the grid (code "damaged-slide").
    """
    if str(header.get("DimensionOrganizationType", "")) == "TILED_FULL":
        return None
    found = {}
    for number, groups in enumerate(header.PerFrameFunctionalGroupsSequence):
        place = groups.PlanePositionSlideSequence[0]
        row, down = divmod(int(place.RowPositionInTotalImagePixelMatrix) - 1, segment[0])
        column, across = divmod(int(place.ColumnPositionInTotalImagePixelMatrix) - 1, segment[1])
        if down or across or (row, column) in found:
            raise DataError("frames of the slide are not in a grid", code="damaged-slide")
        found[row, column] = number
    return found
