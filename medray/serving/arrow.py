"""Images in Arrow streams, and answers. Compressed streams are refused: they may grow a lot."""

import struct
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from medray.errors import DataError

ROWS = 4096  # of one request
# What pyarrow raises on damage besides its own; StopIteration where the stream is empty.
_DAMAGE = (KeyError, ValueError, TypeError, OSError, EOFError, StopIteration, struct.error)


def read_images(body: bytes, image_bytes: int) -> Iterator[tuple[str, np.ndarray]]:
    """Name and values of each row of a stream.

    The table has `image`, a fixed-shape tensor (C, Z, Y, X) or (C, Y, X), and maybe `sample_id`.

    Raises:
        DataError: "bad-arrow", or "image-too-large" for all rows together.
    """
    try:
        table = _table(body)
        columns = table.column("image")
        # Rows of nothing cost nothing in a body, and as much as others afterwards.
        if table.num_rows > ROWS or columns.nbytes > image_bytes:
            raise DataError(
                f"{table.num_rows} images of {columns.nbytes} bytes", code="image-too-large"
            )
        table.validate(full=True)
        if not isinstance(columns.type, pa.FixedShapeTensorType) or columns.null_count:
            raise _bad("`image` is no column of fixed-shape tensors")
        names = (
            table.column("sample_id").to_pylist()
            if "sample_id" in table.column_names
            else [str(number) for number in range(table.num_rows)]
        )
        images = [one for chunk in columns.chunks for one in chunk.to_numpy_ndarray()]
    except (*_DAMAGE, pa.ArrowException) as error:
        raise _bad(type(error).__name__) from error
    if len(set(names)) < len(names) or not all(isinstance(name, str) for name in names):
        raise _bad("sample ids are no distinct texts")
    yield from zip(names, images, strict=True)


def write_rows(rows: Sequence[dict[str, Any]]) -> bytes:
    """A stream with one row per answer."""
    table = pa.Table.from_pylist(list(rows))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as out:
        out.write_table(table)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def _table(body: bytes) -> pa.Table:
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
    return table.select([name for name in table.column_names if name in ("image", "sample_id")])


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
