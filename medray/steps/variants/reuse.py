"""Known scores: what earlier versions of a dataset say of sites that come again.

The units of a step are kept by their identity; this finds single sites where the units were cut
anew, or a site comes again in another file. Its key is (contig, position, REF, ALT); genome, model
and statistics are the same in all versions that are asked, which the planner sees to.
"""

import logging
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from medray.errors import DamageError, DataError
from medray.log import event
from medray.storage.catalog.datasets import open_dataset
from medray.storage.shards.reader import Shard
from medray.storage.shards.records import Pinned
from medray.storage.store.objects import Objects

COLUMNS = ("ref_match", "contains_n", "status")
EXTENTS = "extents"  # attribute of a version: for each shard contig → first and last position


class KnownScores:
    """Scores of earlier versions. What is damaged of them is not known, and computed again.

    Args:
        objects: the storage root.
        versions: of one dataset, newest first, as name@version.
        columns: of the statistics.
    """

    def __init__(self, objects: Objects, versions: Sequence[str], columns: Sequence[str]) -> None:
        self._columns = [*COLUMNS, *columns]
        self._shards: dict[Pinned, dict[str, list[int]]] = {}
        self._objects = objects
        for name in versions:
            try:
                version = open_dataset(objects, name)
                shards = version.units.pinned()
            except DataError as error:
                _damaged(error)
                continue
            for shard, extent in zip(shards, version.attributes[EXTENTS], strict=True):
                self._shards.setdefault(shard, extent)
        self._table = lru_cache(maxsize=4)(self._read)

    def find(self, sites: pa.Table) -> tuple[np.ndarray, pa.Table]:
        """Which sites are known.

        Args:
            sites: with `contig`, `pos`, `ref`, `alt`, (n,).

        Returns:
            The row of each site in the table, int64 (n,), -1 where it is not known; and the table
            with the columns of a score.
        """
        rows = np.full(sites.num_rows, -1, np.int64)
        keys, found, height = _keys(sites), [], 0
        for shard in list(self._near(extent_of(sites))):
            try:
                table = self._table(shard)
            except DamageError as error:
                _damaged(error)
                self._shards.pop(shard, None)  # another thread may have met it, too
                continue
            at = pc.index_in(keys, value_set=_keys(table)).fill_null(-1).to_numpy()
            new = np.flatnonzero((rows < 0) & (at >= 0))
            if len(new):
                rows[new] = height + np.arange(len(new))
                found.append(table.take(at[new]).select(self._columns))
                height += len(new)
            if (rows >= 0).all():
                break
        return rows, pa.concat_tables(found) if found else pa.table({})

    def _near(self, extent: dict[str, list[int]]) -> Iterator[Pinned]:
        """Shards that may hold sites of an extent."""
        for shard, other in list(self._shards.items()):
            if any(
                name in other and other[name][0] <= last and first <= other[name][1]
                for name, (first, last) in extent.items()
            ):
                yield shard

    def _read(self, shard: Pinned) -> pa.Table:
        names = ["contig", "pos", "ref", "alt", *self._columns]
        return Shard(self._objects, shard).columns(names)


def _damaged(error: DataError) -> None:
    event("known-damaged", level=logging.WARNING, about=error.about, code=error.code)


def extent_of(sites: pa.Table) -> dict[str, list[int]]:
    """First and last position on each contig."""
    grouped = sites.select(["contig", "pos"]).group_by("contig", use_threads=False)
    found: list[dict[str, Any]] = grouped.aggregate([("pos", "min"), ("pos", "max")]).to_pylist()
    return {row["contig"]: [row["pos_min"], row["pos_max"]] for row in found}


def _keys(table: pa.Table) -> pa.ChunkedArray:
    parts = [table["contig"], table["pos"].cast(pa.string()), table["ref"], table["alt"]]
    return pc.binary_join_element_wise(*parts, "\t")
