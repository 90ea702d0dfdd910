"""Commits of a dataset packed into one object: a plan needs one read then, and not one a unit.

<root>/datasets/<name>/packed.arrow    a row per commit, without its list of files: an Arrow
                                       stream, then BLAKE3 of it

The records are the truth and this is a copy. A row counts as long as the listing shows the record's
ETag that it was made of, so one that was deleted, or made again, is read itself. Whoever finds the
copy damaged or gone reads all records, as the first plan does.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from itertools import chain
from typing import NamedTuple

import pyarrow as pa
from blake3 import blake3

from medray.errors import DataError
from medray.storage.catalog.columns import column_of, dump, load
from medray.storage.catalog.commits import SCHEMA as COMMITS
from medray.storage.catalog.commits import Commits
from medray.storage.shards.records import Refusal
from medray.storage.store.documents import decode
from medray.storage.store.objects import Objects

# The ETag of the record, and as JSON what the unit refused: empty where that is nothing.
MORE = ("tag", "refused")
SCHEMA = pa.schema([*COMMITS, *(pa.field(name, pa.string(), nullable=False) for name in MORE)])
HASH_BYTES = 32


class Pack(NamedTuple):
    """Packed commits.

    Args:
        commits: what they say.
        tags: ETag of the record of each.
    """

    commits: Commits
    tags: list[str]


NONE = Pack(Commits.of([]), [])


def read_pack(objects: Objects, dataset: str) -> Pack:
    """The packed commits of a dataset; none where there is no sound pack."""
    path = _path(dataset)
    try:
        data = pa.py_buffer(objects.get(path))
        size = max(0, data.size - HASH_BYTES)
        if blake3(data.slice(0, size)).digest() != data.slice(size).to_pybytes():
            return NONE
        table = load(data.slice(0, size), SCHEMA)
        texts = zip(table["unit"].to_pylist(), table["refused"].to_pylist(), strict=True)
        refused = {unit: text for unit, text in texts if text}
        found = decode(f"[{','.join(refused.values())}]".encode(), path, list[list[Refusal]])
    except (FileNotFoundError, DataError, ValueError):
        return NONE
    commits = Commits(table.select(COMMITS.names), dict(zip(refused, found, strict=True)))
    return Pack(commits, table["tag"].to_pylist())


def add_to_pack(objects: Objects, dataset: str, fresh: Sequence[Pack]) -> None:
    """Put commits into a dataset's pack, the last of each unit in the place of those before."""
    parts: list[Pack] = []
    seen: set[str] = set()
    for pack in reversed([read_pack(objects, dataset), *fresh]):
        kept = [n for n, unit in enumerate(pack.commits.units) if unit not in seen]
        parts.insert(0, Pack(pack.commits.take(kept), [pack.tags[n] for n in kept]))
        seen.update(pack.commits.units)
    commits = Commits.joined(pack.commits for pack in parts)
    tags = list(chain.from_iterable(pack.tags for pack in parts))
    said = {unit: json.dumps(list(map(asdict, rows))) for unit, rows in commits.refused.items()}
    refused = [said.get(unit, "") for unit in commits.units]
    more = [column_of(values, pa.string()) for values in (tags, refused)]
    table = pa.Table.from_arrays([*commits.table.columns, *more], schema=SCHEMA)
    data = dump(table, HASH_BYTES)
    data[-HASH_BYTES:] = blake3(memoryview(data)[:-HASH_BYTES]).digest()
    objects.put(_path(dataset), data)


def _path(dataset: str) -> str:
    return f"datasets/{dataset}/packed.arrow"
