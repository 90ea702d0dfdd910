"""Folders with raw files, looked at before anything is planned over them."""

import os
from pathlib import Path

from medray.errors import SpecError
from medray.formats.base import Format, Source
from medray.steps.base.view import View
from medray.storage.store.objects import Objects


def source_of(path: str) -> Source:
    """The source, if it is there and this process may look into it.

    Raises:
        SpecError: it isn't, or may not (code "no-such-source").
    """
    root = Path(path)
    try:
        if root.is_dir():
            os.scandir(root).close()  # opens it; Python 3.11's `iterdir` lists all of it
        else:
            root.open("rb").close()
    except (OSError, ValueError) as error:  # ValueError: a name with NUL
        raise SpecError(
            f"the source cannot be read ({type(error).__name__})",
            code="no-such-source",
            about=path,
            hint="give a folder or file that this user may read",
        ) from error
    return Source(root)


def look_at_source(view: View, source: str) -> bool:
    """Whether a source is there; false where an earlier document will make it.

    Raises:
        SpecError: as `source_of`.
    """
    if "://" in source:
        view.objects.beside(source)
    elif any(Path(source).is_relative_to(target) for target in view.targets):
        return False
    else:
        source_of(source)
    return True


def check_named(made: Format, source: str, objects: Objects) -> None:
    """Look for every file and folder that a format's options name, in a folder or a bucket.

    Args:
        made: the format, with its options.
        source: that they lie below.
        objects: the storage root, which has the means to look into buckets.

    Raises:
        SpecError: one is not there (code "no-such-path"), or the source itself ("no-such-source").
    """
    bucket = objects.beside(source) if "://" in source else None
    root = source_of(source).root if bucket is None else None
    for option, path in made.named():
        if root is None or Path(path).is_absolute():
            there = Path(path).exists() if Path(path).is_absolute() else _holds(bucket, path)
        elif root.is_file():
            there = path == root.name
        else:
            there = (root / path).exists()
        if not there:
            raise SpecError(
                f"`{option}` names what is not there",
                code="no-such-path",
                about=path,
                hint="give a path below the source",
            )


def _holds(bucket: Objects | None, path: str) -> bool:
    path = path.strip("/").removeprefix("./")
    if bucket is None or path in ("", "."):
        return True
    return bucket.exists(path) or next(iter(bucket.walk(path)), None) is not None
