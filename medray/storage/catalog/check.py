"""Verify: read everything a version names and hold it against its hashes."""

import hashlib
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from itertools import compress
from typing import Any, NamedTuple

from blake3 import blake3

from medray.errors import DataError, MedrayError
from medray.ids import short
from medray.storage.catalog import audit
from medray.storage.catalog.commit import Commit
from medray.storage.catalog.commits import Commits
from medray.storage.catalog.datasets import Dataset, open_dataset
from medray.storage.catalog.ledger import Ledger, commit_path, successor, successor_path
from medray.storage.catalog.manifest import (
    SCHEMA,
    Entries,
    Manifest,
    UnitEntry,
    head_of,
    manifest_path,
)
from medray.storage.catalog.models import ModelPackage, folder_of, open_model
from medray.storage.catalog.quarantine import path_of
from medray.storage.catalog.versions import (
    check_name,
    heads,
    is_name,
    lost_head,
    read_head,
    room_of,
)
from medray.storage.catalog.vouch import Vouchers
from medray.storage.shards.records import TABLE, sum_of_table
from medray.storage.store.objects import Objects
from medray.storage.store.sound import LARGEST
from medray.storage.store.threads import spread

THREADS = 8
UNITS = 512  # at a time: what their records list is held
MANY = 4096  # units, which others are asked about: they take 0.1 s to begin
FEW = 8  # files of a unit, that are read in the same thread as its record


@dataclass(frozen=True)
class Problem:
    """Something that is not as it was committed.

    Args:
        path: of the object, below the root.
        what: is wrong with it.
    """

    path: str
    what: str


Checked = tuple[int, list[Problem]]
File = tuple[str, int, str, Callable[[bytes], Any]]  # path, bytes, hash, what hashes it


def verify_all(objects: Objects) -> Checked:
    """The newest version of every dataset and model, and the audit log.

    Returns:
        How many objects were checked, and what is wrong.
    """
    checked, problems = 0, []
    for room in ("datasets", "models"):
        known = heads(objects, room)
        lost = (name for name in objects.folders(room) if is_name(name) and name not in known)
        for name in (*known, *(name for name in lost if lost_head(objects, room, name))):
            count, found = _verify(objects, room, name)
            checked += count
            problems += found
    entries = audit.verify(objects)
    problems += [Problem(*entry.split(": ", 1)) for entry in entries]
    return checked + len(audit.entries(objects)), problems


def verify_reference(objects: Objects, reference: str) -> Checked:
    """One version of a dataset or model.

    Returns:
        How many objects were checked, and what is wrong.

    Raises:
        SpecError: there is no such dataset or model.
    """
    name = check_name(reference.partition("@")[0])
    return _verify(objects, room_of(objects, name), reference)


def _verify(objects: Objects, room: str, reference: str) -> Checked:
    try:
        if room == "models":
            return verify_model(open_model(objects, reference))
        dataset = open_dataset(objects, reference)
        with _vouchers(dataset) as vouchers:
            problems = []
            if "@" not in reference:
                problems = [*_head_faults(dataset), *_successor_faults(dataset)]
            checked, found = _verify_dataset(dataset, vouchers)
    except DataError as error:
        return 1, [Problem(error.about, error.message)]
    return checked, [*problems, *found]


def _head_faults(dataset: Dataset) -> list[Problem]:
    if read_head(dataset.objects, "datasets", dataset.name) == head_of(dataset.manifest):
        return []
    path = f"datasets/{dataset.name}/HEAD"
    return [Problem(path, "it does not say what its version holds")]


def _successor_faults(dataset: Dataset) -> list[Problem]:
    """Units whose successors are committed, and of which nothing says that they gave way: plans
    would have them again, damaged as they may be."""
    objects, name = dataset.objects, dataset.name
    if objects.count(f"datasets/{name}/commits") <= len(dataset.units):
        return []  # nobody is there beside those that the version names
    done = Ledger(objects, name).done()
    kept = {entry.path for entry in objects.walk(f"datasets/{name}/successors")}
    paths = [successor_path(name, unit) for unit in sorted(done) if successor(unit) in done]
    return [Problem(path, "missing: the unit gave way") for path in paths if path not in kept]


def _vouchers(dataset: Dataset) -> AbstractContextManager[Vouchers | None]:
    """Others to ask about a dataset of many units on a disk. They begin while all else is done."""
    folder = dataset.objects.folder
    if folder is None or len(dataset.units) < MANY:
        return nullcontext()
    return Vouchers(folder)


def _verify_dataset(dataset: Dataset, vouchers: Vouchers | None) -> Checked:
    """Manifest, commit records, quarantine and every object of every shard."""
    objects, checked = dataset.objects, 2
    try:
        problems = [
            Problem(manifest_path(dataset.name, dataset.version), what)
            for what in _manifest_faults(dataset.manifest, dataset.units)
        ]
    except DataError as error:
        return checked, [Problem(error.about, error.message)]
    with ThreadPoolExecutor(THREADS) as pool:
        for sound, numbers in _unvouched(dataset, vouchers):
            looks = spread(pool, partial(_look, dataset), numbers)
            rest = [file for look in looks for file in look.rest]
            faults = spread(pool, partial(_file_fault, objects), rest)
            checked += 2 * sound + sum(look.checked for look in looks) + len(rest)
            problems += [problem for look in looks for problem in look.problems]
            problems += [problem for problem in faults if problem]
    count, refusals = _quarantine_faults(dataset)
    return checked + count, problems + refusals


