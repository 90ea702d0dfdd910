"""Tables of SMILES in Parquet files: groups of rows, cut further where they are large."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from medray.errors import DataError
from medray.formats.molecules.block import ROWS, Block, Slice

SUFFIXES = (".parquet",)
SLICE_ROWS = 2**16
_DAMAGE = (pa.ArrowException, OSError, ValueError)


def survey(path: Path) -> tuple[Sequence[str], list[Slice]]:
    """Columns and slices of a file, from its footer.

    Raises:
        DataError: it can't be read ("damaged-table"), or has no row ("empty-table").
    """
    try:
        with pq.ParquetFile(path) as file:
            names, about = file.schema_arrow.names, file.metadata
            groups = [about.row_group(n) for n in range(about.num_row_groups)]
            sizes = [(group.num_rows, group.total_byte_size) for group in groups]
    except _DAMAGE as error:
        raise _damaged() from error
    slices, first = [], 1
    for number, (rows, size) in enumerate(sizes):
        for start in range(0, rows, SLICE_ROWS):
            count = min(SLICE_ROWS, rows - start)
            extra = {"group": number, "start": start, "rows": count, "first": first + start}
            slices.append(Slice(first + start, size * count // rows, extra))
        first += rows
    if not slices:
        raise DataError("the table holds no row", code="empty-table")
    return names, slices


def blocks(path: Path, extra: Mapping[str, Any], wanted: Sequence[str] | None) -> Iterator[Block]:
    """The rows of a slice, some at a time.

    Raises:
        DataError: the file can't be read (code "damaged-table").
    """
    skip, left, number = extra["start"], extra["rows"], extra["first"]
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            batches = file.iter_batches(
                ROWS, [extra["group"]], list(wanted) if wanted else None, use_threads=False
            )
            for batch in batches:
                passed = min(skip, len(batch))
                part, skip = batch.slice(passed, left), skip - passed
                if not len(part):
                    continue
                columns = dict(zip(part.schema.names, part.columns, strict=True))
                yield Block("row", list(range(number, number + len(part))), columns, {})
                number, left = number + len(part), left - len(part)
                if not left:
                    return
    except _DAMAGE as error:
        raise _damaged() from error
    raise DataError("the table is shorter than when it was planned", code="changed")


def _damaged() -> DataError:
    return DataError("the Parquet file cannot be read", code="damaged-table")
