"""Commits of many units, a column for each field: of 50,000 they are 20 MB, where objects took 400.

What a unit refused is rare and stands beside, by unit; so do no lists of files: `Ledger.commit_of`
has those.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

import pyarrow as pa
from blake3 import blake3

from medray.storage.catalog.columns import column_of, schema_of
from medray.storage.catalog.commit import Commit
from medray.storage.shards.records import Pinned, Refusal
from medray.storage.store.compute import call
from medray.storage.store.documents import Finite, decode

TEXTS = ("unit", "record", "path", "sha256", "content", "schema", "table", "arrays", "seconds")
SCHEMA = schema_of(TEXTS, ("rows", "bytes", "inputs"))


class Commits:
    """Commits, in an order.

    Args:
        table: of `SCHEMA`: unit, BLAKE3 of its record, path of its shard and what the record says
            of that (see `ShardRecord` and `Pinned`), seconds by stage as JSON, accountable inputs.
        refused: what units refused, by unit, in the same order; those that refused nothing are left
            out.
    """

    def __init__(self, table: pa.Table, refused: Mapping[str, Sequence[Refusal]]) -> None:
        self.table, self.refused = table, refused

    @classmethod
    def of(cls, commits: Iterable[Commit]) -> "Commits":
        """Those of single records."""
        rows, refused = [], {}
        for commit in commits:
            shard = commit.shard
            pinned = shard.pinned
            record = commit.record or blake3(commit.encode()).hexdigest()
            seconds = json.dumps(commit.seconds)
            texts = (shard.path, shard.sha256, shard.content, shard.schema, *pinned[1:], seconds)
            rows.append((commit.unit, record, *texts, shard.rows, shard.bytes, commit.inputs))
            if commit.refused:
                refused[commit.unit] = commit.refused
        columns = zip(*rows, strict=True) if rows else [()] * len(SCHEMA)
        pairs = zip(columns, SCHEMA.types, strict=True)
        arrays = [column_of(column, kind) for column, kind in pairs]
        return cls(pa.Table.from_arrays(arrays, schema=SCHEMA), refused)

    @classmethod
    def joined(cls, parts: Iterable["Commits"]) -> "Commits":
        """Those of several, one after the other; no unit may be in two of them."""
        parts = [cls.of([]), *parts]
        refused = {unit: rows for part in parts for unit, rows in part.refused.items()}
        return cls(pa.concat_tables([part.table for part in parts]), refused)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def units(self) -> list[str]:
        """Their units."""
        return self.column("unit")

    def column(self, name: str) -> list[Any]:
        """One field of each."""
        values: list[Any] = self.table[name].to_pylist()
        return values

    def of_units(self, units: Iterable[str]) -> "Commits":
        """Those of `units`, in that order.

        Raises:
            KeyError: one is not here.
        """
        place = {unit: number for number, unit in enumerate(self.units)}
        return self.take([place[unit] for unit in units])

    def take(self, numbers: Sequence[int]) -> "Commits":
        """Those at some places, in that order."""
        if len(numbers) == len(self) and all(map(int.__eq__, numbers, range(len(self)))):
            return self
        table = call("take", self.table, column_of(numbers, pa.int64()))
        units = table["unit"].to_pylist() if self.refused else []
        return Commits(table, {unit: self.refused[unit] for unit in units if unit in self.refused})

    @property
    def refusals(self) -> list[Refusal]:
        """What all of them refused, in order."""
        return list(chain.from_iterable(self.refused.values()))

    def pinned(self) -> list[Pinned]:
        """The shard of each."""
        return list(map(Pinned, *(self.column(name) for name in Pinned._fields)))

    def seconds(self) -> dict[str, float]:
        """Time spent by stage, of all of them."""
        total: Counter[str] = Counter()
        data = f"[{','.join(self.column('seconds'))}]".encode()
        for seconds in decode(data, "seconds", list[dict[str, Finite]]):
            total.update(seconds)
        return dict(total)
