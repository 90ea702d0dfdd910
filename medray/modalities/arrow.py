"""Samples in Arrow streams, and answers. Compressed streams are refused: they may grow a lot."""

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from medray.errors import DataError
from medray.modalities.media import ROWS

Kind = Literal["tensor", "text", "list"]
Row = tuple[str, dict[str, np.ndarray]]
# What pyarrow raises on damage besides its own; StopIteration where the stream is empty.
_DAMAGE = (KeyError, ValueError, TypeError, OSError, EOFError, StopIteration, struct.error)


def read_rows(body: bytes, wanted: Mapping[str, Kind], most: int) -> Iterator[Row]:
    """Id and values of each row of a stream.

    Args:
        body: the stream. It has one or several of the columns `wanted`, and maybe `sample_id`.
        wanted: columns by name: "tensor" is a fixed-shape tensor; "text" comes as UTF-8, uint8
            (bytes,); "list" is of numbers, float32 (n,), NaN where one is null. A row whose list
            is null has none.
        most: bytes of the columns, together.

    Raises:
        DataError: "bad-arrow", or "too-large" for all rows together.
    """
    try:
        table = _table(body, wanted)
        there = [name for name in wanted if name in table.column_names]
        # Rows of nothing cost nothing in a body, and as much as others afterwards.
        if table.num_rows > ROWS:
            raise DataError(f"{table.num_rows} samples", code="too-large")
        size = sum(_size(table.column(name), wanted[name]) for name in there)
        if size > most:
            raise DataError(f"samples of {size} bytes", code="too-large")
        table.validate(full=True)
        names = (
            table.column("sample_id").to_pylist()
            if "sample_id" in table.column_names
            else [str(number) for number in range(table.num_rows)]
        )
        columns = {name: _READERS[wanted[name]](table.column(name)) for name in there}
    except (*_DAMAGE, pa.ArrowException) as error:
        raise _bad(type(error).__name__) from error
    if not columns or not names:
        raise _bad("there are no samples")
    if len(set(names)) < len(names) or not all(isinstance(name, str) for name in names):
        raise _bad("sample ids are no distinct texts")
    for at, name in enumerate(names):
        values = {column: made[at] for column, made in columns.items()}
        yield name, {column: one for column, one in values.items() if one is not None}


def _size(column: pa.ChunkedArray, kind: Kind) -> int:
    """Bytes of the column's values, once they are read."""
    types, found = pa.types, column.type
    held: int = column.nbytes
    if kind == "tensor":
        good = isinstance(found, pa.FixedShapeTensorType)
    elif kind == "text":
        good = types.is_string(found) or types.is_large_string(found)
    else:
        good = types.is_list(found) or types.is_large_list(found) or types.is_fixed_size_list(found)
        inner = found.value_type if good else found
        good = good and (types.is_integer(inner) or types.is_floating(inner))
        held *= max(1, 32 // inner.bit_width) if good else 1
    if not good:
        raise _bad(f"a column is not of type {kind}")
    if kind != "list" and column.null_count:
        raise _bad("a value is null")
    return held


def _tensors(column: pa.ChunkedArray) -> list[np.ndarray | None]:
    return [one for chunk in column.chunks for one in chunk.to_numpy_ndarray()]


def _texts(column: pa.ChunkedArray) -> list[np.ndarray | None]:
    return [np.frombuffer(text.encode(), np.uint8) for text in column.to_pylist()]


def _lists(column: pa.ChunkedArray) -> list[np.ndarray | None]:
    with np.errstate(over="ignore"):
        return [
            row.values.to_numpy(zero_copy_only=False).astype(np.float32) if row.is_valid else None
            for row in column
        ]


_READERS: dict[str, Callable[[pa.ChunkedArray], list[np.ndarray | None]]] = {
    "tensor": _tensors,
    "text": _texts,
    "list": _lists,
}


def write_rows(rows: Sequence[dict[str, Any]]) -> bytes:
    """A stream with one row per answer."""
    table = pa.Table.from_pylist(list(rows))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as out:
        out.write_table(table)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def _table(body: bytes, wanted: Mapping[str, Kind]) -> pa.Table:
    reader = pa.ipc.MessageReader.open_stream(body)
    schema = pa.ipc.read_schema(reader.read_next_message())
    batches = []
    while True:
        try:
            message = reader.read_next_message()
        except StopIteration:
            break
        if message.type != "record batch" or _compressed(message.metadata.to_pybytes()):
            raise _bad("compressed buffers or dictionaries")
        batches.append(pa.ipc.read_record_batch(message, schema))
    table = pa.Table.from_batches(batches, schema)
    return table.select([name for name in table.column_names if name in (*wanted, "sample_id")])


def _compressed(metadata: bytes) -> bool:
    """Whether a record batch's header (a flatbuffer, Message.fbs) has the field `compression`."""
    message = struct.unpack_from("<I", metadata)[0]
    header = _field(metadata, message, 2)  # version, header_type, header
    batch = header + struct.unpack_from("<I", metadata, header)[0]
    return _field(metadata, batch, 3) > 0  # length, nodes, buffers, compression


def _field(data: bytes, table: int, slot: int) -> int:
    """Where a table's field lies; 0 if it has none."""
    vtable = table - struct.unpack_from("<i", data, table)[0]
    if 4 + 2 * slot >= struct.unpack_from("<H", data, vtable)[0]:
        return 0
    offset: int = struct.unpack_from("<H", data, vtable + 4 + 2 * slot)[0]
    return table + offset if offset else 0


def _bad(why: str) -> DataError:
    return DataError(f"the stream cannot be used: {why}", code="bad-arrow")
