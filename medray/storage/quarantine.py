"""The quarantine: a Parquet table per unit of what was refused, and why."""

import io
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from medray.errors import DataError
from medray.ids import short
from medray.storage.ledger import Commit
from medray.storage.objects import Objects
from medray.storage.records import Refusal

STOPPED = "stopped"  # the table of a step that made no version
SCHEMA = pa.schema(
    [
        ("source", pa.string()),
        ("code", pa.string()),
        ("reason", pa.string()),
        ("sample", pa.string()),
        ("files", pa.int64()),
    ]
)


@dataclass(frozen=True)
class Written:
    """What was written.

    Args:
        tables: by path, the hash of their rows (see `content_of`).
        inputs: accountable inputs that they refuse.
    """

    tables: dict[str, str]
    inputs: int


def write_quarantine(
    objects: Objects, name: str, commits: list[Commit], planned: list[Refusal]
) -> Written:
    """Write the refusals of every unit, and those made while planning, as tables."""
    inputs = len(planned)
    parts = [(commit.unit, commit.refused) for commit in commits if commit.refused]
    if planned:
        parts.append((f"plan-{content_of(planned)}", planned))
    tables = {_write(objects, name, part, refused): content_of(refused) for part, refused in parts}
    for commit in commits:
        # A refusal that names a sample refuses a part of an input that is otherwise committed.
        inputs += len({item.source for item in commit.refused if not item.sample})
    return Written(tables, inputs)


def path_of(name: str, part: str) -> str:
    """Where the table of a part of a dataset stands: of a unit, under its id."""
    return f"datasets/{name}/quarantine/{part}.parquet"


def content_of(refused: Sequence[Refusal]) -> str:
    """Hash of refusals, whatever wrote their table: equal refusals, equal hash."""
    return short([asdict(item) for item in refused])


def keep_refusals(
    objects: Objects, name: str, commits: Sequence[Commit], planned: Sequence[Refusal]
) -> None:
    """Write what was refused until the error budget stopped the step, which makes no version."""
    refused = [item for commit in commits for item in commit.refused]
    _write(objects, name, STOPPED, [*refused, *planned])


def read_refusals(objects: Objects, name: str) -> pa.Table | None:
    """What `keep_refusals` wrote last; None where the budget never stopped a step."""
    path = path_of(name, STOPPED)
    return _table(objects, path) if objects.exists(path) else None


def _write(objects: Objects, name: str, part: str, refused: Sequence[Refusal]) -> str:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([asdict(item) for item in refused], SCHEMA), buffer)
    path = path_of(name, part)
    objects.put(path, buffer.getvalue())
    return path


def read_quarantine(objects: Objects, tables: Iterable[str]) -> pa.Table:
    """All refusals of a version.

    Raises:
        DataError: a table is gone or damaged (codes "missing-table", "damaged-table").
    """
    read = [_table(objects, path) for path in tables]
    return pa.concat_tables(read) if read else SCHEMA.empty_table()


def _table(objects: Objects, path: str) -> pa.Table:
    try:
        data = io.BytesIO(objects.get(path))
    except FileNotFoundError as error:
        raise DataError("missing", code="missing-table", about=path) from error
    try:
        # Without Arrow's threads, which now and then abort the process when it exits.
        return pq.ParquetFile(data).read(use_threads=False).cast(SCHEMA)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError("cannot be read", code="damaged-table", about=path) from error
