"""Numbers and texts of files with boxes, each checked before it is believed."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from medray.errors import DataError
from medray.formats.imaging.objects import Object

MAX_FILE = 16 * 2**20  # bytes of one image's annotations: 100,000 boxes in XML

Found = Object | DataError
"""An object of a file, or why one of its entries is none."""


def text_of(path: Path) -> str:
    """A file of annotations.

    Raises:
        DataError: it is larger than any ("annotations-too-large"), or no text ("bad-annotations").
    """
    if path.stat().st_size > MAX_FILE:
        raise DataError(
            f"the annotations of one image have over {MAX_FILE} bytes",
            code="annotations-too-large",
        )
    try:
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError("the annotations are no UTF-8", code="bad-annotations") from error


def number(value: Any) -> float:
    """A finite number.

    Raises:
        ValueError, TypeError: it is none.
    """
    found = float(value)
    if isinstance(value, bool) or not math.isfinite(found):
        raise ValueError
    return found


def entry(make: Callable[[], Object]) -> Found:
    """An object, or why the entry makes none."""
    try:
        return make()
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError):
        return DataError("an object's class or edges can't be read", code="bad-box")


def sized(width: float, height: float, shape: tuple[int, ...]) -> None:
    """Hold the size that annotations name against the image.

    Raises:
        DataError: it is another (code "label-grid-mismatch").
    """
    if (height, width) != shape:
        raise DataError(
            f"the image is {shape} pixels, its boxes are of one of {(height, width)}",
            code="label-grid-mismatch",
        )
