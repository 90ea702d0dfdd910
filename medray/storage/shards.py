"""A shard: one Parquet table, a row per sample, and one Zarr v3 group where samples hold arrays.

Where a sample names no layout, the data choose one: small arrays of one shape are stacked, sample
by sample along the first axis (`arrays.zarr/image`); all others stand alone, as OME-Zarr images
(`arrays.zarr/<row>/image`, `arrays.zarr/<row>/labels/label/0`). Of a stack that some samples lack,
the group's attribute `rows` says which row of the table each entry belongs to. A sample with a
layout is a group of its own (`arrays.zarr/<row>/<array>`), which Zarr libraries open by itself.
"""

import hashlib
import io
import json
import math
from dataclasses import asdict, dataclass
from functools import cached_property
from types import EllipsisType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from medray.errors import DataError, FatalError
from medray.faults import point
from medray.ids import canonical
from medray.storage.arrays import ArrayReader, ArrayWriter, chunk_for
from medray.storage.objects import Objects
from medray.storage.ome import axes_of, groups, place
from medray.storage.outbox import Outbox
from medray.storage.rows import Rows, content_of, joined
from medray.storage.samples import Layout, Sample, Slabs
from medray.storage.zarr3 import DENSE, FAST, ArrayMeta, Packing, group

ARRAYS = "arrays.zarr"
STACK_BYTES = 256 * 2**10  # arrays below this wait for the end of the unit, to be stacked
STACK_CHUNK_BYTES = 2**20


@dataclass(frozen=True)
class ShardRecord:
    """What a commit says of a shard.

    Args:
        path: folder of the shard, below the root.
        rows: samples in it.
        bytes: of all its objects.
        sha256: over the names, sizes and hashes of its objects.
        content: hash of what it holds, whatever wrote it: equal content, equal hash.
        files: name below `path` → (bytes, BLAKE3).
    """

    path: str
    rows: int
    bytes: int
    sha256: str
    content: str
    files: dict[str, tuple[int, str]]

    def encode(self) -> dict[str, Any]:
        """As JSON-able values."""
        return asdict(self)


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
        self._laid: dict[int, dict[str, Any]] = {}
        self._content: dict[str, str] = {}
        self._partial: dict[str, list[int]] = {}

    @property
    def rows(self) -> int:
        """Samples added so far."""
        return len(self._rows) + sum(table.num_rows for table in self._tables)

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
        for name, arrays in sorted(self._small.items()):
            self._write_small(name, arrays)
        if self._members or self._laid:
            self._write_groups()
        table = joined(self._tables) if self._tables else table_of(self._rows)
        buffer = io.BytesIO()
        pq.write_table(table, buffer, compression="zstd", write_page_checksum=True)
        self._outbox.put("table.parquet", buffer.getvalue())
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
            sha256=hashlib.sha256(canonical(files)).hexdigest(),
            content=content.hexdigest(),
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
            place(number, name),
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
            for path, attributes in groups(number, names, self._rows[number]).items():
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
        self._outbox.put(f"{ARRAYS}/zarr.json", group(attributes, members))


