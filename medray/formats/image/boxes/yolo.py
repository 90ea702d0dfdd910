"""YOLO's texts: a line for each object, its class by number, centre and size as shares."""

from pathlib import Path

from medray.errors import DataError
from medray.formats.image.boxes.reading import text_of
from medray.formats.imaging.entries import Found, entry, number
from medray.formats.imaging.objects import Object


def read_yolo(path: Path, shape: tuple[int, ...], classes: tuple[str, ...]) -> list[Found]:
    """The objects of a text, in its order: `class x y width height`, from 0 to 1.

    Args:
        path: of the text.
        shape: (Y, X) of the image.
        classes: by number.

    Raises:
        DataError: it is no text ("bad-annotations").
    """
    lines = [line.split() for line in text_of(path).splitlines() if line.strip()]
    return [_entry(cells, shape, classes) for cells in lines]


def _entry(cells: list[str], shape: tuple[int, ...], classes: tuple[str, ...]) -> Found:
    if len(cells) != 5:
        return DataError(
            f"a line of {len(cells)} values, where boxes have 5",
            code="bad-box",
            hint="outlines and poses are not read; write their boxes",
        )

    def made() -> Object:
        kind = int(cells[0])
        x, y, width, height = (number(cell) for cell in cells[1:])
        middle, size = (y * shape[0], x * shape[1]), (height * shape[0], width * shape[1])
        return Object(
            classes[kind] if 0 <= kind < len(classes) else "",
            tuple(at - by / 2 for at, by in zip(middle, size, strict=True)),
            tuple(at + by / 2 for at, by in zip(middle, size, strict=True)),
        )

    return entry(made)
