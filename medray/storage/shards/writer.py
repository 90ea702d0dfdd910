"""Writing a shard: rows to one Parquet table, arrays to one Zarr v3 group; see `shards`."""

import hashlib
import io
import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from medray.errors import FatalError
from medray.faults import point
from medray.ids import canonical, short
from medray.storage.shards.array_writer import ArrayWriter
from medray.storage.shards.forms.ome import groups, place
from medray.storage.shards.ragged import Waiting
from medray.storage.shards.records import ARRAYS, ROOT, TABLE, ShardRecord, sum_of
from medray.storage.shards.rows import Rows, Structs, cells_of, content_of, joined
from medray.storage.shards.samples import Layout, Sample, Slabs
from medray.storage.shards.schema import (
    Arrays,
    ArraySpec,
    Axis,
    PackingName,
    declared,
    encode,
    undeclared,
    united,
)
from medray.storage.shards.upload import Outbox
from medray.storage.shards.zarr3 import DENSE, FAST, SMOOTH, group, name_of
from medray.storage.store.objects import Objects

STACK_BYTES = 256 * 2**10  # arrays below this wait for the end of the unit, to be stacked
STACK_CHUNK_BYTES = 2**20
DRAWN_CHUNK_BYTES = 2**16  # along time: of more signals than memory holds, each is drawn by itself
# Rows that take less are not packed: Parquet packs each column by itself, 1.7 ms of 35 columns, and
# makes nothing smaller.
PACKED_BYTES = 2**16
_PLAIN = frozenset({str, int, bool, type(None)})  # of most values
_PACKINGS = {"fast": FAST, "dense": DENSE, "smooth": SMOOTH}


