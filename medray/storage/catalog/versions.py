"""Names, versions, and the HEAD that names the newest: what datasets and models share.

<root>/<kind>/<name>/HEAD names a version; versions/<version>.json is its manifest.
"""

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from medray.errors import DamageError, DataError, SpecError
from medray.ids import canonical
from medray.storage.store.damage import damage
from medray.storage.store.documents import Count, Id, read
from medray.storage.store.fence import FENCE_BYTES
from medray.storage.store.objects import Objects

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,127}")
_MANIFEST = re.compile(r"([0-9a-f]{32})\.json")


def is_name(name: str) -> bool:
    """Whether it can be the name of a dataset or model."""
    return _NAME.fullmatch(name) is not None and ".." not in name


def check_name(name: str) -> str:
    """`name`, if it can name a dataset or model.

    Raises:
        SpecError: it can't (code "bad-name").
    """
    if not is_name(name):
        raise SpecError(
            "a name is made of a-z, 0-9, '.', '_' and '-'", code="bad-name", about=repr(name)
        )
    return name


@dataclass(frozen=True)
class Head:
    """What HEAD holds: the newest version, and what a list of datasets and models says of it.

    Args:
        version: the newest.
        kind: of the job that made it.
        created: when; empty for a model.
        samples: that it has; None for a model.
        quarantined: inputs that it lacks; None for a model.
        samples_quarantined: what it lacks of the others; None for a model.
        passed_over: inputs that nobody asked for; None for a model.
    """

    version: Id
    kind: str
    created: str = ""
    samples: Count | None = None
    quarantined: Count | None = None
    samples_quarantined: Count | None = None
    passed_over: Count | None = None

    @property
    def known(self) -> dict[str, Any]:
        """What it says, by field."""
        return {name: value for name, value in asdict(self).items() if value not in ("", None)}


def read_head(objects: Objects, room: str, name: str) -> Head:
    """The HEAD of a dataset or a model.

    Args:
        objects: the storage root.
        room: "datasets" or "models".
        name: of the dataset or model.

    Raises:
        FileNotFoundError: there is none.
        DataError: it is damaged (code "damaged-record").
    """
    return read(objects, f"{room}/{name}/HEAD", Head)


def heads(objects: Objects, room: str) -> dict[str, Head | DataError]:
    """The HEAD of all that stands in a room, by name, or what is wrong with it.

    What has none yet, and what can't be ours by its name, is left out.
    """

    def look(name: str) -> Head | DataError | None:
        try:
            return read_head(objects, room, name)
        except FileNotFoundError:
            return None
        except DataError as error:
            return error

    names = [name for name in objects.folders(room) if is_name(name)]
    with ThreadPoolExecutor(objects.profile.concurrency) as pool:
        found = zip(names, pool.map(look, names), strict=True)
        return {name: head for name, head in found if head is not None}


def move_head(objects: Objects, path: str, head: Head) -> None:
    """Make `head` the HEAD by compare-and-swap; a race is run again until one order holds.

    A damaged one is replaced: this is how running the job again mends it.
    """
    data = canonical(head.known)
    while True:
        try:
            standing, tag = objects.get_tagged(path)
            if standing == data:
                return
        except FileNotFoundError:
            tag = None
        if objects.swap(path, data, tag):
            return


def damaged_manifest(path: str) -> DamageError:
    """The error for a manifest, or a table of units, that is not what its name says."""
    return damage("altered: its content is not what its name says", "damaged-manifest", path)


def lost_version(path: str) -> DamageError:
    """The error for a HEAD that names a version that is not there."""
    return damage("names a version that is not there", "lost-version", path)


def lost_head(objects: Objects, room: str, name: str) -> DamageError | None:
    """The error for versions without a HEAD; None where there is no version either."""
    if not versions_of(objects, f"{room}/{name}/versions"):
        return None
    return damage("missing", "lost-head", f"{room}/{name}/HEAD")


def room_of(objects: Objects, name: str) -> str:
    """Whether `name` is of "datasets" or "models"; where it is of neither, of datasets."""
    for room in ("datasets", "models"):
        if objects.exists(f"{room}/{name}/HEAD"):
            return room
    return "models" if lost_head(objects, "models", name) else "datasets"


def versions_of(objects: Objects, folder: str) -> list[str]:
    """Versions whose manifests stand in a folder, sorted; what else lies there is passed over."""
    entries = (entry for entry in objects.walk(folder) if entry.size != FENCE_BYTES)
    names = (entry.path.removeprefix(f"{folder}/") for entry in entries)
    return sorted(found[1] for found in map(_MANIFEST.fullmatch, names) if found)


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
    found = [version for version in versions_of(objects, folder) if version.startswith(prefix)]
    if len(found) != 1 or len(prefix) < 6:
        raise SpecError(
            f"{len(found)} versions begin with {prefix!r}",
            code="no-such-version",
            about=name,
            hint="give at least 6 digits of one version",
        )
    return found[0]
