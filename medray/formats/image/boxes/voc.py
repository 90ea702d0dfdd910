"""Pascal VOC: an XML file for each image, and lists of which image is for what.

Edges are pixels counted from 1, and both are inside (Everingham et al. 2010, development kit): a
box 1 … 640 is as wide as an image of 640 pixels. One whose edges are the same pixel along an axis
is a click that nobody has drawn out, and has no area.
"""

from pathlib import Path
from typing import Any

from medray.errors import DataError
from medray.formats.image.boxes.reading import sized, text_of
from medray.formats.imaging.entries import Found, entry, is_marked, number
from medray.formats.imaging.objects import Object


def read_voc(path: Path, shape: tuple[int, ...]) -> list[Found]:
    """The objects of an XML file, in its order.

    Args:
        path: of the file.
        shape: (Y, X) of the image.

    Raises:
        DataError: it is no such file ("bad-annotations"), or of an image of another size
            ("label-grid-mismatch").
    """
    from xml.etree import ElementTree

    text = text_of(path)
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise DataError("the annotations declare entities", code="bad-annotations")
    try:
        root = ElementTree.fromstring(text)  # noqa: S314 - no entities
    except (ElementTree.ParseError, ValueError) as error:
        raise DataError("the annotations are no XML", code="bad-annotations") from error
    if root.tag != "annotation":
        raise DataError("the XML is no annotation of an image", code="bad-annotations")
    size = root.find("size")
    if size is not None:
        try:
            told = [number(size.findtext(name)) for name in ("width", "height")]
        except (ValueError, TypeError) as error:
            raise DataError("the image's size can't be read", code="bad-annotations") from error
        if all(told):  # some tools write 0, which is no size
            sized(told[0], told[1], shape)
    return [entry(lambda one=one: _object(one)) for one in root.iterfind("object")]  # type: ignore[misc]


def _object(one: Any) -> Object:
    edges = {name: number(one.find("bndbox").findtext(name)) for name in _EDGES}
    begin, end = (edges["ymin"], edges["xmin"]), (edges["ymax"], edges["xmax"])
    empty = any(last == first for first, last in zip(begin, end, strict=True))
    return Object(
        str(one.findtext("name") or "").strip(),
        begin if empty else tuple(first - 1 for first in begin),
        end,
        difficult=is_marked(one.findtext("difficult")),
    )


_EDGES = ("ymin", "xmin", "ymax", "xmax")
