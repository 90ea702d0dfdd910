"""Writing a shard: rows to one Parquet table, arrays to one Zarr v3 group; see `shards`."""

import hashlib
import io
import json
import math
from typing import Any

import numpy as np
import pyarrow as pa

from medray.errors import FatalError
from medray.faults import point
from medray.ids import canonical, short
from medray.storage.shards.arrays import ArrayWriter, chunk_for
from medray.storage.shards.forms.ome import axes_of, groups, place
from medray.storage.shards.records import ARRAYS, ROOT, TABLE, ShardRecord, sum_of
from medray.storage.shards.rows import Rows, content_of, joined
from medray.storage.shards.samples import Layout, Sample, Slabs
from medray.storage.shards.upload import Outbox
from medray.storage.shards.zarr3 import DENSE, FAST, Packing, group
from medray.storage.store.objects import Objects

STACK_BYTES = 256 * 2**10  # arrays below this wait for the end of the unit, to be stacked
STACK_CHUNK_BYTES = 2**20


class ShardWriter:
    """Writes one shard below an attempt's own path. One writer, once."""

    def __init__(self, objects: Objects, path: str) -> None:
        self.path = path
        self._outbox = Outbox(objects, path)
        self._rows: list[dict[str, Any]] = []
        self._tables: list[pa.Table] = []
        self._small: dict[str, dict[int, np.ndarray]] = {}
        self._members: dict[str, Any] = {}
        self._alone: dict[int, dict[str, int]] = {}
        self._sole: set[int] = set()
        self._laid: dict[int, dict[str, Any]] = {}
        self._content: dict[str, str] = {}
        self._partial: dict[str, list[int]] = {}

    @property
    def rows(self) -> int:
        """Samples added so far."""
        return len(self._rows) + sum(int(table.num_rows) for table in self._tables)

    def add(self, sample: Sample) -> None:
        """Add a sample; large arrays are written now, slab by slab where they come so.

        Raises:
            FatalError: a shard is given both whole tables and single samples (code "mixed-rows").
        """
        if bool(self._tables if not isinstance(sample, Rows) else self._rows):
            raise FatalError("tables and single samples in one shard", code="mixed-rows")
        if isinstance(sample, Rows):
            self._tables.append(sample.table)
            return
        number = len(self._rows)
        (self._sole.add if len(sample.arrays) == 1 else self._sole.discard)(number)
        if sample.layout is not None:
            self._write_laid(number, sample.arrays, sample.layout)
        for name, value in sorted(sample.arrays.items()) if sample.layout is None else ():
            if isinstance(value, np.ndarray) and value.nbytes < STACK_BYTES:
                self._small.setdefault(name, {})[number] = value
            else:
                self._write_alone(number, name, value, sample.row)
        self._rows.append({"sample_id": sample.id, **_plain(sample.row)})

    def forget(self, rows: int) -> None:
        """Take back every sample after the first `rows`, and what a failed `add` left behind."""
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
            del self._members[name], self._content[name]
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
        if self._members or self._laid:
            self._write_groups()
        table = joined(self._tables).combine_chunks() if self._tables else table_of(self._rows)
        buffer = io.BytesIO()
        pq.write_table(table, buffer, compression="zstd", write_page_checksum=True)
        self._outbox.put(TABLE, buffer.getvalue())
        self._outbox.flush()
        point("shard.written")
        content = hashlib.sha256(
            content_of(table).encode() if self._tables else canonical(self._rows)
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
            schema=form_of(table.schema) if self.rows else "",
            files=files,
        )

    def _write_small(self, name: str, arrays: dict[int, np.ndarray]) -> None:
        kinds = {(array.shape, str(array.dtype)) for array in arrays.values()}
        if len(kinds) > 1 or len(arrays) == 1:
            for number, array in arrays.items():
                self._write_alone(number, name, array, self._rows[number])
            return
        rows = sorted(arrays)
        if len(rows) < len(self._rows):
            self._partial[name] = rows
        stacked = np.stack([arrays[number] for number in rows])
        many = max(1, STACK_CHUNK_BYTES // max(1, stacked[0].nbytes))
        chunk = (min(len(stacked), many), *stacked.shape[1:])
        axes = ("n", *axes_of(stacked.ndim - 1, _spatial(stacked.ndim - 1, self._rows[rows[0]])))
        self._write_array(name, stacked, axis=0, chunk=chunk, axes=axes)

    def _write_alone(
        self, number: int, name: str, value: np.ndarray | Slabs, row: dict[str, Any]
    ) -> None:
        ndim = len(value.shape)
        spatial = _spatial(ndim, row)
        axis = value.axis if isinstance(value, Slabs) else ndim - spatial
        self._write_array(
            place(number, name, sole=number in self._sole),
            value,
            axis=axis,
            chunk=chunk_for(value.shape, spatial),
            axes=axes_of(ndim, spatial),
        )
        self._alone.setdefault(number, {})[name] = ndim

    def _write_laid(
        self, number: int, arrays: dict[str, np.ndarray | Slabs], layout: Layout
    ) -> None:
        for name, value in sorted(arrays.items()):
            self._write_array(
                f"{number}/{name}",
                value,
                axis=0,
                chunk=layout.chunks[name],
                axes=layout.axes[name],
                packing=DENSE,
                attributes=layout.notes.get(name),
            )
        self._laid[number] = layout.attributes

    def _write_array(
        self,
        name: str,
        value: np.ndarray | Slabs,
        *,
        axis: int,
        chunk: tuple[int, ...],
        axes: tuple[str, ...],
        packing: Packing = FAST,
        attributes: dict[str, Any] | None = None,
    ) -> None:
        writer = ArrayWriter(
            self._outbox,
            f"{ARRAYS}/{name}",
            value.shape,
            value.dtype,
            axis=axis,
            chunk=chunk,
            axes=axes,
            packing=packing,
            attributes=attributes,
        )
        for part in value.parts if isinstance(value, Slabs) else (value,):
            writer.append(part)
        self._content[name] = writer.close()
        self._members[name] = writer.meta.encode()

    def _write_groups(self) -> None:
        for number, names in sorted(self._alone.items()):
            sole, row = number in self._sole, self._rows[number]
            for path, attributes in groups(number, names, row, sole=sole).items():
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
        attributes = {"content": self._content, "rows": self._partial}
        self._outbox.put(ROOT, group(attributes, members))


def table_of(rows: list[dict[str, Any]]) -> pa.Table:
    """Rows as a table; columns are the union of the keys, in order of first appearance."""
    names = list(dict.fromkeys(name for row in rows for name in row)) or ["sample_id"]
    columns = {name: [row.get(name) for row in rows] for name in names}
    if not rows:
        return pa.table({"sample_id": pa.array([], pa.string())})
    return pa.table(columns)


def form_of(schema: pa.Schema) -> str:
    """Hash of a table's columns and their types."""
    return str(short([[field.name, str(field.type)] for field in schema]))


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """The row as JSON-able values: numpy scalars unboxed, tuples as lists, NaN as missing."""

    def plain(value: Any) -> Any:
        if isinstance(value, np.generic):
            value = value.item()
        if isinstance(value, float) and not math.isfinite(value):
            return None
        if isinstance(value, list | tuple | np.ndarray):
            return [plain(item) for item in value]
        return value

    return {name: plain(value) for name, value in row.items()}


def _spatial(ndim: int, row: dict[str, Any]) -> int:
    return len(row.get("spacing_mm") or ()) or min(ndim, 3)
