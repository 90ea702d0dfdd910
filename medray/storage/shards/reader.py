"""A shard: one Parquet table, a row per sample, and one Zarr v3 group where samples hold arrays.

Where a sample names no layout, the data choose one: small arrays of one shape are stacked, sample
by sample along the first axis (`arrays.zarr/image`); all others stand alone, as OME-Zarr images
(`arrays.zarr/<row>/image`, `arrays.zarr/<row>/labels/label/0`, or `arrays.zarr/<row>/label` where a
mask is all that a sample has). Of a stack that some samples lack,
the group's attribute `rows` says which row of the table each entry belongs to. Arrays that are
declared as ragged lie end to end (`arrays.zarr/boxes`; see `ragged`). A sample with a
layout is a group of its own (`arrays.zarr/<row>/<array>`), which Zarr libraries open by itself.
"""

import io
import json
from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from blake3 import blake3

from medray.errors import DataError
from medray.storage.shards.array_reader import ArrayReader, StackReader
from medray.storage.shards.decoded import Decoded
from medray.storage.shards.ragged import ABSENT, OFFSETS, Ragged, checked
from medray.storage.shards.records import ARRAYS, ROOT, TABLE, Pinned
from medray.storage.shards.sample_array import SampleArray
from medray.storage.shards.samples import Layout, Sample
from medray.storage.shards.schema import ArraySpec, decode
from medray.storage.shards.zarr3 import ArrayMeta
from medray.storage.store.damage import damage
from medray.storage.store.objects import Objects


class _Group(NamedTuple):
    """What the root of a shard's arrays says.

    Args:
        members: metadata of every array and group, by path.
        partial: the entry of each row, of stacks that some samples lack.
        schema: what the arrays are, by name.
        ragged: names of those that are, in the order of their offsets.
    """

    members: dict[str, Any]
    partial: dict[str, dict[int, int]]
    schema: dict[str, ArraySpec]
    ragged: list[str]


