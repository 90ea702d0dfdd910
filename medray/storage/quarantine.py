"""The quarantine: a Parquet table for each version of what was refused, and why."""

import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from medray.errors import DataError
from medray.ids import short
from medray.storage.ledger import Commit
from medray.storage.manifest import Refused
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
        refused: what a version's head says of it.
        inputs: accountable inputs that are refused.
    """

    refused: Refused
    inputs: int


def write_quarantine(
    objects: Objects, name: str, commits: Sequence[Commit], planned: Sequence[Refusal]
) -> Written:
    """Write the refusals of every unit, then those made while planning, as one table."""
    refused = [*(item for commit in commits for item in commit.refused), *planned]
    content = content_of(refused) if refused else ""
    if refused:
        _write(objects, path_of(name, content), refused)
    inputs = len(planned)
    for commit in commits:
        # A refusal that names a sample refuses a part of an input that is otherwise committed.
        inputs += len({item.source for item in commit.refused if not item.sample})
    codes = Counter(item.code for item in refused)
    return Written(Refused(content, dict(codes.most_common())), inputs)


def path_of(name: str, table: str) -> str:
    """Where a table of a dataset stands: of a version, under the hash of its rows."""
    return f"datasets/{name}/quarantine/{table}.parquet"


def content_of(refused: Sequence[Refusal]) -> str:
    """Hash of refusals, whatever wrote their table: equal refusals, equal hash."""
    return short([asdict(item) for item in refused])


def keep_refusals(
    objects: Objects, name: str, commits: Sequence[Commit], planned: Sequence[Refusal]
) -> None:
    """Write what was refused until the error budget stopped the step, which makes no version."""
    refused = [item for commit in commits for item in commit.refused]
    _write(objects, path_of(name, STOPPED), [*refused, *planned])


def read_refusals(objects: Objects, name: str) -> pa.Table | None:
    """What `keep_refusals` wrote last; None where the budget never stopped a step."""
    path = path_of(name, STOPPED)
    return _table(objects, path) if objects.exists(path) else None


def _write(objects: Objects, path: str, refused: Sequence[Refusal]) -> None:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([asdict(item) for item in refused], SCHEMA), buffer)
    objects.put(path, buffer.getvalue())


def read_quarantine(objects: Objects, name: str, refused: Refused) -> pa.Table:
    """All refusals of a version.

    Raises:
        DataError: the table is gone or damaged (codes "missing-table", "damaged-table").
    """
    return _table(objects, path_of(name, refused.table)) if refused.table else SCHEMA.empty_table()


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
