"""Boxes in a file of their own beside each image: Pascal VOC and YOLO."""

from medray.errors import DataError, SpecError
from medray.formats.base import Input, Source
from medray.formats.files import (
    ELSEWHERE,
    File,
    is_empty,
    item,
    nothing_found,
    open_path,
    stem,
    walk,
)
from medray.formats.image.boxes.reading import text_of
from medray.formats.image.npz import SPLITS
from medray.formats.image.raster import SUFFIXES
from medray.formats.imaging.values import OTHER_IMAGES
from medray.formats.naming import unique
from medray.storage.shards.records import Refusal

Planned = tuple[list[Input], list[Refusal]]


def plan_beside(
    source: Source,
    images: str,
    annotations: str,
    ending: str,
    *,
    lists: str = "",
    required: bool = True,
) -> Planned:
    """An image each in the folder `images`, its boxes under the same path in `annotations`.

    Args:
        source: of both.
        images: folder of the images.
        annotations: folder of the files with boxes.
        ending: of these.
        lists: folder of `train.txt`, `val.txt` and `test.txt`, which name images by line; "": the
            first folder below `images` is the split, where it is called so.
        required: images without boxes of their own are refused; else nobody has looked at them.
    """
    own = tuple(f"{lists}/{name}.txt" for name in (*SPLITS, "trainval")) if lists else ()
    found, refused = walk(source, (*SUFFIXES, ending), beside=OTHER_IMAGES, own=own)
    pictures = [file for file in found if not file.path.lower().endswith(ending)]
    if is_empty(pictures, refused):
        nothing_found(source, "image", f"files end in {', '.join(SUFFIXES)}")
    beside = dict[str, File]()
    for file in found:
        if not file.path.lower().endswith(ending):
            continue
        if file.path.startswith(f"{annotations}/"):
            beside[stem(file.path, (ending,)).removeprefix(f"{annotations}/")] = file
        elif file.path not in own:
            refused.append(Refusal.of(file.path, ELSEWHERE))
    named = _listed(source, lists) if lists else {}
    items = []
    for file in pictures:
        below = stem(file.path, SUFFIXES).removeprefix(f"{images}/")
        if not file.path.startswith(f"{images}/"):
            refused.append(Refusal.of(file.path, ELSEWHERE))
            continue
        boxes = beside.pop(below, None)
        if boxes is None and required:
            reason = "the image has no file with its boxes"
            refused.append(Refusal(file.path, "no-label", reason, path=file.path))
            continue
        splits = named.pop(below, [])
        if not lists and below.partition("/")[0] in SPLITS:
            splits = [below.partition("/")[0]]
        if len(splits) > 1:
            reason = f"the image is listed in {' and '.join(splits)}"
            refused.append(Refusal(file.path, "ambiguous-split", reason, path=file.path))
            continue
        items.append(_input(below, file, boxes, splits))
    reason = "there is no image of the name that these boxes are of"
    refused += [
        Refusal(file.path, "missing-file", reason, path=file.path) for file in beside.values()
    ]
    reason = "a list names an image that is not there"
    refused += [Refusal(name, "missing-file", reason) for name in named]
    return list(unique(items, refused)), refused


def _input(below: str, image: File, boxes: File | None, splits: list[str]) -> Input:
    name = below.replace("/", "_")
    split = {"split": splits[0]} if splits else {}
    return item(name, [image, boxes] if boxes else [image], id=name, beside=bool(boxes), **split)


def _listed(source: Source, lists: str) -> dict[str, list[str]]:
    """Of each image that is listed, the splits that it is in."""
    named: dict[str, list[str]] = {}
    for split in SPLITS:
        path = f"{lists}/{split}.txt"
        try:
            there = open_path(source, path)
            source.fetch(path)
            text = text_of(there)
        except DataError as error:
            if error.code == "missing-file":
                continue
            raise SpecError(
                "a list of images can't be read", code="bad-list", about=path, hint=error.message
            ) from error
        for line in text.splitlines():
            if line.strip():
                # Lists of one class have a mark of 1, 0 or -1 behind the name.
                named.setdefault(line.split()[0], []).append(split)
    return named
