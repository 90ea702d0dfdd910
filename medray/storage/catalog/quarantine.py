"""The quarantine: a Parquet table for each version of what was refused, and why."""

import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from medray.ids import short
from medray.storage.catalog.columns import column_of
from medray.storage.catalog.commits import Commits
from medray.storage.catalog.manifest import Refused
from medray.storage.shards.records import Kind, Refusal, single_samples, whole_inputs
from medray.storage.store.damage import damage
from medray.storage.store.objects import Objects

STOPPED = "stopped"  # the table of a step that made no version
SCHEMA = pa.schema(
    [
        ("source", pa.string()),
        ("code", pa.string()),
        ("reason", pa.string()),
        ("sample", pa.string()),
        ("files", pa.int64()),
        ("kind", pa.string()),
        ("hint", pa.string()),
        ("path", pa.string()),
        ("syntax", pa.string()),
    ]
)


@dataclass(frozen=True)
class Written:
    """What was written.

    Args:
        refused: what a version's head says of it.
        inputs: accountable inputs that are quarantined.
        passed_over: accountable inputs that are passed over.
    """

    refused: Refused
    inputs: int
    passed_over: int


def write_quarantine(
    objects: Objects, name: str, commits: Commits, planned: Sequence[Refusal]
) -> Written:
    """Write the refusals of every unit, then those made while planning, as one table."""
    refused = [*commits.refusals, *planned]
    content = content_of(refused) if refused else ""
    if refused:
        _write(objects, path_of(name, content), refused)
    # Of refusals made while planning each is an input.
    passed = sum(item.kind == "passed-over" for item in planned)
    inputs = len(planned) - passed
    for rows in commits.refused.values():
        more, over = whole_inputs(rows)
        inputs, passed = inputs + more, passed + over
    samples = sum(single_samples(commits.refusals).values())
    codes = _codes(refused, "quarantined"), _codes(refused, "passed-over")
    said = Refused(content, *codes, samples)
    return Written(said, inputs, passed)


def _codes(refused: Sequence[Refusal], kind: Kind) -> dict[str, int]:
    return dict(Counter(item.code for item in refused if item.kind == kind).most_common())


def path_of(name: str, table: str) -> str:
    """Where a table of a dataset stands: of a version, under the hash of its rows."""
    return f"datasets/{name}/quarantine/{table}.parquet"


def content_of(refused: Sequence[Refusal]) -> str:
    """Hash of refusals, whatever wrote their table: equal refusals, equal hash."""
    return short([vars(item) for item in refused])


def keep_refusals(
    objects: Objects, name: str, commits: Commits, planned: Sequence[Refusal]
) -> None:
    """Write what was refused by a step that makes no version: the error budget stopped it, or
    nothing was left."""
    _write(objects, path_of(name, STOPPED), [*commits.refusals, *planned])


def read_refusals(objects: Objects, name: str) -> pa.Table | None:
    """What `keep_refusals` wrote, where the last step to end made no version; else None."""
    path = path_of(name, STOPPED)
    return _table(objects, path) if objects.exists(path) else None


def forget_refusals(objects: Objects, name: str) -> None:
    """There is a version: what `keep_refusals` wrote before is of no more interest."""
    objects.delete([path_of(name, STOPPED)])


def _columns(refused: Sequence[Refusal]) -> pa.Table:
    arrays = [column_of([vars(item)[one.name] for item in refused], one.type) for one in SCHEMA]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def _write(objects: Objects, path: str, refused: Sequence[Refusal]) -> None:
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(_columns(refused), buffer)
    objects.put(path, buffer.getvalue())


def read_quarantine(objects: Objects, name: str, refused: Refused) -> pa.Table:
    """All refusals of a version.

    Raises:
        DataError: the table is gone or damaged (codes "missing-table", "damaged-table").
    """
    if not refused.table:
        return _columns([])
    return _table(objects, path_of(name, refused.table))


def _table(objects: Objects, path: str) -> pa.Table:
    import pyarrow.parquet as pq

    try:
        data = io.BytesIO(objects.get(path))
    except FileNotFoundError as error:
        raise damage("missing", "missing-table", path) from error
    try:
        # Without Arrow's threads, which now and then abort the process when it exits.
        return pq.ParquetFile(data).read(use_threads=False).cast(SCHEMA)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise damage("cannot be read", "damaged-table", path) from error
