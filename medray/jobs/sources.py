"""Folders with raw files, looked at before anything is planned over them."""

import contextlib
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from medray.errors import MedrayError, RetryableError, SpecError
from medray.formats.base import Format, Found, Source
from medray.formats.bucket import outlined
from medray.ids import short
from medray.spec.jobs import Ingest
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


@dataclass(frozen=True)
class Kept:
    """What a plan keeps for the next one of the same step: one object, whoever wrote it last.

    It spares work and decides nothing, so a store that can't give or take it is no error.

    Args:
        objects: the storage root.
        path: of the object.
    """

    objects: Objects
    path: str

    def load(self) -> bytes | None:
        """See medray.formats.base.Memory."""
        try:
            return self.objects.get(self.path)
        except (FileNotFoundError, MedrayError):
            return None

    def keep(self, data: bytes) -> None:
        """See medray.formats.base.Memory."""
        with contextlib.suppress(RetryableError):
            self.objects.put(self.path, data)


def plan_of(made: Format, step: Ingest, objects: Objects) -> Found:
    """What a format finds in a folder or a bucket."""
    check_named(made, step.source, objects)
    memory = Kept(objects, f"datasets/{step.output}/plans/{short(step.identity())}.known")
    about: dict[str, Any] = {"by_content": step.fingerprint == "content", "memory": memory}
    if "://" not in step.source:
        source = source_of(step.source)
        return made.plan(replace(source, follow_links=step.follow_links, **about))
    with outlined(objects.beside(step.source), **about) as outline:
        found = made.plan(outline)
        return replace(found, refused=[*found.refused, *outline.refused])


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
