"""What a version of a dataset holds: a small head, and a table with a row per unit.

<root>/datasets/<name>/versions/<version>.json   the head: all that `ls` and `show` print
<root>/datasets/<name>/units/<hash>.arrow        the units, in plan order; named by its bytes' hash

The head pins the table by the hash of its bytes, and the version's name, a hash itself, pins head
and rows. So opening a version costs one small read, whatever it holds, and the first sample one
more: 50,000 units are a table of 8 MB, where a document of them took 15 MB and half a second.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from blake3 import blake3

from medray.ids import ID_DIGITS, short
from medray.storage.catalog.columns import dump, identity_of, load
from medray.storage.catalog.commits import SCHEMA as COMMITS
from medray.storage.catalog.versions import Head, damaged_manifest
from medray.storage.shards.records import Pinned
from medray.storage.shards.schema import ArraySpec
from medray.storage.store.documents import Count, Id


@dataclass(frozen=True)
class Counts:
    """Accountable inputs: planned = committed + quarantined + passed over, always."""

    planned: Count
    committed: Count
    quarantined: Count
    passed_over: Count = 0

    @property
    def add_up(self) -> bool:
        """Whether every planned input is one of these."""
        return self.planned == self.committed + self.quarantined + self.passed_over


@dataclass(frozen=True)
class UnitEntry:
    """What a version says of a unit.

    Args:
        unit: its id.
        path: of its shard, below the root.
        rows: samples in the shard.
        bytes: of all the shard's objects.
        sha256: over the names, sizes and hashes of the shard's objects.
        content: hash of what the shard holds, whatever wrote it.
        table: BLAKE3 of the shard's table.
        arrays: BLAKE3 of its arrays' metadata; empty where it holds none.
        record: BLAKE3 of the commit's record, which names every object of the shard.
    """

    unit: str
    path: str
    rows: int
    bytes: int
    sha256: str
    content: str
    table: str
    arrays: str
    record: str

    @property
    def pinned(self) -> Pinned:
        """The shard, as readers find it and believe it."""
        return Pinned(self.path, self.table, self.arrays)


SCHEMA = pa.schema([COMMITS.field(field.name) for field in fields(UnitEntry)])


@dataclass(frozen=True)
class Units:
    """The table of units that a head names.

    Args:
        count: units.
        table: hash of the table's bytes, its name.
        rows: hash over what the table says, whichever Arrow wrote it.
    """

    count: Count
    table: Id
    rows: str


@dataclass(frozen=True)
class Refused:
    """What a version did not take.

    Args:
        table: hash of its rows, the name of its table; empty where nothing was refused.
        codes: how many rows there are of each code, most frequent first.
        passed_over: the same, of what was passed over.
        samples: how many of the rows are quarantined samples of inputs that are committed.
    """

    table: str
    codes: dict[str, Count]
    passed_over: dict[str, Count]
    samples: Count = 0


@dataclass(frozen=True)
class Manifest:
    """The head of a version.

    Args:
        name: of the dataset.
        version: hash of all the rest but `created` and the bytes of tables.
        kind: of the job that made it.
        created: when, UTC.
        digest: over the shards' content, in plan order.
        spec: hash of the resolved step.
        parents: versions it was made of, as "name@version".
        attributes: what readers need besides (classes, metrics).
        inputs: accountable ones.
        samples: in all shards.
        bytes: of all shards.
        columns: of the samples' rows: Arrow's names of their types.
        arrays: what the samples' arrays are, by name.
        refused: what was quarantined or passed over.
        units: where the rest stands.
    """

    name: str
    version: Id
    kind: str
    created: str
    digest: str
    spec: str
    parents: list[str]
    attributes: dict[str, Any]
    inputs: Counts
    samples: Count
    bytes: Count
    columns: dict[str, str]
    arrays: dict[str, ArraySpec]
    refused: Refused
    units: Units

    @property
    def identity(self) -> str:
        """What `version` must be.

        Raises:
            ValueError: an attribute is no JSON.
        """
        known = asdict(self)
        del known["version"], known["created"], known["units"]["table"]
        return short(known)


class Entries(Sequence[UnitEntry]):
    """The units of a version, in plan order, column by column: only what is asked for is decoded.

    Args:
        data: a table that `encode` wrote.
        path: where it stands, for errors.

    Raises:
        DataError: it is no such table (code "damaged-manifest").
    """

    def __init__(self, data: bytes, path: str) -> None:
        try:
            self.table = load(pa.py_buffer(data), SCHEMA)
        except ValueError as error:
            raise damaged_manifest(path) from error

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            columns = [self.array(name)[index].to_pylist() for name in SCHEMA.names]
            return [UnitEntry(*values) for values in zip(*columns, strict=True)]
        number = range(len(self))[index]
        return UnitEntry(*(self.array(name)[number].as_py() for name in SCHEMA.names))

    def __iter__(self) -> Iterator[UnitEntry]:
        return iter(self[:])

    def array(self, name: str) -> pa.Array:
        """One field of every unit."""
        return self.table[name].chunk(0) if len(self) else pa.array([], SCHEMA.field(name).type)

    def column(self, name: str) -> list[Any]:
        """One field of every unit, as a list."""
        values: list[Any] = self.array(name).to_pylist()
        return values

    def pinned(self) -> list[Pinned]:
        """The shard of every unit."""
        columns = (self.column(name) for name in Pinned._fields)
        return [Pinned(*values) for values in zip(*columns, strict=True)]

    @cached_property
    def rows(self) -> np.ndarray:
        """Samples of each unit, int64 (units,)."""
        # Arrow's own to_numpy imports pandas, which takes 0.25 s and 45 MB.
        return np.array(self.column("rows"), np.int64)

    @cached_property
    def ends(self) -> np.ndarray:
        """Samples up to and with each unit, int64 (units,)."""
        return np.cumsum(self.rows)

    @property
    def identity(self) -> str:
        """Hash over all that the table says, whichever Arrow wrote it."""
        return identity_of(self.table)


def encode(entries: pa.Table) -> tuple[bytearray, Units]:
    """A table of units, whose columns are those of `SCHEMA`, and what the head says of it."""
    table = entries.select(SCHEMA.names)
    data = dump(table)
    return data, Units(table.num_rows, hash_of(data), identity_of(table))


def hash_of(data: bytes | bytearray) -> str:
    """The name of a table of units: BLAKE3 of its bytes."""
    return blake3(data).hexdigest()[:ID_DIGITS]


def manifest_path(name: str, version: str) -> str:
    """Where the head of a version stands."""
    return f"datasets/{name}/versions/{version}.json"


def units_path(name: str, table: str) -> str:
    """Where a table of units stands."""
    return f"datasets/{name}/units/{table}.arrow"


def head_of(manifest: Manifest) -> Head:
    """What HEAD says of a version."""
    return Head(
        manifest.version,
        manifest.kind,
        manifest.created,
        manifest.samples,
        manifest.inputs.quarantined,
        manifest.refused.samples,
        manifest.inputs.passed_over,
    )
