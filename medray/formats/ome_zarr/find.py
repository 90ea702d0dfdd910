"""Where in a folder the images lie: groups themselves, series of bioformats2raw, fields of plates.

A member that is broken or absent is refused by its own path; its siblings stand.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from medray.errors import DataError
from medray.formats.listing import is_text, named, unreadable
from medray.formats.ome_zarr.nodes import attributes, inside
from medray.storage.shards.records import Refusal

MAX_DEPTH = 8
_LINKED = "give what it leads to as the source, or move it here"
_DOCUMENTS = ("zarr.json", ".zattrs", ".zgroup", ".zarray")
_KINDS = ("multiscales", "plate", "well", "bioformats2raw.layout")

Member = str | Refusal


def find_images(root: Path, below: str = "") -> Iterator[Member]:
    """Paths below `root` of every image, and refusals of members that are none.

    Folders and groups that say nothing of images are searched, down to eight levels.
    """
    folder = root / below
    if not any((folder / name).is_file() for name in _DOCUMENTS):
        yield from _searched(root, below)
        return
    try:
        values = attributes(folder)
    except DataError as error:
        yield _refused(below or root.name, error)
        return
    if "multiscales" in values:
        yield below
    elif "plate" in values:
        yield from _plate(folder, below, values["plate"])
    elif "well" in values:
        yield from _fields(folder, below, values["well"])
    elif "bioformats2raw.layout" in values:
        yield from _series(folder, below)
    else:
        found = list(_searched(root, below))
        alone = "the group or array is no image of OME-Zarr"
        yield from found or [Refusal(below or root.name, "not-multiscale", alone)]


def _searched(root: Path, below: str) -> Iterator[Member]:
    if below.count("/") >= MAX_DEPTH:
        return
    try:
        listed = sorted((root / below).iterdir())
    except OSError as error:
        yield _refused(below or root.name, unreadable(error, "the folder cannot be listed"))
        return
    for place in listed:
        path = _join(below, place.name)
        if place.is_symlink() and (place.is_dir() or not place.exists()):
            yield Refusal(named(path), "linked-folder", "a link to a folder", hint=_LINKED)
        elif not place.is_dir():
            continue
        elif not is_text(path):
            yield Refusal(named(path), "unnameable", "the name is no UTF-8")
        else:
            yield from find_images(root, path)


def _plate(folder: Path, below: str, plate: Any) -> Iterator[Member]:
    """Fields of all wells, each well for itself."""
    listed = set()
    for path in _paths(plate, "wells", below):
        if isinstance(path, Refusal):
            yield path
        elif path not in listed:
            listed.add(path)
            yield from _well(folder, below, path)
    for row in _folders(folder):
        for column in _folders(folder / row):
            path = f"{row}/{column}"
            if path not in listed and _is_well(folder / path):
                yield _unlisted(_join(below, path), "the plate")


def _well(folder: Path, below: str, path: str) -> Iterator[Member]:
    name = _join(below, path)
    try:
        well = _there(folder, path, "the plate lists a well that is not there")
        values = attributes(well)
        if "well" not in values:
            raise DataError("the group is no well", code="damaged-metadata")
    except DataError as error:
        yield _refused(name, error)
        return
    yield from _fields(well, name, values["well"])


def _fields(well: Path, below: str, values: Any) -> Iterator[Member]:
    listed = set()
    for path in _paths(values, "images", below):
        if isinstance(path, Refusal) or path not in listed:
            listed.add(path)
            yield path if isinstance(path, Refusal) else _member(well, below, path, "the well")
    for name in _folders(well):
        if name not in listed and any((well / name / one).is_file() for one in _DOCUMENTS):
            yield _unlisted(_join(below, name), "the well")


def _series(folder: Path, below: str) -> Iterator[Member]:
    """Images by OME/.zattrs, which gives their order; where it does not, by their numbers."""
    numbered = sorted((name for name in _folders(folder) if name.isdigit()), key=int)
    listed: Any = None
    try:
        listed = attributes(folder / "OME").get("series")
        if listed is not None and not isinstance(listed, list):
            raise DataError("the list of series is damaged", code="damaged-metadata")
    except DataError as error:
        listed = None
        yield _refused(_join(below, "OME"), error)
    seen = set()
    for number, name in enumerate(numbered if listed is None else listed):
        if not isinstance(name, str | int) or not str(name):
            reason = f"entry {number} of the list of series names none"
            yield Refusal(_join(below, f"OME/{number}"), "damaged-metadata", reason)
        elif str(name) not in seen:
            seen.add(str(name))
            yield _member(folder, below, str(name), "OME/.zattrs")
    for name in numbered:
        if name not in seen:
            yield _unlisted(_join(below, name), "OME/.zattrs")


def _paths(values: Any, key: str, below: str) -> Iterator[Member]:
    """The `path` of each entry of a list, or a refusal of the entry."""
    entries = values.get(key) if isinstance(values, dict) else None
    if not isinstance(entries, list):
        yield Refusal(below, "damaged-metadata", f"the group has no list of {key}")
        return
    for number, entry in enumerate(entries):
        path = entry.get("path") if isinstance(entry, dict) else None
        if isinstance(path, str) and path:
            yield path
        else:
            reason = f"entry {number} of {key} has no path"
            yield Refusal(_join(below, f"{key}/{number}"), "damaged-metadata", reason)


def _member(folder: Path, below: str, path: str, lister: str) -> Member:
    try:
        _there(folder, path, f"{lister} lists an image that is not there")
    except DataError as error:
        return _refused(_join(below, path), error)
    return _join(below, path)


def _there(folder: Path, path: str, reason: str) -> Path:
    place = inside(folder, path)
    if not place.is_dir():
        raise DataError(reason, code="missing-file")
    return place


def _is_well(folder: Path) -> bool:
    try:
        return "well" in attributes(folder)
    except DataError:
        return True


def _folders(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.is_symlink())


def _refused(path: str, error: DataError) -> Refusal:
    return Refusal.of(path, error)


def _unlisted(path: str, lister: str) -> Refusal:
    return Refusal(path, "not-listed", f"{lister} does not list it", kind="passed-over")


def _join(below: str, path: str) -> str:
    return f"{below}/{path}" if below else path
