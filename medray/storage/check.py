"""Verify: read everything a version names and hold it against its hashes."""

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from blake3 import blake3

from medray.errors import DataError, MedrayError
from medray.ids import canonical, short
from medray.storage import audit
from medray.storage.datasets import Dataset, open_dataset
from medray.storage.ledger import Commit, Ledger
from medray.storage.models import ModelPackage, open_model
from medray.storage.objects import Objects
from medray.storage.quarantine import content_of, path_of, read_quarantine
from medray.storage.versions import check_name

THREADS = 8


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


def verify_all(objects: Objects) -> Checked:
    """The newest version of every dataset and model, and the audit log.

    Returns:
        How many objects were checked, and what is wrong.
    """
    checked, problems = 0, []
    for room in ("datasets", "models"):
        for name in objects.folders(room):
            if objects.exists(f"{room}/{name}/HEAD"):
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
    is_model = not objects.exists(f"datasets/{name}/HEAD") and objects.exists(f"models/{name}/HEAD")
    return _verify(objects, "models" if is_model else "datasets", reference)


def _verify(objects: Objects, room: str, reference: str) -> Checked:
    try:
        if room == "models":
            return verify_model(open_model(objects, reference))
        return verify_dataset(open_dataset(objects, reference))
    except DataError as error:
        return 1, [Problem(error.about, error.message)]


def verify_dataset(dataset: Dataset) -> Checked:
    """Manifest, commit records, quarantine and every object of every shard."""
    objects, manifest = dataset.objects, dataset.manifest
    path = f"datasets/{dataset.name}/versions/{dataset.version}.json"
    problems = [Problem(path, what) for what in _manifest_faults(manifest)]
    ledger = Ledger(objects, dataset.name)
    checked = 1
    with ThreadPoolExecutor(THREADS) as pool:
        for entry in manifest["shards"]:
            record = f"datasets/{dataset.name}/commits/{entry['unit']}.json"
            checked += 1
            try:
                commit = ledger.commit_of(entry["unit"])
            except DataError as error:
                problems.append(Problem(record, error.message))
                continue
            if commit is None:
                problems.append(Problem(record, "missing"))
                continue
            refused = manifest["quarantine"].get(path_of(dataset.name, commit.unit))
            problems += [Problem(record, what) for what in _record_faults(commit, entry, refused)]
            files = [
                (f"{commit.shard.path}/{name}", size, known, blake3)
                for name, (size, known) in commit.shard.files.items()
            ]
            checked += len(files)
            found = pool.map(lambda file: _file_fault(objects, *file), files)
            problems += [problem for problem in found if problem is not None]
    count, faults = _quarantine_faults(dataset)
    return checked + count, problems + faults


def verify_model(model: ModelPackage) -> Checked:
    """Every file of the package; its manifest was held against its name when it was opened."""
    problems = []
    for name, (size, sha256) in model.files.items():
        file = f"models/{model.name}/{model.version}/{name}"
        problem = _file_fault(model.objects, file, size, sha256, hashlib.sha256)
        problems += [problem] if problem else []
    return 1 + len(model.files), problems


def _manifest_faults(manifest: dict[str, Any]) -> Iterator[str]:
    """What the version's name, a hash that was checked on opening, does not vouch for."""
    if short([shard["content"] for shard in manifest["shards"]]) != manifest["digest"]:
        yield "the digest is not that of the shards"
    if sum(shard["rows"] for shard in manifest["shards"]) != manifest["samples"]:
        yield "the shards' rows don't add up to the samples"
    inputs = manifest["inputs"]
    if inputs["planned"] != inputs["committed"] + inputs["quarantined"]:
        yield "planned inputs are not committed plus quarantined"


def _record_faults(commit: Commit, entry: dict[str, Any], refused: str | None) -> Iterator[str]:
    shard = commit.shard
    if (content_of(commit.refused) if commit.refused else None) != refused:
        yield "its refusals are not those of the manifest"
    for field in ("path", "rows", "bytes", "sha256", "content"):
        if getattr(shard, field) != entry[field]:
            yield f"its {field} is not that of the manifest"
    if hashlib.sha256(canonical(shard.files)).hexdigest() != shard.sha256:
        yield "the list of its files was altered"


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
    tables: dict[str, str] = dataset.manifest["quarantine"]
    problems = []
    for path, content in tables.items():
        try:
            rows = read_quarantine(dataset.objects, [path]).to_pylist()
        except DataError as error:
            problems.append(Problem(path, error.message))
            continue
        if short(rows) != content:
            problems.append(Problem(path, "its rows are not those that were committed"))
    return len(tables), problems
