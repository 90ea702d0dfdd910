"""Datasets: immutable versions over committed shards, and the HEAD that names the newest.

<root>/datasets/<name>/versions/<version>.json holds a manifest; readers see nothing else.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from medray.clock import SYSTEM, Clock, stamp
from medray.errors import DataError, SpecError
from medray.faults import point
from medray.ids import short
from medray.storage.ledger import Commit
from medray.storage.objects import Objects
from medray.storage.quarantine import write_quarantine
from medray.storage.records import Refusal
from medray.storage.samples import Sample
from medray.storage.shard_writer import table_of
from medray.storage.shards import SampleArray, Shard
from medray.storage.versions import (
    check_name,
    damaged_manifest,
    move_head,
    read_document,
    whole_version,
)

if TYPE_CHECKING:
    import dask.array


@dataclass(frozen=True)
class Counts:
    """Accountable inputs: planned = committed + quarantined, always."""

    planned: int
    committed: int
    quarantined: int


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
) -> "Dataset":
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
    shards = [
        {
            "unit": commit.unit,
            "path": commit.shard.path,
            "rows": commit.shard.rows,
            "bytes": commit.shard.bytes,
            "sha256": commit.shard.sha256,
            "content": commit.shard.content,
        }
        for commit in commits
    ]
    quarantined = write_quarantine(objects, name, commits, refused)
    planned = sum(commit.inputs for commit in commits) + len(refused)
    digest = short([shard["content"] for shard in shards])
    core = {
        "name": name,
        "kind": kind,
        "digest": digest,
        "spec": spec,
        "parents": parents,
        "attributes": attributes or {},
        "quarantine": quarantined.tables,
        "inputs": {
            "planned": planned,
            "committed": planned - quarantined.inputs,
            "quarantined": quarantined.inputs,
        },
    }
    version = identity_of({**core, "shards": shards})
    manifest = {
        **core,
        "version": version,
        "created": stamp(clock),
        "samples": sum(commit.shard.rows for commit in commits),
        "shards": shards,
    }
    point("publish.before-manifest")
    objects.put_new(f"datasets/{name}/versions/{version}.json", json.dumps(manifest).encode())
    point("publish.before-head")
    move_head(objects, f"datasets/{name}/HEAD", version)
    point("publish.after-head")
    return open_dataset(objects, f"{name}@{version}")


def identity_of(manifest: dict[str, Any]) -> str:
    """What a manifest's version must be: the hash of all but its times, sizes and places.

    Raises:
        KeyError, TypeError: it is no manifest.
    """
    loose = ("version", "created", "samples", "shards")
    core = {key: value for key, value in manifest.items() if key not in loose}
    return short({**core, "units": [shard["unit"] for shard in manifest["shards"]]})


def open_dataset(objects: Objects, reference: str) -> "Dataset":
    """Open `name` (the newest version) or `name@version` (a prefix of 6 or more digits will do).

    Raises:
        SpecError: there is no such dataset or version (codes "no-such-dataset",
            "no-such-version").
        DataError: HEAD or the manifest was altered (code "damaged-manifest").
    """
    name, _, version = reference.partition("@")
    check_name(name)
    if not version:
        try:
            version = read_document(objects, f"datasets/{name}/HEAD")["version"]
        except FileNotFoundError as error:
            known = objects.folders("datasets")
            published = [one for one in known if objects.exists(f"datasets/{one}/HEAD")]
            near = ", ".join(published) or "none yet"
            raise SpecError(
                "no version of it is published" if name in known else "there is no such dataset",
                code="no-such-dataset",
                about=name,
                hint=f"datasets here: {near}",
            ) from error
    if len(version) < 32:
        version = whole_version(objects, f"datasets/{name}/versions", name, version)
    path = f"datasets/{name}/versions/{version}.json"
    try:
        manifest = read_document(objects, path)
        if not identity_of(manifest) == manifest["version"] == version:
            raise damaged_manifest(path)
        return Dataset(objects, manifest)
    except FileNotFoundError as error:
        raise SpecError(
            "there is no such version", code="no-such-version", about=reference
        ) from error
    except (KeyError, TypeError, ValueError) as error:
        raise damaged_manifest(path) from error


class Dataset:
    """One version of a dataset. Samples are read when asked for."""

    def __init__(self, objects: Objects, manifest: dict[str, Any]) -> None:
        self.objects = objects
        self.manifest = manifest
        self.name: str = manifest["name"]
        self.version: str = manifest["version"]
        self.digest: str = manifest["digest"]
        self.parents: list[str] = manifest["parents"]
        self.attributes: dict[str, Any] = manifest["attributes"]
        self.inputs = Counts(**manifest["inputs"])

    def __repr__(self) -> str:
        return f"<Dataset {self.reference[:40]} with {len(self)} samples>"

    def __len__(self) -> int:
        return int(self.manifest["samples"])

    def __getitem__(self, index: int) -> Sample:
        return self.sample(index)

    @property
    def reference(self) -> str:
        """name@version."""
        return f"{self.name}@{self.version}"

    @cached_property
    def shards(self) -> list[Shard]:
        """The shards, in plan order."""
        return [Shard(self.objects, entry["path"]) for entry in self.manifest["shards"]]

    @cached_property
    def samples(self) -> pa.Table:
        """A row per sample, in plan order; `_shard` and `_row` say where its arrays lie."""
        tables = []
        for number, shard in enumerate(self.shards):
            table = shard.table
            if table.num_rows != self.manifest["shards"][number]["rows"]:
                raise DataError(
                    "the table has not the rows that were committed",
                    code="damaged-table",
                    about=f"{shard.path}/table.parquet",
                )
            if table.num_rows:
                table = table.append_column("_shard", pa.array([number] * len(table), pa.int32()))
                table = table.append_column("_row", pa.array(range(len(table)), pa.int32()))
                tables.append(table)
        if not tables:
            return table_of([])
        return pa.concat_tables(tables, promote_options="permissive")

    @cached_property
    def _places(self) -> list[tuple[int, int]]:
        if "_shard" not in self.samples.column_names:
            return []
        shards = self.samples["_shard"].to_pylist()
        return list(zip(shards, self.samples["_row"].to_pylist(), strict=True))

    def select(self, where: dict[str, Any]) -> list[int]:
        """Positions of the samples whose columns equal the values in `where` (lists: any of).

        Raises:
            SpecError: a column does not exist (code "no-such-column").
        """
        keep = range(len(self))
        for column, value in where.items():
            if column not in self.samples.column_names:
                raise SpecError(
                    f"there is no column {column!r} to select by",
                    code="no-such-column",
                    about=self.name,
                    hint=f"columns: {', '.join(self.samples.column_names)}",
                )
            values = self.samples[column].to_pylist()
            wanted = value if isinstance(value, list) else [value]
            keep = [i for i in keep if values[i] in wanted]  # type: ignore[assignment]
        return list(keep)

    def array(self, index: int, name: str) -> SampleArray:
        """One array of one sample, to be sliced without reading the rest."""
        shard, row = self._places[index]
        return self.shards[shard].array(row, name)

    def sample(self, index: int) -> Sample:
        """One sample with its arrays in memory."""
        shard, row = self._places[index]
        return self.shards[shard].sample(row)

    def __iter__(self) -> Iterator[Sample]:
        return (self.sample(index) for index in range(len(self)))

    def to_dask(self, name: str = "image") -> "list[dask.array.Array]":
        """One lazy dask array per sample, chunked as stored."""
        import dask.array

        arrays = [self.array(index, name) for index in range(len(self))]
        return [
            dask.array.from_array(  # type: ignore[no-untyped-call]
                array, chunks=array.chunk, asarray=False, name=False
            )
            for array in arrays
        ]

    def to_torch(self, *arrays: str, columns: Sequence[str] = ()) -> "Items":
        """A map-style dataset, as `torch.utils.data.DataLoader` takes it; see `Items`.

        Args:
            arrays: of each sample; without any, "image".
            columns: of the sample's row.

        Raises:
            SpecError: the samples have no such column (code "no-such-column").
        """
        return Items(self, arrays or ("image",), tuple(columns))

    def quarantine(self) -> pa.Table:
        """What was refused: a row per refusal with source, sample, code, reason, files."""
        from medray.storage.quarantine import read_quarantine

        return read_quarantine(self.objects, self.manifest["quarantine"])

    def check(self) -> None:
        """Raise DataError unless the counts add up (code "counts-do-not-add-up")."""
        if self.inputs.planned != self.inputs.committed + self.inputs.quarantined:
            raise DataError(
                "planned inputs are not committed plus quarantined",
                code="counts-do-not-add-up",
                about=self.reference,
            )


class Items(Sequence[dict[str, Any]]):
    """Samples one by one, each a dict: `sample_id`, the arrays (numpy) and columns asked for.

    Torch itself is not needed here: its `default_collate` makes tensors of arrays and numbers.
    Samples of several sizes need a `collate_fn` of their own, or `batch_size=None`. With data in a
    bucket, `num_workers` needs `multiprocessing_context="spawn"`: connections outlive no fork.
    """

    def __init__(self, data: Dataset, arrays: Sequence[str], columns: Sequence[str]) -> None:
        names = ["sample_id", *columns]
        missing = [name for name in names if name not in data.samples.column_names]
        if missing:
            raise SpecError(
                f"the samples have no column {missing[0]!r}",
                code="no-such-column",
                about=data.reference,
                hint=f"there are {', '.join(data.samples.column_names)}",
            )
        self._data, self._arrays = data, arrays
        self._rows = data.samples.select(names)

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        number = range(len(self))[index]
        row = self._rows.slice(number, 1).to_pylist()[0]
        return {**row, **{name: self._data.array(number, name)[...] for name in self._arrays}}
