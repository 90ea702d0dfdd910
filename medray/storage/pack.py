"""Commits of a dataset packed into one object: a plan needs one read then, and not one a unit.

<root>/datasets/<name>/packed.parquet    a row per commit, without its list of files

The records are the truth and this is a copy. A row counts as long as the listing shows the record's
ETag that it was made of, so one that was deleted, or made again, is read itself. Whoever finds the
copy damaged or gone reads all records, as the first plan does.
"""

import io
from collections.abc import Iterable
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from medray.errors import DataError
from medray.storage.objects import Objects


class Row(NamedTuple):
    """A packed commit.

    Args:
        unit: its id.
        tag: ETag of its record.
        record: BLAKE3 of its record.
        commit: the record without its list of files.
    """

    unit: str
    tag: str
    record: str
    commit: bytes


SCHEMA = pa.schema(
    [
        ("unit", pa.string()),
        ("tag", pa.string()),
        ("record", pa.string()),
        ("commit", pa.binary()),
    ]
)


def read_pack(objects: Objects, dataset: str) -> dict[str, Row]:
    """The packed commits of a dataset, by unit; none where there is no sound pack."""
    try:
        data = io.BytesIO(objects.get(_path(dataset)))
        # Without Arrow's threads, which now and then abort the process when it exits.
        table = pq.ParquetFile(data, page_checksum_verification=True).read(use_threads=False)
        columns = [column.to_pylist() for column in table.cast(SCHEMA).columns]
    except (FileNotFoundError, DataError, pa.ArrowException, OSError, ValueError):
        return {}
    return {row.unit: row for row in map(Row, *columns)}


def write_pack(objects: Objects, dataset: str, rows: Iterable[Row]) -> None:
    """Replace a dataset's pack."""
    columns = list(zip(*rows, strict=True))
    buffer = io.BytesIO()
    table = pa.Table.from_arrays(
        [pa.array(*column) for column in zip(columns, SCHEMA.types, strict=True)], schema=SCHEMA
    )
    pq.write_table(table, buffer, compression="zstd", write_page_checksum=True)
    objects.put(_path(dataset), buffer.getvalue())


def _path(dataset: str) -> str:
    return f"datasets/{dataset}/packed.parquet"
