"""Publishing: committed units become the next version of a dataset, and HEAD names it."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from medray.clock import SYSTEM, Clock, stamp
from medray.errors import DamageError
from medray.faults import point
from medray.ids import short
from medray.storage.catalog.commits import Commits
from medray.storage.catalog.datasets import Dataset, open_dataset
from medray.storage.catalog.manifest import (
    Counts,
    Manifest,
    Units,
    encode,
    head_of,
    manifest_path,
    units_path,
)
from medray.storage.catalog.quarantine import forget_refusals, write_quarantine
from medray.storage.catalog.versions import check_name, move_head
from medray.storage.shards.reader import Shard
from medray.storage.shards.records import Refusal
from medray.storage.shards.rows import joined
from medray.storage.shards.schema import ArraySpec, united
from medray.storage.store.damage import damage
from medray.storage.store.objects import Objects


def publish(
    objects: Objects,
    name: str,
    *,
    kind: str,
    spec: str,
    commits: Commits,
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
    units = _write_units(objects, name, commits)
    quarantined = write_quarantine(objects, name, commits, refused)
    columns, arrays = _schema(objects, commits)
    planned = sum(commits.column("inputs")) + len(refused)
    made = Manifest(
        name=name,
        version="",
        kind=kind,
        created=stamp(clock),
        digest=short(commits.column("content")),
        spec=spec,
        parents=parents,
        attributes=json.loads(json.dumps(attributes or {})),
        inputs=Counts(
            planned=planned,
            committed=planned - quarantined.inputs - quarantined.passed_over,
            quarantined=quarantined.inputs,
            passed_over=quarantined.passed_over,
        ),
        samples=sum(commits.column("rows")),
        bytes=sum(commits.column("bytes")),
        columns=columns,
        arrays=arrays,
        refused=quarantined.refused,
        units=units,
    )
    made = replace(made, version=made.identity)
    point("publish.before-manifest")
    data = json.dumps(asdict(made)).encode()
    _keep(objects, manifest_path(name, made.version), data, partial(_is_whole, objects, made))
    point("publish.before-head")
    # gc may have taken the table while no version named it.
    if not _has_table(objects, name, units):
        _write_units(objects, name, commits)
    dataset = open_dataset(objects, f"{name}@{made.version}")
    move_head(objects, f"datasets/{name}/HEAD", head_of(dataset.manifest))
    point("publish.after-head")
    forget_refusals(objects, name)
    return dataset


def _require_shards(objects: Objects, name: str, commits: Commits) -> None:
    """Never name a shard that is not there, whoever took it away."""
    root = f"datasets/{name}/shards"
    standing = set(objects.folders(root))
    for path in commits.column("path"):
        if path.removeprefix(f"{root}/") in standing:
            continue
        if not any(objects.walk(path)):  # asked for by name: no sum guards a store's listings
            raise damage("the shard that was committed is gone", "missing-shard", path)


def _write_units(objects: Objects, name: str, commits: Commits) -> Units:
    """Write the table of units, unless it stands there."""
    data, units = encode(commits.table)
    if not _has_table(objects, name, units):
        objects.put(units_path(name, units.table), data)
    return units


def _has_table(objects: Objects, name: str, units: Units) -> bool:
    try:
        found = objects.sums_of(units_path(name, units.table), [])
    except (FileNotFoundError, DamageError):
        return False
    return found.whole.startswith(units.table)


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
    standing = open_dataset(objects, f"{made.name}@{made.version}")
    # A table of the same name was held against it just now.
    return standing.manifest.units == made.units or len(standing.units) == made.units.count


def _schema(objects: Objects, commits: Commits) -> tuple[dict[str, str], dict[str, ArraySpec]]:
    """Columns of the samples and their types, and what their arrays are, of one shard of each form
    that there is."""
    pairs = zip(commits.column("schema"), commits.column("rows"), strict=True)
    first: dict[str, int] = {}
    for number, (schema, rows) in enumerate(pairs):
        if rows:
            first.setdefault(schema, number)
    shards = [Shard(objects, one) for one in commits.take(list(first.values())).pinned()]
    if not shards:
        return {}, {}
    table = joined([shard.table.slice(0, 0) for shard in shards])
    columns = {field.name: str(field.type) for field in table.schema}
    return columns, united(shard.schema for shard in shards)