def verify_model(model: ModelPackage) -> Checked:
    """Every file of the package; its manifest was held against its name when it was opened."""
    problems = []
    for name, (size, sha256) in model.files.items():
        file = f"{folder_of(model.name, model.folder)}/{name}"
        problem = _file_fault(model.objects, (file, size, sha256, hashlib.sha256))
        problems += [problem] if problem else []
    return 1 + len(model.files), problems


def _manifest_faults(manifest: Manifest, units: Entries) -> Iterator[str]:
    """What the version's name, a hash that was checked on opening, does not vouch for."""
    if units.identity != manifest.units.rows:
        yield "the units are not those that the version was made of"
    if short(units.column("content")) != manifest.digest:
        yield "the digest is not that of the shards"
    if sum(units.column("rows")) != manifest.samples:
        yield "the shards' rows don't add up to the samples"
    if not manifest.inputs.add_up:
        yield "planned inputs are not committed plus quarantined plus passed over"


def _unvouched(dataset: Dataset, vouchers: Vouchers | None) -> Iterator[tuple[int, list[int]]]:
    """How many units are sound, and the numbers of those to be looked at, group by group."""
    count = len(dataset.units)
    starts = range(0, count, UNITS)
    if vouchers is None:
        yield from ((0, list(range(start, min(start + UNITS, count)))) for start in starts)
        return
    with ThreadPoolExecutor(vouchers.count + 1) as pool:  # one asks while the others wait
        yield from pool.map(partial(_ask, dataset, vouchers), starts)


def _ask(dataset: Dataset, vouchers: Vouchers, start: int) -> tuple[int, list[int]]:
    """Have others look at units that are a record and a small table."""
    names = ("unit", "record", "path", "bytes", "sha256", "table")
    rows = (dataset.units.array(name)[start : start + UNITS].to_pylist() for name in names)
    units, records, shards, sizes, sums, tables = rows
    few = [
        size < LARGEST and sum_of_table(size, table) == sha256
        for size, table, sha256 in zip(sizes, tables, sums, strict=True)
    ]
    paths = [commit_path(dataset.name, unit) for unit in compress(units, few)]
    paths += [f"{shard}/{TABLE}" for shard in compress(shards, few)]
    known = [*compress(records, few), *compress(tables, few)]
    sound = vouchers.vouch(paths, known)
    half = len(sound) // 2
    both = map(min, sound[:half], sound[half:])
    rest = [number for number, one in enumerate(few, start) if not (one and next(both))]
    return len(units) - len(rest), rest


class _Look(NamedTuple):
    """At a unit: how many objects were checked, what is wrong, and the files that are to be."""

    checked: int
    problems: list[Problem]
    rest: list[File]


def _look(dataset: Dataset, number: int) -> _Look:
    """Hold a unit's record against its hash, and its files, if these are a few."""
    unit: UnitEntry = dataset.units[number]
    path = commit_path(dataset.name, unit.unit)
    try:
        data = dataset.objects.get(path)
        if blake3(data).hexdigest() != unit.record:
            return _Look(1, [_alteration(path, unit, Commit.decode(data, path))], [])
    except FileNotFoundError:
        return _Look(1, [Problem(path, "missing")], [])
    except MedrayError as error:
        return _Look(1, [Problem(path, error.message)], [])
    files = _files(unit, data)
    if len(files) > FEW:
        return _Look(1, [], files)
    faults = (_file_fault(dataset.objects, file) for file in files)
    return _Look(1 + len(files), [fault for fault in faults if fault], [])


def _alteration(path: str, unit: UnitEntry, commit: Commit) -> Problem:
    """What of a unit is not as its version has it."""
    made, known = Commits.of([commit]).table.to_pylist()[0], asdict(unit)
    changed = [name for name in SCHEMA.names if made[name] != known[name]]
    return Problem(path, f"its {changed[0]} is not that of the manifest")


def _files(unit: UnitEntry, record: bytes) -> list[File]:
    """The files of a shard. Where all there is is a table, its version has said so already."""
    if sum_of_table(unit.bytes, unit.table) == unit.sha256:
        return [(f"{unit.path}/{TABLE}", unit.bytes, unit.table, blake3)]
    shard = json.loads(record)["shard"]
    named = shard["files"].items()
    return [(f"{shard['path']}/{name}", size, known, blake3) for name, (size, known) in named]


def _file_fault(objects: Objects, file: File) -> Problem | None:
    path, size, known, hashed = file
    try:
        data = objects.get(path)
    except FileNotFoundError:
        return Problem(path, "missing")
    except MedrayError as error:
        return Problem(path, error.message)
    if len(data) != size:
        return Problem(path, f"{len(data)} bytes instead of {size}")
    if hashed(data).hexdigest() != known:
        return Problem(path, "its content was altered")
    return None


def _quarantine_faults(dataset: Dataset) -> Checked:
    refused = dataset.manifest.refused
    if not refused.table:
        return 0, []
    path = path_of(dataset.name, refused.table)
    try:
        rows = dataset.quarantine().to_pylist()
    except DataError as error:
        return 1, [Problem(path, error.message)]
    if short(rows) != refused.table:
        return 1, [Problem(path, "its rows are not those that were committed")]
    return 1, []
