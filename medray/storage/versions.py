"""Names, versions, and the HEAD that names the newest: what datasets and models share.

<root>/<kind>/<name>/HEAD names a version; versions/<version>.json is its manifest.
"""

import json
import re
from typing import Any

from medray.errors import DataError, SpecError
from medray.ids import canonical
from medray.storage.objects import Objects

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,127}")


def check_name(name: str) -> str:
    """`name`, if it can name a dataset or model.

    Raises:
        SpecError: it can't (code "bad-name").
    """
    if not _NAME.fullmatch(name) or ".." in name:
        raise SpecError(
            "a name is made of a-z, 0-9, '.', '_' and '-'", code="bad-name", about=repr(name)
        )
    return name


def read_document(objects: Objects, path: str) -> dict[str, Any]:
    """A JSON object that medray wrote: a HEAD or a manifest.

    Raises:
        FileNotFoundError: there is none.
        DataError: it is damaged (code "damaged-manifest").
    """
    try:
        document = json.loads(objects.get(path))
    except (ValueError, RecursionError) as error:
        raise damaged_manifest(path) from error
    if not isinstance(document, dict) or not isinstance(document.get("version"), str):
        raise damaged_manifest(path)
    return document


def damaged_manifest(path: str) -> DataError:
    """The error for a HEAD or manifest that is not what was written."""
    return DataError(
        "altered: its content is not what its name says",
        code="damaged-manifest",
        about=path,
        hint="restore it from a backup, or delete it and run the job again",
    )


def move_head(objects: Objects, path: str, version: str) -> None:
    """Point HEAD at `version` by compare-and-swap; a race is run again until one order holds."""
    while True:
        try:
            data, etag = objects.get_tagged(path)
            if json.loads(data)["version"] == version:
                return
            tag: str | None = etag
        except FileNotFoundError:
            tag = None
        if objects.swap(path, canonical({"version": version}), tag):
            return


def whole_version(objects: Objects, folder: str, name: str, prefix: str) -> str:
    """The one version that begins with `prefix`.

    Args:
        objects: the storage root.
        folder: of the manifests.
        name: of the dataset or model.
        prefix: 6 or more digits.

    Raises:
        SpecError: none or several do, or it is too short (code "no-such-version").
    """
    versions = [
        entry.path.rsplit("/", 1)[1].removesuffix(".json") for entry in objects.walk(folder)
    ]
    found = [version for version in versions if version.startswith(prefix)]
    if len(found) != 1 or len(prefix) < 6:
        raise SpecError(
            f"{len(found)} versions begin with {prefix!r}",
            code="no-such-version",
            about=name,
            hint="give at least 6 digits of one version",
        )
    return found[0]
