"""Verify: read everything a version names and hold it against its hashes."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

from blake3 import blake3

from medray.errors import DataError, MedrayError
from medray.ids import short
from medray.storage import audit
from medray.storage.datasets import Dataset, open_dataset
from medray.storage.ledger import Commit, commit_path
from medray.storage.manifest import (
    SCHEMA,
    Entries,
    Manifest,
    UnitEntry,
    head_of,
    manifest_path,
)
from medray.storage.models import ModelPackage, folder_of, open_model
from medray.storage.objects import Objects
from medray.storage.quarantine import path_of
from medray.storage.threads import spread
from medray.storage.versions import check_name, heads, is_name, lost_head, read_head, room_of

THREADS = 8
UNITS = 512  # at a time: what their records list is held


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
        problems = [] if "@" in reference else _head_faults(dataset)
        checked, found = verify_dataset(dataset)
    except DataError as error:
        return 1, [Problem(error.about, error.message)]
    return checked, [*problems, *found]


def _head_faults(dataset: Dataset) -> list[Problem]:
    if read_head(dataset.objects, "datasets", dataset.name) == head_of(dataset.manifest):
        return []
    path = f"datasets/{dataset.name}/HEAD"
    return [Problem(path, "it does not say what its version holds")]


def verify_dataset(dataset: Dataset) -> Checked:
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
        for start in range(0, len(dataset.units), UNITS):
            entries = dataset.units[start : start + UNITS]
            records = spread(pool, partial(_record, dataset), entries)
            problems += [found for found in records if isinstance(found, Problem)]
            files = [file for found in records if not isinstance(found, Problem) for file in found]
            checked += len(entries) + len(files)
            faults = spread(pool, lambda file: _file_fault(objects, *file), files)
            problems += [problem for problem in faults if problem is not None]
    count, refusals = _quarantine_faults(dataset)
    return checked + count, problems + refusals


def verify_model(model: ModelPackage) -> Checked:
    """Every file of the package; its manifest was held against its name when it was opened."""
    problems = []
    for name, (size, sha256) in model.files.items():
        file = f"{folder_of(model.name, model.folder)}/{name}"
        problem = _file_fault(model.objects, file, size, sha256, hashlib.sha256)
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


def _record(dataset: Dataset, entry: UnitEntry) -> list[File] | Problem:
    """The files that a unit's commit names, or what is wrong with its record."""
    path = commit_path(dataset.name, entry.unit)
    try:
        data = dataset.objects.get(path)
        if blake3(data).hexdigest() == entry.record:
            return _files(json.loads(data)["shard"])
        made = UnitEntry.of(Commit.decode(data, path))
    except FileNotFoundError:
        return Problem(path, "missing")
    except MedrayError as error:
        return Problem(path, error.message)
    changed = [field for field in SCHEMA.names if getattr(made, field) != getattr(entry, field)]
    return Problem(path, f"its {changed[0]} is not that of the manifest")


def _files(shard: Mapping[str, Any]) -> list[File]:
    """The files of a shard, as a record that is held to be true names them."""
    path = shard["path"]
    return [
        (f"{path}/{name}", size, known, blake3) for name, (size, known) in shard["files"].items()
    ]


def _file_fault(
    objects: Objects, path: str, size: int, known: str, hashed: Callable[[bytes], Any]
) -> Problem | None:
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
