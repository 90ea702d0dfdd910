"""What was planned, as it stands in storage: <root>/runs/<run>/plan.parquet.

A row per input: unit, index, input, bytes; keys only, no paths.
"""

import io
from typing import TYPE_CHECKING, Any

from medray.storage.store.documents import damaged
from medray.storage.store.objects import Objects

if TYPE_CHECKING:
    import pyarrow as pa

    from medray.steps.base.planned import Planned

FORGET = "delete it, and run the job from its file: what is committed stays"


def write_plan(objects: Objects, run: str, planned: "Planned") -> None:
    """Keep the plan of a step's run, unless that was done: its id says what its plan is.

    Made again it would cost pyarrow's import of pandas, a second, where there may be nothing to do.
    """
    if not objects.exists(_path(run)):
        objects.put(_path(run), _table(planned))


def read_plan(objects: Objects, run: str, columns: list[str]) -> "pa.Table":
    """Columns of the plan of a step's run.

    Raises:
        FileNotFoundError: there is none: it is a training, or was never planned.
        DataError: it is damaged (code "damaged-record").
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    data = io.BytesIO(objects.get(_path(run)))
    try:
        # Without Arrow's threads, which now and then abort the process when it exits.
        table = pq.ParquetFile(data).read(columns, use_threads=False)
        table = table.select(columns)
        texts = pa.schema([(name, pa.string()) for name in columns])
        # A cast loads pyarrow.compute: 60 ms, where there may be nothing to do.
        return table if table.schema.equals(texts) else table.cast(texts)
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise damaged(_path(run), FORGET) from error


def _path(run: str) -> str:
    return f"runs/{run}/plan.parquet"


def _table(planned: "Planned") -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    units = planned.units
    columns: dict[str, list[Any]] = {
        "unit": [unit.id for unit in units for _ in unit.inputs],
        "index": [unit.index for unit in units for _ in unit.inputs],
        "input": [key for unit in units for key in unit.inputs],
        "bytes": [
            size for unit in units for size in unit.payload.get("bytes", [None] * len(unit.inputs))
        ],
    }
    schema = pa.schema(
        [
            ("unit", pa.string()),
            ("index", pa.int64()),
            ("input", pa.string()),
            ("bytes", pa.int64()),
        ]
    )
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pydict(columns, schema), buffer, compression="zstd")
    return buffer.getvalue()
