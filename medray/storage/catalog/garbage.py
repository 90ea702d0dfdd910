"""Garbage: what abandoned attempts, ended runs and interrupted writes left behind.

Only what nobody names is garbage, and only when it is old, by the store's own clock. Age is a
courtesy: it spares what is under way. That nothing goes which somebody commits afterwards doesn't
rest on it, since writers sleep and clocks are wrong:

- A shard, or a package's files: a fence first takes the right to commit from every attempt that
  was begun before (`medray.storage.store.fence`). What a record names is never taken.
- Records of attempts: of committed units only. They count deaths, and nobody commits by them.
- Tables of units: one that a version names meanwhile is put back; who publishes looks for it, too.
- Checkpoints: each is held against its hashes, so one that lacks a file is passed over.
- Cut writes: whoever still writes one finds it gone, and writes it again.
- Probes: who asks meanwhile asks again.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from medray.clock import SYSTEM, Clock
from medray.errors import DataError
from medray.storage.catalog import audit
from medray.storage.catalog.datasets import Dataset, open_dataset
from medray.storage.catalog.ledger import Ledger
from medray.storage.catalog.manifest import units_path
from medray.storage.catalog.models import folder_of, manifest_path, named_folder
from medray.storage.catalog.versions import is_name, versions_of
from medray.storage.store import fence
from medray.storage.store.listing import Entry
from medray.storage.store.objects import Objects
from medray.storage.store.probe import store_time


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


@dataclass(frozen=True)
class _Found:
    """What nobody names.

    Args:
        path: below the root.
        why: nobody needs it.
        entries: that it is made of.
        beside: objects that must be as old, too: of the same unit, which may be under way.
        claim: takes from everybody the right to name it; False: somebody does by now.
    """

    path: str
    why: str
    entries: Sequence[Entry]
    beside: Sequence[Entry] = ()
    claim: Callable[[], bool] = lambda: True

    def is_older(self, before: float) -> bool:
        """Whether all of it was written before a time."""
        return all(entry.modified < before for entry in (*self.entries, *self.beside))

    @property
    def garbage(self) -> Garbage:
        """As it is told of."""
        size = sum(entry.size for entry in self.entries)
        paths = sorted(entry.path for entry in self.entries)
        return Garbage(self.path, self.why, size, tuple(paths))


def collect(
    objects: Objects,
    *,
    age_s: float,
    delete: bool = False,
    clock: Clock = SYSTEM,
    spared: list[DataError] | None = None,
) -> list[Garbage]:
    """Find garbage, and delete it if asked to.

    Args:
        objects: the storage root.
        age_s: nothing with an object younger than this is garbage.
        delete: whether to delete it. What somebody commits meanwhile stays.
        clock: stamps the audit's entry.
        spared: damage that hides what is named, so that nothing it may name is garbage, is written
            here; the rest goes on.
    """
    before = store_time(objects) - age_s
    every = _candidates(objects, [] if spared is None else spared)
    found = [one for one in every if one.entries and one.is_older(before)]
    if not delete:
        return [one.garbage for one in found]
    gone = []
    for one in found:
        if one.claim():
            gone.append(one.garbage)
            objects.delete(gone[-1].objects)
    if gone:
        details = {"leftovers": len(gone), "bytes": sum(garbage.bytes for garbage in gone)}
        audit.record(objects, what="gc", about=objects.url, details=details, clock=clock)
    return gone


def _candidates(objects: Objects, spared: list[DataError]) -> Iterator[_Found]:
    for name in filter(is_name, objects.folders("datasets")):
        yield from _of_dataset(objects, name, spared)
    for name in filter(is_name, objects.folders("models")):
        yield from _of_model(objects, name, spared)
    for run in objects.folders("runs"):
        if objects.exists(f"runs/{run}/result.json"):
            folds = [f"runs/{run}/folds/{one}" for one in objects.folders(f"runs/{run}/folds")]
            for root in (f"runs/{run}", *folds):
                for folder in (f"{root}/checkpoints", f"{root}/ray"):
                    yield _Found(folder, "the training is done", list(objects.walk(folder)))
    for entry in objects.walk("probe"):
        yield _Found(entry.path, "a check was cut", [entry])
    for entry in objects.cut_writes():
        yield _Found(entry.path, "its write was cut", [entry])


def _of_dataset(objects: Objects, name: str, spared: list[DataError]) -> Iterator[_Found]:
    root = f"datasets/{name}"
    ledger = Ledger(objects, name)
    try:
        versions = _versions(objects, name)
        named = {path for one in versions for path in one.units.column("path")}
    except DataError as error:
        spared.append(error)  # what a damaged version names can't be told
        return
    yield from _tables(objects, name, {_table(one) for one in versions})
    shards: dict[str, list[str]] = {unit: [] for unit in objects.folders(f"{root}/attempts")}
    for shard in objects.folders(f"{root}/shards"):
        shards.setdefault(shard.rpartition("-")[0], []).append(f"{root}/shards/{shard}")
    for unit, folders in sorted(shards.items()):
        try:
            commit = ledger.commit_of(unit)
        except DataError as error:
            spared.append(error)  # which attempt won can't be told, so all of them stay
            continue
        records = list(objects.walk(f"{root}/attempts/{unit}"))
        lost = {
            folder: list(objects.walk(folder))
            for folder in folders
            if folder not in named and (commit is None or folder != commit.shard.path)
        }
        beside = [] if commit else [*records, *(one for found in lost.values() for one in found)]
        for folder, entries in lost.items():
            claim = _committed if commit else partial(ledger.take, unit)
            yield _Found(folder, "its attempt was not committed", entries, beside, claim)
        if commit:
            yield _Found(f"{root}/attempts/{unit}", "the unit is committed", records)


def _committed() -> bool:
    return True  # by another attempt, so no other one can


def _tables(objects: Objects, name: str, named: set[str]) -> Iterator[_Found]:
    """Tables of units that no version names, whose publishing was cut."""
    for entry in objects.walk(f"datasets/{name}/units"):
        if entry.path not in named:
            claim = partial(_table_taken, objects, name, entry.path)
            yield _Found(entry.path, "no version names it", [entry], (), claim)


def _table(version: Dataset) -> str:
    return units_path(version.name, version.manifest.units.table)


def _table_taken(objects: Objects, name: str, path: str) -> bool:
    """Take a table of units away, unless a version names it by now."""
    try:
        data = objects.get(path)
    except FileNotFoundError:
        return False
    objects.delete([path])
    free = False
    try:
        free = all(_table(one) != path for one in _versions(objects, name))
    finally:  # also where the store fails, or a version is damaged
        if not free:
            objects.put_new(path, data)
    return free


def _of_model(objects: Objects, name: str, spared: list[DataError]) -> Iterator[_Found]:
    for folder in objects.folders(f"models/{name}"):
        version, _, attempt = folder.partition("-")
        if not attempt:
            continue  # the manifests'
        path = manifest_path(name, version)
        try:
            named = named_folder(objects, name, version)
        except DataError as error:
            spared.append(error)  # what a damaged manifest names can't be told
            continue
        if named == folder:
            continue
        entries = list(objects.walk(folder_of(name, folder)))
        claim = _committed if named else partial(fence.take, objects, path)
        yield _Found(folder_of(name, folder), "no version names it", entries, (), claim)


def _versions(objects: Objects, name: str) -> list[Dataset]:
    """All versions: what any of them names stays, whatever became of its records."""
    found = versions_of(objects, f"datasets/{name}/versions")
    return [open_dataset(objects, f"{name}@{version}") for version in found]
