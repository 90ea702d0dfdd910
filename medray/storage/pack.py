"""Commits of a dataset packed into one object: a plan needs one read then, and not one a unit.

<root>/datasets/<name>/packed.parquet    a row per commit, without its list of files

The records are the truth and this is a copy. A row counts as long as the listing shows the record's
ETag that it was made of, so one that was deleted, or made again, is read itself. Whoever finds the
copy damaged or gone reads all records, as the first plan does.
"""

import io
from collections.abc import Iterable
from typing import NamedTuple

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


KINDS = {"unit": "string", "tag": "string", "record": "string", "commit": "binary"}


def read_pack(objects: Objects, dataset: str) -> dict[str, Row]:
    """The packed commits of a dataset, by unit; none where there is no sound pack."""
    try:
        data = io.BytesIO(objects.get(_path(dataset)))
    except (FileNotFoundError, DataError):
        return {}
    import pyarrow as pa  # 0.2 s that a command need not pay that only looks for a run's state
    import pyarrow.parquet as pq

    try:
        # Without Arrow's threads, which now and then abort the process when it exits.
        table = pq.ParquetFile(data, page_checksum_verification=True).read(use_threads=False)
        columns = [table[name].cast(kind).to_pylist() for name, kind in KINDS.items()]
    except (pa.ArrowException, OSError, ValueError, KeyError):
        return {}
    return {row.unit: row for row in map(Row, *columns)}


def write_pack(objects: Objects, dataset: str, rows: Iterable[Row]) -> None:
    """Replace a dataset's pack."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = zip(KINDS.values(), zip(*rows, strict=True), strict=True)
    arrays = [pa.array(column, kind) for kind, column in columns]
    buffer = io.BytesIO()
    table = pa.Table.from_arrays(arrays, names=list(KINDS))
    pq.write_table(table, buffer, compression="zstd", write_page_checksum=True)
    objects.put(_path(dataset), buffer.getvalue())


def _path(dataset: str) -> str:
    return f"datasets/{dataset}/packed.parquet"
