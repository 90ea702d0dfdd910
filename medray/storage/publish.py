"""Publishing: committed units become the next version of a dataset, and HEAD names it."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from medray.clock import SYSTEM, Clock, stamp
from medray.errors import DamageError
from medray.faults import point
from medray.ids import short
from medray.storage.damage import damage
from medray.storage.datasets import Dataset, open_dataset
from medray.storage.ledger import Commit
from medray.storage.manifest import (
    Counts,
    Manifest,
    UnitEntry,
    encode,
    hash_of,
    head_of,
    manifest_path,
    units_path,
)
from medray.storage.objects import Objects
from medray.storage.quarantine import forget_refusals, write_quarantine
from medray.storage.records import Refusal
from medray.storage.rows import joined
from medray.storage.shards import Shard
from medray.storage.versions import check_name, move_head


def publish(
    objects: Objects,
    name: str,
    *,
    kind: str,
    spec: str,
    commits: list[Commit],
    refused: list[Refusal],
    parents: list[str],
    attributes: dict[str, Any] | None = None,
    clock: Clock = SYSTEM,
) -> Dataset:
    """Make the next version of `name` of committed units, in plan order, and move HEAD to it.

    Publishing the same again changes nothing, so it can be interrupted anywhere and repeated.

    Args:
        kind: of the job that made it.
        spec: hash of the resolved step.
        commits: one per unit, in the plan's order.
        refused: inputs turned away while planning.
        parents: versions it was made of, as "name@version".
        attributes: what readers need besides, JSON-able (classes, metrics).
    """
    check_name(name)
    _require_shards(objects, name, commits)
    entries = [UnitEntry.of(commit) for commit in commits]
    table, units = encode(entries)
    quarantined = write_quarantine(objects, name, commits, refused)
    planned = sum(commit.inputs for commit in commits) + len(refused)
    made = Manifest(
        name=name,
        version="",
        kind=kind,
        created=stamp(clock),
        digest=short([entry.content for entry in entries]),
        spec=spec,
        parents=parents,
        attributes=json.loads(json.dumps(attributes or {})),
        inputs=Counts(
            planned=planned,
            committed=planned - quarantined.inputs - quarantined.passed_over,
            quarantined=quarantined.inputs,
            passed_over=quarantined.passed_over,
        ),
        samples=sum(entry.rows for entry in entries),
        bytes=sum(entry.bytes for entry in entries),
        columns=_columns(objects, commits),
        refused=quarantined.refused,
        units=units,
    )
    made = replace(made, version=made.identity)
    path = units_path(name, units.table)
    _keep(objects, path, table, lambda: hash_of(objects.get(path)) == units.table)
    point("publish.before-manifest")
    data = json.dumps(asdict(made)).encode()
    _keep(objects, manifest_path(name, made.version), data, partial(_is_whole, objects, made))
    point("publish.before-head")
    # gc may have taken the table while no version named it.
    _keep(objects, path, table, lambda: hash_of(objects.get(path)) == units.table)
    dataset = open_dataset(objects, f"{name}@{made.version}")
    move_head(objects, f"datasets/{name}/HEAD", head_of(dataset.manifest))
    point("publish.after-head")
    forget_refusals(objects, name)
    return dataset


def _require_shards(objects: Objects, name: str, commits: Sequence[Commit]) -> None:
    """Never name a shard that is not there, whoever took it away."""
    standing = set(objects.folders(f"datasets/{name}/shards"))
    for commit in commits:
        if commit.shard.path.rpartition("/")[2] not in standing:
            raise damage("the shard that was committed is gone", "missing-shard", commit.shard.path)


def _keep(objects: Objects, path: str, data: bytes, is_sound: Callable[[], bool]) -> None:
    """Write an object whose name says what it holds; what stands there stays, unless damaged."""
    if objects.put_new(path, data):
        return
    try:
        if is_sound():
            return
    except DamageError:
        pass
    objects.put(path, data)


def _is_whole(objects: Objects, made: Manifest) -> bool:
    """Whether a version can be opened, and has its units."""
    return len(open_dataset(objects, f"{made.name}@{made.version}").units) == made.units.count


def _columns(objects: Objects, commits: list[Commit]) -> dict[str, str]:
    """Columns of the samples and their types, of one table of each form that there is."""
    first = {one.shard.schema: one.shard for one in reversed(commits) if one.shard.rows}
    tables = [Shard(objects, shard.pinned).table.slice(0, 0) for shard in first.values()]
    return {field.name: str(field.type) for field in joined(tables).schema} if tables else {}
