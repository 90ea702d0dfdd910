"""Objects and masks of a series from files about it: DICOM SR (TID 1500) and RTSTRUCT."""

import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from medray.errors import DataError
from medray.formats.dicom.confined import Confined
from medray.formats.dicom.headers.elements import NeedMoreBytes, truncated
from medray.formats.dicom.headers.headers import DEFLATED, Limits, parse
from medray.formats.dicom.rois.places import Places
from medray.formats.dicom.rois.reports import in_report
from medray.formats.dicom.rois.segments import Segments
from medray.formats.dicom.rois.structures import in_structures, mask_of
from medray.formats.dicom.segments import Grid
from medray.formats.imaging.objects import Object

if TYPE_CHECKING:
    from pydicom import Dataset

Rois = Literal["sr", "rtstruct"]

CLASSES: dict[str, frozenset[str]] = {
    "sr": frozenset(f"1.2.840.10008.5.1.4.1.1.88.{kind}" for kind in ("22", "33", "34")),
    "rtstruct": frozenset({"1.2.840.10008.5.1.4.1.1.481.3"}),
}
"""SOP classes of the files: Enhanced, Comprehensive and Comprehensive 3D SR; RT Structure Set."""

# What pydicom raises of damaged files, and who asks it for elements that are absent or not of
# their type; much of a file is parsed when it is asked for.
UNREADABLE = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    EOFError,
    OSError,
    NotImplementedError,
    RecursionError,
    struct.error,
)
MAX_BYTES = 256 * 2**20  # structure sets of hundreds of ROIs have some 50 MB


def rois_of(
    kind: Rois, raw: bytes, places: Places, segments: Segments
) -> Iterator[Object | DataError]:
    """The objects that a file marks, in its order, or why one can't be taken.

    Args:
        kind: of the file.
        raw: all of it.
        places: of the series.
        segments: of the segmentations about the series.

    Raises:
        DataError: it can't be read (code "bad-label"), or is no report of measurements
            ("unsupported-label").
    """
    with read_whole(raw) as data:
        if kind == "sr":
            yield from in_report(data, places, segments)
        else:
            yield from in_structures(data, places)


def mask_of_rois(
    raw: bytes, places: Places, grid: Grid, classes: Sequence[str]
) -> tuple[npt.NDArray[np.uint8], int, list[tuple[int, DataError]]]:
    """The regions of a structure set as a mask; see `structures.mask_of`.

    Raises:
        DataError: the file can't be read (code "bad-label"); and of `structures.mask_of`.
    """
    with read_whole(raw) as data:
        return mask_of(data, places, grid, classes)


@contextmanager
def read_whole(raw: bytes) -> "Iterator[Dataset]":
    """A file's data set, while it is gone through: much of it is parsed when it is asked for.

    Raises:
        DataError: it can't be read (code "bad-label").
    """
    # pydicom takes 0.1 s to import, and only these files need it.
    from pydicom import dcmread

    try:
        yield dcmread(BytesIO(raw))
    except UNREADABLE as error:
        lacks = isinstance(error, AttributeError) and error.name
        why = f"lacks {lacks}" if lacks else f"can't be read ({type(error).__name__})"
        raise DataError(f"the file about the series {why}", code="bad-label") from None


def read_raw(files: Confined, path: str, limits: Limits) -> bytes:
    """A file, whole.

    Raises:
        DataError: it is too large (code "file-too-large"), deflated ("unsupported-label"), or
            damaged; see medray.formats.dicom.headers.headers.
    """
    handle, status = files.open(path)
    most = min(MAX_BYTES, limits.file_bytes)
    if status.st_size > most:
        os.close(handle)
        raise DataError(f"a file of {status.st_size} bytes", code="file-too-large")
    with os.fdopen(handle, "rb") as file:
        raw = file.read(most)
    try:
        header, _ = parse(raw, len(raw), limits, whole=False)
    except NeedMoreBytes:
        raise truncated() from None
    if header.syntax == DEFLATED:  # it could be a thousand times as large as the file
        raise DataError("a deflated file", code="unsupported-label", hint="inflate it: dcmconv")
    return raw