class ShardWriter:
    """Writes one shard below an attempt's own path. One writer, once.

    Args:
        objects: the storage root.
        path: of the shard's folder.
        arrays: what its samples may have; none unless they are declared.
    """

    def __init__(self, objects: Objects, path: str, arrays: Arrays | None = None) -> None:
        self.path = path
        self._declared = arrays or {}
        self._outbox = Outbox(objects, path)
        self._rows: list[dict[str, Any]] = []
        self._tables: list[pa.Table] = []
        self._small: dict[str, dict[int, np.ndarray]] = {}
        self._members: dict[str, Any] = {}
        self._alone: dict[int, dict[str, ArraySpec]] = {}
        self._known: dict[tuple[str, int, np.dtype[Any]], ArraySpec] = {}
        self._seen: dict[str, tuple[str, ArraySpec]] = {}  # path of an array: its name, what it is
        self._sole: set[int] = set()
        self._laid: dict[int, dict[str, Any]] = {}
        self._content: dict[str, str] = {}
        self._partial: dict[str, list[int]] = {}
        self._ragged = Waiting(self._declared)

    @property
    def rows(self) -> int:
        """Samples added so far."""
        return len(self._rows) + sum(int(table.num_rows) for table in self._tables)

    def add(self, sample: Sample) -> None:
        """Add a sample; large arrays are written now, slab by slab where they come so.

        Raises:
            FatalError: a shard is given both whole tables and single samples (code "mixed-rows"),
                or an array is not as it was declared ("undeclared-array", "undeclared-shape",
                "undeclared-type").
        """
        if bool(self._tables if not isinstance(sample, Rows) else self._rows):
            raise FatalError("tables and single samples in one shard", code="mixed-rows")
        if isinstance(sample, Rows):
            self._add_rows(sample)
            return
        number = len(self._rows)
        (self._sole.add if len(sample.arrays) == 1 else self._sole.discard)(number)
        if sample.layout is not None:
            self._write_laid(number, sample.arrays, sample.layout)
        for name, value in sorted(sample.arrays.items()) if sample.layout is None else ():
            spec = self._spec(name, value)
            if spec.ragged:
                self._ragged.add(number, name, value, spec)
            elif isinstance(value, np.ndarray) and value.nbytes < STACK_BYTES:
                self._small.setdefault(name, {})[number] = value
            else:
                self._write_alone(number, name, value, spec)
        self._rows.append({"sample_id": sample.id, **_plain(sample.row)})

    def _add_rows(self, rows: Rows) -> None:
        for name, (values, lengths) in sorted(rows.ragged.items()):
            spec = self._spec(name, values)
            if not spec.ragged:
                raise undeclared("shape", f"{name} of many samples at once is not ragged")
            self._ragged.add(self.rows, name, values, spec, lengths)
        self._tables.append(rows.table)

    def forget(self, rows: int) -> None:
        """Take back every sample after the first `rows`, and what a failed `add` left behind."""
        self._ragged.forget(rows)
        if self._tables:
            self._tables = [joined(self._tables).slice(0, rows)]
            return
        del self._rows[rows:]
        for arrays in self._small.values():
            for number in [n for n in arrays if n >= rows]:
                del arrays[number]
        for held in (self._alone, self._laid):
            for number in [n for n in held if n >= rows]:
                del held[number]
        for name in [n for n in self._members if int(n.split("/")[0]) >= rows]:
            del self._members[name], self._content[name], self._seen[name]
        self._outbox.drop([n for n in self._outbox.files if int(n.split("/")[1]) >= rows])

    def discard(self) -> None:
        """Remove everything written so far."""
        self._outbox.drop(self._outbox.files)

    def finish(self) -> ShardRecord:
        """Write the rest; every object is read back and compared.

        Raises:
            FatalError: an object does not read back as written (code "read-back-mismatch").
            RetryableError: storage failed.
        """
        import pyarrow.parquet as pq

        for name, arrays in sorted(self._small.items()):
            if arrays:  # else all were taken back
                self._write_small(name, arrays)
        ragged = self._ragged.write(self.rows, self._put_array)
        self._seen.update({name: (name, spec) for name, spec in ragged.items()})
        if self._members or self._laid:
            self._write_groups(list(ragged))
        table = joined(self._tables).combine_chunks() if self._tables else table_of(self._rows)
        buffer = io.BytesIO()
        packed = "zstd" if table.nbytes >= PACKED_BYTES else "none"
        pq.write_table(table, buffer, compression=packed, write_page_checksum=True)
        self._outbox.put(TABLE, buffer.getvalue())
        self._outbox.flush()
        point("shard.written")
        content = hashlib.sha256(
            content_of(table).encode() if self._tables else canonical([*map(_told, self._rows)])
        )
        content.update(canonical(sorted(self._content.items())))
        if self._partial:
            content.update(canonical(self._partial))
        files = dict(sorted(self._outbox.files.items()))
        return ShardRecord(
            path=self.path,
            rows=self.rows,
            bytes=sum(size for size, _ in files.values()),
            sha256=sum_of(files),
            content=content.hexdigest(),
            schema=form_of(table.schema, self._arrays()) if self.rows else "",
            files=files,
        )

    def _write_small(self, name: str, arrays: dict[int, np.ndarray]) -> None:
        kinds = {(array.shape, str(array.dtype)) for array in arrays.values()}
        if len(kinds) > 1 or len(arrays) == 1:
            for number, array in arrays.items():
                self._write_alone(number, name, array, self._spec(name, array))
            return
        rows = sorted(arrays)
        if len(rows) < len(self._rows):
            self._partial[name] = rows
        stacked = np.stack([arrays[number] for number in rows])
        spec = self._spec(name, stacked[0])
        drawn = any(axis.kind == "time" for axis in spec.axes)
        most = DRAWN_CHUNK_BYTES if drawn else STACK_CHUNK_BYTES
        many = max(1, most // max(1, stacked[0].nbytes))
        chunk = (min(len(stacked), many), *stacked.shape[1:])
        self._put_array(name, stacked, chunk, ("n", *spec.names), packing=spec.packing)
        self._seen[name] = name, spec

    def _spec(self, name: str, value: np.ndarray | Slabs) -> ArraySpec:
        key = name, len(value.shape), value.dtype
        if key not in self._known:  # else 100 us for each array
            spec = declared(self._declared, name)
            if spec.form == "laid":
                raise undeclared("array", f"{name} comes without a layout")
            self._known[key] = spec.seen(len(value.shape), name_of(value.dtype))
        return self._known[key]

    def _write_alone(
        self, number: int, name: str, value: np.ndarray | Slabs, spec: ArraySpec
    ) -> None:
        path = place(number, name, spec, sole=number in self._sole)
        axis = value.axis if isinstance(value, Slabs) else spec.slab_axis
        chunk = spec.chunk_of(value.shape)
        self._put_array(path, value, chunk, spec.names, axis=axis, packing=spec.packing)
        self._alone.setdefault(number, {})[name] = spec
        self._seen[path] = name, spec

    def _write_laid(
        self, number: int, arrays: dict[str, np.ndarray | Slabs], layout: Layout
    ) -> None:
        for name, value in sorted(arrays.items()):
            if declared(self._declared, name).form != "laid":
                raise undeclared("array", f"{name} comes with a layout")
            axes, chunk = layout.axes[name], layout.chunks[name]
            path, notes = f"{number}/{name}", layout.notes.get(name)
            self._put_array(path, value, chunk, axes, packing="dense", notes=notes)
            named, dtypes = tuple(map(Axis, axes)), (name_of(value.dtype),)
            self._seen[path] = name, ArraySpec(named, dtypes, "laid", chunk, packing="dense")
        self._laid[number] = layout.attributes

    def _put_array(
        self,
        path: str,
        value: np.ndarray | Slabs,
        chunk: tuple[int, ...],
        axes: tuple[str, ...],
        *,
        axis: int = 0,
        packing: PackingName = "fast",
        notes: dict[str, Any] | None = None,
    ) -> None:
        writer = ArrayWriter(
            self._outbox,
            f"{ARRAYS}/{path}",
            value.shape,
            value.dtype,
            axis=axis,
            chunk=chunk,
            axes=axes,
            packing=_PACKINGS[packing],
            attributes=notes,
        )
        for part in value.parts if isinstance(value, Slabs) else (value,):
            writer.append(part)
        self._content[path] = writer.close()
        self._members[path] = writer.meta.encode()

    def _arrays(self) -> dict[str, ArraySpec]:
        """What the arrays that were written are, by name."""
        return united({name: spec} for name, spec in self._seen.values())

    def _write_groups(self, ragged: list[str]) -> None:
        for number, arrays in sorted(self._alone.items()):
            sole, row = number in self._sole, self._rows[number]
            for path, attributes in groups(number, arrays, row, sole=sole).items():
                self._members[path] = json.loads(group(attributes))
                self._outbox.put(f"{ARRAYS}/{path}/zarr.json", group(attributes))
        for number, attributes in sorted(self._laid.items()):
            self._members[str(number)] = json.loads(group(attributes))
            prefix = f"{number}/"
            own = {
                path.removeprefix(prefix): member
                for path, member in sorted(self._members.items())
                if path.startswith(prefix)
            }
            self._outbox.put(f"{ARRAYS}/{number}/zarr.json", group(attributes, own))
        members = dict(sorted(self._members.items()))
        about = encode(self._arrays())
        attributes = {
            "content": self._content,
            "rows": self._partial,
            "arrays": about,
            "ragged": ragged,
        }
        self._outbox.put(ROOT, group(attributes, members))


def table_of(rows: list[dict[str, Any]]) -> pa.Table:
    """Rows as a table; columns are the union of the keys, in order of first appearance."""
    names = list(dict.fromkeys(name for row in rows for name in row)) or ["sample_id"]
    columns = {name: cells_of([row.get(name) for row in rows]) for name in names}
    if not rows:
        return pa.table({"sample_id": pa.array([], pa.string())})
    return pa.table(columns)


def form_of(schema: pa.Schema, arrays: Arrays) -> str:
    """Hash of a table's columns and their types, and of what the arrays beside it are.

    Chunks of a layout are left out: they follow its shapes.
    """
    columns = [[field.name, str(field.type)] for field in schema]
    forms = {n: replace(s, chunk=None) if s.form == "laid" else s for n, s in arrays.items()}
    return str(short([columns, encode(forms)] if forms else columns))


def _told(row: dict[str, Any]) -> dict[str, Any]:
    """A row as it is hashed: of what is held by column its own hash."""
    return {
        name: value.content() if type(value) is Structs else value for name, value in row.items()
    }


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """The row as JSON-able values: numpy scalars unboxed, tuples as lists, NaN as missing. What is
    held by column stays so."""
    return {name: _plain_one(value) for name, value in row.items()}


def _plain_one(value: Any) -> Any:
    kind = type(value)
    if kind in _PLAIN or (kind is float and math.isfinite(value)):
        return value
    if kind is list:
        return [_plain_one(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain_one(item) for item in value]
    return value
