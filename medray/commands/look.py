"""Commands that look at datasets and models: ls, show, quarantine."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from medray.commands.output import json_option, print_json, print_table, say_damaged, storage_option

if TYPE_CHECKING:
    from medray.storage.catalog.datasets import Dataset
    from medray.storage.catalog.models import ModelPackage

COLUMNS = {
    **{name: name for name in ("name", "version", "kind", "samples", "quarantined")},
    "samples_quarantined": "and single samples",
    "passed_over": "passed over",
    "created": "created",
}  # of a list, and what they are called there


@click.command()
@storage_option
@json_option
def ls(storage: str | None, as_json: bool) -> None:
    """List datasets and models."""
    from medray.errors import DataError
    from medray.jobs.storage_by_name import known_storage
    from medray.storage.catalog.versions import heads

    objects = known_storage(storage)
    rows: list[dict[str, Any]] = []
    damaged: list[DataError] = []
    for room in ("datasets", "models"):
        for name, head in heads(objects, room).items():
            if isinstance(head, DataError):
                damaged.append(head)
            else:
                rows.append({"name": name, **head.known})
    if as_json:
        print_json({"datasets": rows, "damaged": [str(error) for error in damaged]})
    else:
        shown = [{**row, "version": row["version"][:8], "created": _minute(row)} for row in rows]
        cells = [[row.get(column) for column in COLUMNS] for row in shown]
        print_table(list(COLUMNS.values()), cells)
    say_damaged(damaged)


@click.command()
@click.argument("reference", metavar="NAME[@V]")
@storage_option
@click.option("--shards", "with_shards", is_flag=True, help="List a dataset's shards, too.")
@json_option
def show(reference: str, storage: str | None, with_shards: bool, as_json: bool) -> None:
    """Show one version of a dataset or model: what it holds, and what it was made of."""
    from medray.jobs.storage_by_name import open_reference
    from medray.storage.catalog.datasets import Dataset

    found = open_reference(reference, storage)
    facts = _of_dataset(found) if isinstance(found, Dataset) else _of_model(found)
    if with_shards and isinstance(found, Dataset):
        facts["shards"] = [asdict(entry) for entry in found.units]
    if as_json:
        print_json(facts)
        return
    if isinstance(found, Dataset):
        facts["arrays"] = found.manifest.arrays
    width = max(len(name) for name in facts)
    for name, value in facts.items():
        for index, line in enumerate(_lines(value)):
            click.echo(f"{name if index == 0 else '':<{width}}  {line}")


@click.command()
@click.argument("reference", metavar="NAME[@V]")
@storage_option
@json_option
def quarantine(reference: str, storage: str | None, as_json: bool) -> None:
    """List what a dataset, or a step that made none, did not take, with reasons and hints."""
    from medray.jobs.storage_by_name import known_storage
    from medray.storage.catalog.datasets import open_dataset
    from medray.storage.catalog.quarantine import read_refusals
    from medray.storage.catalog.versions import check_name

    objects = known_storage(storage)
    name, _, version = reference.partition("@")
    refused = None if version else read_refusals(objects, check_name(name))
    if refused is None:
        refused = open_dataset(objects, reference).quarantine()
    else:
        click.echo(f"{name}: of its last step, which made no version", err=True)
    rows = refused.to_pylist()
    if as_json:
        print_json({"quarantine": rows})
        return
    rows = _told_once(rows)
    columns = ["kind", "source", "parts", "sample", "path", "code", "reason", "hint", "syntax"]
    columns = [name for name in [*columns, "files"] if any(row[name] for row in rows)]
    print_table(columns, [[row[column] for column in columns] for row in rows])


def _told_once(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows as people read them: parts of a sample, which have its id before a colon, are one row
    where the same is said of them, such as the thousands of beats of a record."""
    several: dict[tuple[object, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        whole = row["source"].rpartition(":")[0] or row["source"]
        said = (value for name, value in row.items() if name not in ("source", "files"))
        several.setdefault((whole, *said), []).append(row)
    return [
        {**some[0], "parts": None}
        if len(some) == 1
        else {
            **some[0],
            "source": whole,
            "parts": len(some),
            "files": sum(r["files"] for r in some),
        }
        for (whole, *_), some in several.items()
    ]


def _of_dataset(dataset: "Dataset") -> dict[str, Any]:
    manifest = dataset.manifest
    return {
        "name": dataset.name,
        "version": dataset.version,
        "kind": manifest.kind,
        "digest": dataset.digest,
        "created": manifest.created,
        "samples": len(dataset),
        "inputs": asdict(manifest.inputs),
        "quarantine": manifest.refused.codes,
        "passed_over": manifest.refused.passed_over,
        "parents": dataset.parents,
        "spec": manifest.spec,
        "attributes": {k: v for k, v in dataset.attributes.items() if k != "summary"},
        "columns": manifest.columns,
        "arrays": {name: asdict(spec) for name, spec in manifest.arrays.items()},
        "units": manifest.units.count,
        "bytes": manifest.bytes,
    }


def _of_model(model: "ModelPackage") -> dict[str, Any]:
    return {
        "name": model.name,
        "version": model.version,
        "kind": "model",
        "digest": model.digest,
        "metrics": model.metrics,
        "parents": model.parents,
        "config": model.config,
        "files": {
            name: {"bytes": size, "sha256": sha} for name, (size, sha) in model.files.items()
        },
    }


def _minute(row: dict[str, Any]) -> str:
    """When a version was made, as short as a column of a narrow terminal wants it."""
    return str(row.get("created", ""))[:16].replace("T", " ")


def _lines(value: Any) -> list[str]:
    """A value for people, line by line."""
    if isinstance(value, dict):
        return [f"{name}: {inner}" for name, inner in value.items()] or ["none"]
    if isinstance(value, list):
        return [str(item) for item in value] or ["none"]
    return [str(value)]