class Shard:
    """A committed shard, read lazily."""

    def __init__(self, objects: Objects, path: str) -> None:
        self.path = path
        self._objects = objects

    @cached_property
    def table(self) -> pa.Table:
        """The rows.

        Raises:
            DataError: the table is damaged or gone (codes "damaged-table", "missing-table").
        """
        path = f"{self.path}/table.parquet"
        try:
            data = io.BytesIO(self._objects.get(path))
        except FileNotFoundError as error:
            raise DataError("the table is missing", code="missing-table", about=path) from error
        try:
            # Without Arrow's threads, which now and then abort the process when it exits.
            file = pq.ParquetFile(data, page_checksum_verification=True)
            table = file.read(use_threads=False)
            table["sample_id"].cast(pa.string())
        except (pa.ArrowException, OSError, KeyError, ValueError) as error:
            raise DataError("the table is damaged", code="damaged-table", about=path) from error
        return table

    @cached_property
    def _group(self) -> tuple[dict[str, Any], dict[str, dict[int, int]]]:
        """Metadata of every array, and the entry of each row in stacks that some samples lack."""
        path = f"{self.path}/{ARRAYS}/zarr.json"
        try:
            document = json.loads(self._objects.get(path))
            members = {
                name: dict(member)
                for name, member in document["consolidated_metadata"]["metadata"].items()
            }
            partial = {
                name: {int(row): entry for entry, row in enumerate(rows)}
                for name, rows in document["attributes"].get("rows", {}).items()
            }
        except FileNotFoundError:
            return {}, {}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise DataError(
                "the arrays' metadata is damaged", code="damaged-metadata", about=path
            ) from error
        return members, partial

    def names(self, row: int) -> list[str]:
        """Names of the arrays that sample `row` has, sorted."""
        members, partial = self._group
        stacked = {name for name in members if "/" not in name and not name.isdigit()}
        stacked -= {name for name, entries in partial.items() if row not in entries}
        prefix = f"{row}/labels/"
        labels = {
            path.split("/")[2]
            for path in members
            if path.startswith(prefix) and path.endswith("/0")
        }
        return sorted(stacked | labels | self._direct(row).keys())

    def _direct(self, row: int) -> dict[str, dict[str, Any]]:
        """Arrays that lie right in a sample's group: its image, or those of its layout."""
        prefix = f"{row}/"
        return {
            path.removeprefix(prefix): member
            for path, member in self._group[0].items()
            if path.startswith(prefix)
            and path.count("/") == 1
            and member.get("node_type") == "array"
        }

    def layout(self, row: int) -> Layout | None:
        """The layout that a sample was written with, if any."""
        members, _ = self._group
        attributes = (members.get(str(row)) or {}).get("attributes") or {}
        direct = self._direct(row)
        if "ome" in attributes or (str(row) not in members):
            return None
        if not direct and f"{row}/labels" in members:
            return None
        metas = {name: ArrayMeta.decode(member, self.path) for name, member in direct.items()}
        return Layout(
            attributes,
            axes={name: meta.axes for name, meta in metas.items()},
            chunks={name: meta.chunk for name, meta in metas.items()},
            notes={name: meta.attributes for name, meta in metas.items() if meta.attributes},
        )

    def array(self, row: int, name: str) -> "SampleArray":
        """One sample's array, to be sliced.

        Raises:
            DataError: the sample has no array of that name (code "no-such-array").
        """
        members, partial = self._group
        entry = partial[name].get(row) if name in partial else row
        stack = () if entry is None else ((name, entry),)
        for path, index in ((place(row, name), None), (f"{row}/{name}", None), *stack):
            document = members.get(path)
            if document is not None and document.get("node_type") == "array":
                return SampleArray(self._reader(path, document), index)
        raise DataError(
            f"sample {row} has no array {name!r}",
            code="no-such-array",
            about=self.path,
            hint=f"it has: {', '.join(self.names(row)) or 'none'}",
        )

    def stack(self, name: str) -> list[np.ndarray | None] | None:
        """That array of every sample, None for those without; None where they aren't stacked."""
        members, partial = self._group
        document = members.get(name)
        if document is None or document.get("node_type") != "array":
            return None
        whole = self._reader(name, document)[()]
        if name not in partial:
            return list(whole)
        entries = partial[name]
        rows = range(self.table.num_rows)
        return [whole[entries[row]] if row in entries else None for row in rows]

    def sample(self, row: int) -> Sample:
        """One sample with its arrays in memory."""
        values = self.table.slice(row, 1).to_pylist()[0]
        sample_id = values.pop("sample_id")
        arrays = {name: self.array(row, name)[...] for name in self.names(row)}
        return Sample(sample_id, values, dict(arrays), self.layout(row))

    def _reader(self, path: str, document: dict[str, Any]) -> ArrayReader:
        full = f"{self.path}/{ARRAYS}/{path}"
        return ArrayReader(self._objects, full, ArrayMeta.decode(document, full))


class SampleArray:
    """One sample's array: whole, or one row of a stack. Slices read only what they touch."""

    def __init__(self, reader: ArrayReader, row: int | None) -> None:
        self._reader, self._row = reader, row

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the sample's array."""
        return self._reader.shape if self._row is None else self._reader.shape[1:]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Its data type."""
        return self._reader.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def chunk(self) -> tuple[int, ...]:
        """Inner chunk, the least that a read decodes."""
        chunk = self._reader.meta.chunk
        return chunk if self._row is None else chunk[1:]

    def __getitem__(self, window: tuple[slice, ...] | slice | EllipsisType) -> np.ndarray:
        """Values of the window; `[...]` is all of it."""
        if isinstance(window, EllipsisType):
            window = ()
        window = window if isinstance(window, tuple) else (window,)
        if self._row is None:
            return self._reader[window]
        values: np.ndarray = self._reader[(slice(self._row, self._row + 1), *window)][0]
        return values


def table_of(rows: list[dict[str, Any]]) -> pa.Table:
    """Rows as a table; columns are the union of the keys, in order of first appearance."""
    names = list(dict.fromkeys(name for row in rows for name in row)) or ["sample_id"]
    columns = {name: [row.get(name) for row in rows] for name in names}
    if not rows:
        return pa.table({"sample_id": pa.array([], pa.string())})
    return pa.table(columns)


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
