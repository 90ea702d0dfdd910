"""The folder or bucket that an export writes to. It is no part of storage, so it says who it is.

A marker file holds a random id, which is part of the export's identity: to export again, delete the
folder.
"""

import contextlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from medray.errors import SpecError
from medray.ids import attempt_id
from medray.storage.store.documents import read
from medray.storage.store.objects import Objects
from medray.veil import veiled

MARKER = ".medray-target"


@dataclass(frozen=True)
class _Marker:
    target: str


def claim(to: str, objects: Objects) -> str:
    """Make the folder if need be, and return its id.

    Args:
        to: a folder, or the URL of a bucket.
        objects: the storage root, by whose right a bucket is reached.

    Raises:
        SpecError: it can't be made or written to (code "bad-target").
    """
    if "://" not in to:
        return _claim_folder(Path(to))
    bucket = objects.beside(to)
    bucket.put_new(MARKER, json.dumps({"target": attempt_id()}).encode())
    hint = "delete it, and what was exported beside it is written again"
    return read(bucket, MARKER, _Marker, hint).target


def shown(to: str) -> str:
    """The place as it is kept: values of the environment stand there by their names."""
    return veiled(to)


def _claim_folder(folder: Path) -> str:
    marker = folder / MARKER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        draft = folder / f"{MARKER}-{attempt_id()}"
        draft.write_text(json.dumps({"target": attempt_id()}))
        # A link appears whole or not at all, and only one of two drivers makes it.
        with contextlib.suppress(FileExistsError):
            os.link(draft, marker)
        draft.unlink()
        return str(json.loads(marker.read_text())["target"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise SpecError(
            f"cannot be used as a target ({type(error).__name__})",
            code="bad-target",
            about=str(folder),
            hint="give a folder that can be made and written to",
        ) from error
