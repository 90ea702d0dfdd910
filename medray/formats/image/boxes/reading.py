"""Files with the boxes of one image, held against it."""

from pathlib import Path

from medray.errors import DataError

MAX_FILE = 16 * 2**20  # bytes of one image's annotations: 100,000 boxes in XML


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
