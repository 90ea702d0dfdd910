"""Garbage: what abandoned attempts, ended runs and interrupted writes left behind.

Only what nobody names is garbage, and only when it is old: an attempt may be about to commit.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from medray.clock import SYSTEM, Clock
from medray.errors import DataError
from medray.storage import audit
from medray.storage.datasets import open_dataset
from medray.storage.ledger import Ledger
from medray.storage.objects import Entry, Objects
from medray.storage.versions import versions_of


@dataclass(frozen=True)
class Garbage:
    """A folder, or an object, that can go.

    Args:
        path: below the root.
        why: nobody needs it.
        bytes: of its objects.
        objects: that it is made of.
    """

    path: str
    why: str
    bytes: int
    objects: tuple[str, ...]


def collect(
    objects: Objects, *, age_s: float, delete: bool = False, clock: Clock = SYSTEM
) -> list[Garbage]:
    """Find garbage, and delete it if asked to.

    Args:
        objects: the storage root.
        age_s: nothing with an object younger than this is garbage.
        delete: whether to delete it.
        clock: says how old objects are.
    """
    before = clock.now().timestamp() - age_s
    found = [
        Garbage(
            path,
            why,
            sum(entry.size for entry in entries),
            tuple(sorted(entry.path for entry in entries)),
        )
        for path, why, entries in _candidates(objects)
        if entries and all(entry.modified < before for entry in entries)
    ]
    if delete and found:
        for garbage in found:
            objects.delete(garbage.objects)
        details = {"leftovers": len(found), "bytes": sum(garbage.bytes for garbage in found)}
        audit.record(objects, what="gc", about=objects.url, details=details, clock=clock)
    return found


def _candidates(objects: Objects) -> Iterator[tuple[str, str, list[Entry]]]:
    for name in objects.folders("datasets"):
        yield from _of_dataset(objects, name)
    for name in objects.folders("models"):
        for version in objects.folders(f"models/{name}"):
            folder = f"models/{name}/{version}"
            manifest = f"models/{name}/versions/{version}.json"
            if version != "versions" and not objects.exists(manifest):
                yield folder, "no version names it", list(objects.walk(folder))
    for run in objects.folders("runs"):
        if objects.exists(f"runs/{run}/result.json"):
            folds = [f"runs/{run}/folds/{one}" for one in objects.folders(f"runs/{run}/folds")]
            for root in (f"runs/{run}", *folds):
                for folder in (f"{root}/checkpoints", f"{root}/ray"):
                    yield folder, "the training is done", list(objects.walk(folder))
    for entry in objects.walk("probe"):
        yield entry.path, "a check was cut", [entry]
    for entry in objects.cut_writes():
        yield entry.path, "its write was cut", [entry]


def _of_dataset(objects: Objects, name: str) -> Iterator[tuple[str, str, list[Entry]]]:
    root = f"datasets/{name}"
    ledger = Ledger(objects, name)
    units = set(objects.folders(f"{root}/attempts"))
    shards = objects.folders(f"{root}/shards")
    units.update(shard.rsplit("-", 1)[0] for shard in shards)
    named = _named_by_versions(objects, name)
    committed: dict[str, str] = {}
    for unit in units:
        try:
            commit = ledger.commit_of(unit)
        except DataError:
            # Which attempt won can't be told, so all of them stay.
            named.update(f"{root}/shards/{shard}" for shard in shards if shard.startswith(unit))
            continue
        if commit is not None:
            committed[unit] = commit.shard.path
    for shard in shards:
        folder = f"{root}/shards/{shard}"
        if folder not in named and folder != committed.get(shard.rsplit("-", 1)[0]):
            yield folder, "its attempt was not committed", list(objects.walk(folder))
    for unit in sorted(committed):
        folder = f"{root}/attempts/{unit}"
        yield folder, "the unit is committed", list(objects.walk(folder))


def _named_by_versions(objects: Objects, name: str) -> set[str]:
    """Shards that any version names, whatever became of their commit records."""
    named: set[str] = set()
    for version in versions_of(objects, f"datasets/{name}/versions"):
        named.update(open_dataset(objects, f"{name}@{version}").units.column("path"))
    return named