class Shard:
    """A committed shard, read lazily. Its table and metadata are held against their hashes before
    anything is believed of them; chunks of arrays carry sums of their own.

    Args:
        objects: the storage root.
        pinned: which shard.
        in_order: one thread asks for samples in the order of their rows: of each stack the chunk
            that was read last is kept.
    """

    def __init__(self, objects: Objects, pinned: Pinned, *, in_order: bool = False) -> None:
        self.path, self.pinned = pinned.path, pinned
        self._stacks: dict[str, StackReader] | None = {} if in_order else None
        self._objects = objects
        self._decoded = Decoded()

    @cached_property
    def table(self) -> pa.Table:
        """The rows.

        Raises:
            DamageError: it is not what was committed (code "damaged-table"), or gone
                ("missing-table").
        """
        return self._read(None)

    def row(self, number: int) -> dict[str, Any]:
        """The values of a row, `sample_id` among them; the caller's own."""
        return self._decoded.row(self.table, number)

    def columns(self, names: list[str]) -> pa.Table:
        """Some columns of the rows; only these are decoded.

        Raises:
            DamageError: as of `table`.
        """
        return self._read(names)

    def _read(self, names: list[str] | None) -> pa.Table:
        import pyarrow.parquet as pq

        path = f"{self.path}/{TABLE}"
        data = self._vouched(TABLE, self.pinned.table, "table")
        try:
            # Without Arrow's threads, which now and then abort the process when it exits.
            file = pq.ParquetFile(io.BytesIO(data), page_checksum_verification=True)
            table = file.read(names, use_threads=False)
            if names is None and table.schema.field("sample_id").type != pa.string():
                table["sample_id"].cast(pa.string())  # loads pyarrow.compute: 60 ms
        except (pa.ArrowException, OSError, KeyError, ValueError) as error:
            raise damage("the table is damaged", "damaged-table", path) from error
        return table

    def _vouched(self, name: str, known: str, what: str) -> bytes:
        """An object of the shard, if it is what was committed."""
        path = f"{self.path}/{name}"
        try:
            data = self._objects.get(path)
        except FileNotFoundError as error:
            raise damage(f"the {what} is missing", f"missing-{what}", path) from error
        if blake3(data).hexdigest() != known:
            raise damage(f"the {what} is not what was committed", f"damaged-{what}", path)
        return data

    @cached_property
    def _group(self) -> "_Group":
        if not self.pinned.arrays:
            return _Group({}, {}, {}, [])
        path = f"{self.path}/{ROOT}"
        data = self._vouched(ROOT, self.pinned.arrays, "metadata")
        try:
            document = json.loads(data)
            members = {
                name: dict(member)
                for name, member in document["consolidated_metadata"]["metadata"].items()
            }
            partial = {
                name: {int(row): entry for entry, row in enumerate(rows)}
                for name, rows in document["attributes"]["rows"].items()
            }
            schema = decode(document["attributes"]["arrays"])
            ragged = [str(name) for name in document["attributes"]["ragged"]]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise damage("the metadata is damaged", "damaged-metadata", path) from error
        return _Group(members, partial, schema, ragged)

    @property
    def schema(self) -> dict[str, ArraySpec]:
        """What its arrays are, by name."""
        return self._group.schema

    def names(self, row: int) -> list[str]:
        """Names of the arrays that sample `row` has, sorted."""
        members, partial, _, ragged = self._group
        stacked = {name for name in members if "/" not in name and not name.isdigit()}
        stacked -= {name for name, entries in partial.items() if row not in entries}
        stacked -= {OFFSETS, ABSENT}
        stacked -= {name for name in ragged if not self.ragged(name).has(row)}
        prefix = f"{row}/labels/"
        labels = {
            path.split("/")[2]
            for path in members
            if path.startswith(prefix) and path.endswith("/0")
        }
        return sorted(stacked | labels | self._direct(row).keys())

    def _direct(self, row: int) -> dict[str, dict[str, Any]]:
        """Arrays that lie right in a sample's group: its image, a sole one, those of a layout."""
        prefix = f"{row}/"
        return {
            path.removeprefix(prefix): member
            for path, member in self._group.members.items()
            if path.startswith(prefix)
            and path.count("/") == 1
            and member.get("node_type") == "array"
        }

    def layout(self, row: int) -> Layout | None:
        """The layout that a sample was written with, if any."""
        members, _, schema, _ = self._group
        direct = self._direct(row)
        if not direct or any(schema[name].form != "laid" for name in direct):
            return None
        attributes = members[str(row)]["attributes"]
        metas = {name: ArrayMeta.decode(member, self.path) for name, member in direct.items()}
        return Layout(
            attributes,
            axes={name: meta.axes for name, meta in metas.items()},
            chunks={name: meta.chunk for name, meta in metas.items()},
            notes={name: meta.attributes for name, meta in metas.items() if meta.attributes},
        )

    def array(self, row: int, name: str) -> SampleArray:
        """One sample's array, to be sliced.

        Raises:
            DataError: the sample has no array of that name (code "no-such-array").
        """
        members, partial, _, ragged = self._group
        if name in ragged and self.ragged(name).has(row):
            return SampleArray(self.ragged(name).values, self.ragged(name).span(row))
        entry = partial[name].get(row) if name in partial else None if name in ragged else row
        stack = () if entry is None else ((name, entry),)
        alone = ((f"{row}/{name}", None), (f"{row}/labels/{name}/0", None))
        for path, index in (*alone, *stack):
            document = members.get(path)
            if document is not None and document.get("node_type") == "array":
                return SampleArray(self._reader(path, document, index is not None), index)
        raise self._lacks(name, f"sample {row} has no array", ", ".join(self.names(row)))

    def _lacks(self, name: str, what: str, there: str) -> DataError:
        about, hint = self.path, f"it has: {there or 'none'}"
        return DataError(f"{what} {name!r}", code="no-such-array", about=about, hint=hint)

    def ragged(self, name: str) -> Ragged:
        """A ragged array of all samples, of which many rows are taken at once.

        Raises:
            DataError: no array of that name is ragged (code "no-such-array").
            DamageError: what says where rows lie is damaged.
        """
        if name not in self._group.ragged:
            raise self._lacks(name, "no ragged array", ", ".join(self._group.ragged))
        return self._ends[name]

    @cached_property
    def _ends(self) -> dict[str, Ragged]:
        members, _, _, names = self._group

        def read(name: str) -> ArrayReader:
            return self._reader(name, members[name])

        values = {name: read(name) for name in names}
        ends = [reader.shape[0] for reader in values.values()]
        offsets = checked(read(OFFSETS)[()], ends, f"{self.path}/{ARRAYS}/{OFFSETS}")
        absent = read(ABSENT)[()] if ABSENT in members else [None] * len(names)
        return {
            name: Ragged(values[name], *about)
            for name, *about in zip(names, offsets, absent, strict=True)
        }

    def stack(self, name: str) -> list[np.ndarray | None] | None:
        """That array of every sample, None for those without; None where they aren't stacked, nor
        lie end to end."""
        if name in self._group.ragged:
            held, rows = self.ragged(name), range(self.table.num_rows)
            values = held.values[()]
            return [values[slice(*held.span(row))] if held.has(row) else None for row in rows]
        document, partial = self._stack(name), self._group.partial
        if document is None:
            return None
        whole = self._reader(name, document)[()]
        if name not in partial:
            return list(whole)
        entries = partial[name]
        rows = range(self.table.num_rows)
        return [whole[entries[row]] if row in entries else None for row in rows]

    def several(self, name: str, rows: Sequence[int]) -> np.ndarray | list[np.ndarray]:
        """One array of some samples; of stacked ones a chunk that several touch is decoded once.

        Raises:
            DataError: a sample has no array of that name (code "no-such-array").
        """
        document, partial = self._stack(name), self._group.partial
        entries = [partial[name].get(row) for row in rows] if name in partial else list(rows)
        if document is None or None in entries:
            return [self.array(row, name)[...] for row in rows]
        return self._reader(name, document).rows(np.asarray(entries, np.int64))

    def stacked(self, name: str) -> bool:
        """Whether that array of all samples lies in one stack."""
        return self._stack(name) is not None and name not in self._group.partial

    def _stack(self, name: str) -> dict[str, Any] | None:
        members, _, _, ragged = self._group
        document = members.get(name) if name not in ragged else None
        return document if document and document.get("node_type") == "array" else None

    def sample(self, row: int) -> Sample:
        """One sample with its arrays in memory."""
        values = self.table.slice(row, 1).to_pylist()[0]
        sample_id = values.pop("sample_id")
        arrays = {name: self.array(row, name)[...] for name in self.names(row)}
        return Sample(sample_id, values, dict(arrays), self.layout(row))

    def _reader(self, path: str, document: dict[str, Any], stack: bool = False) -> ArrayReader:
        full = f"{self.path}/{ARRAYS}/{path}"
        if self._stacks is None or not stack:
            return ArrayReader(self._objects, full, ArrayMeta.decode(document, full))
        if path not in self._stacks:
            meta = ArrayMeta.decode(document, full)
            self._stacks[path] = StackReader(self._objects, full, meta)
        return self._stacks[path]


def selected(
    objects: Objects, pinned: Pinned, start: int, stop: int, where: dict[str, Any]
) -> pa.Table:
    """Rows [start, stop) of a shard whose columns equal the values in `where` (lists: any of)."""
    import pyarrow.compute as pc  # 60 ms, which those who filter nothing are spared

    table = Shard(objects, pinned).table.slice(start, stop - start)
    for column, value in where.items():
        wanted = pa.array(value if isinstance(value, list) else [value])
        table = table.filter(pc.is_in(table[column], value_set=wanted.cast(table[column].type)))
    return table
