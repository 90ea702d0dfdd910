"""Datasets: immutable versions over committed shards, and the HEAD that names the newest.

What a version holds on disk is in `manifest`; readers see nothing else.
"""

from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from medray.errors import DataError, SpecError
from medray.ids import ID_DIGITS
from medray.storage.catalog.items import Items, Shards
from medray.storage.catalog.manifest import Entries, Manifest, hash_of, manifest_path, units_path
from medray.storage.catalog.quarantine import read_quarantine
from medray.storage.catalog.versions import (
    check_name,
    damaged_manifest,
    heads,
    lost_head,
    lost_version,
    read_head,
    whole_version,
)
from medray.storage.shards.reader import Shard
from medray.storage.shards.records import TABLE
from medray.storage.shards.rows import joined
from medray.storage.shards.sample_array import SampleArray
from medray.storage.shards.samples import Sample
from medray.storage.shards.writer import table_of
from medray.storage.store.damage import damage
from medray.storage.store.documents import read
from medray.storage.store.objects import Objects

if TYPE_CHECKING:
    import dask.array

_PLACE = ("_shard", "_row")


def open_dataset(objects: Objects, reference: str) -> "Dataset":
    """Open `name` (the newest version) or `name@version` (a prefix of 6 or more digits will do).

    Raises:
        SpecError: there is no such dataset or version (codes "no-such-dataset",
            "no-such-version").
        DataError: HEAD or the manifest was altered (codes "damaged-record", "damaged-manifest"), or
            HEAD names a version that is not there ("lost-version").
    """
    name, _, given = reference.partition("@")
    check_name(name)
    version = given or _newest(objects, name)
    if len(version) < ID_DIGITS:
        version = whole_version(objects, f"datasets/{name}/versions", name, version)
    path = manifest_path(name, version)
    try:
        manifest = read(objects, path, Manifest)
    except FileNotFoundError as error:
        if not given:
            raise lost_version(f"datasets/{name}/HEAD") from error
        raise SpecError(
            "there is no such version", code="no-such-version", about=reference
        ) from error
    if not manifest.identity == manifest.version == version:
        raise damaged_manifest(path)
    return Dataset(objects, manifest)


def _newest(objects: Objects, name: str) -> str:
    try:
        return read_head(objects, "datasets", name).version
    except FileNotFoundError as error:
        if lost := lost_head(objects, "datasets", name):
            raise lost from error
        known = objects.folders("datasets")
        near = ", ".join(heads(objects, "datasets")) or "none yet"
        raise SpecError(
            "no version of it is published" if name in known else "there is no such dataset",
            code="no-such-dataset",
            about=name,
            hint=f"datasets here: {near}",
        ) from error


class Dataset:
    """One version of a dataset. Whatever it holds is read when asked for, and not before."""

    def __init__(self, objects: Objects, manifest: Manifest) -> None:
        self.objects = objects
        self.manifest = manifest
        self.name = manifest.name
        self.version = manifest.version
        self.digest = manifest.digest
        self.parents = manifest.parents
        self.attributes = manifest.attributes
        self.inputs = manifest.inputs

    def __repr__(self) -> str:
        return f"<Dataset {self.reference[:40]} with {len(self)} samples>"

    def __len__(self) -> int:
        return self.manifest.samples

    def __getitem__(self, index: int) -> Sample:
        return self.sample(index)

    @property
    def reference(self) -> str:
        """name@version."""
        return f"{self.name}@{self.version}"

    @cached_property
    def units(self) -> Entries:
        """What the version says of its units, in plan order.

        Raises:
            DataError: the table of them is gone or altered (codes "missing-table",
                "damaged-manifest").
        """
        path = units_path(self.name, self.manifest.units.table)
        try:
            data = self.objects.get(path)
        except FileNotFoundError as error:
            raise damage("missing", "missing-table", path) from error
        if hash_of(data) != self.manifest.units.table:
            raise damaged_manifest(path)
        entries = Entries(data, path)
        if len(entries) != self.manifest.units.count:
            raise damaged_manifest(path)
        return entries

    @cached_property
    def shards(self) -> Shards:
        """The shards, in plan order."""
        return Shards(self.objects, self.units)

    @cached_property
    def samples(self) -> pa.Table:
        """A row per sample, in plan order; `_shard` and `_row` say where its arrays lie.

        The tables of all shards are read for it: `columns` and `sample` need less.

        Raises:
            DataError: as `columns`.
        """
        return self._gather(None)

    def columns(self, names: Sequence[str]) -> pa.Table:
        """Some columns of `samples`; of the shards' tables only these are decoded.

        Args:
            names: of columns. `_shard` and `_row` alone are known without reading any table.

        Raises:
            SpecError: the samples have no such column (code "no-such-column").
            DataError: a table is gone or damaged (codes "missing-table", "damaged-table").
        """
        missing = [name for name in names if name not in (*self.manifest.columns, *_PLACE)]
        if missing:
            raise SpecError(
                f"the samples have no column {missing[0]!r}",
                code="no-such-column",
                about=self.reference,
                hint=f"columns: {', '.join(self.manifest.columns)}",
            )
        if "samples" in self.__dict__:
            return self.samples.select(list(names))
        return self._gather([name for name in names if name not in _PLACE]).select(list(names))

    def _gather(self, names: list[str] | None) -> pa.Table:
        rows = self.units.rows
        filled = np.flatnonzero(rows)

        def look(number: int) -> pa.Table:
            # Opened for this alone: 50,000 tables that stay open take 200 MB.
            shard = self.shards.open(number)
            table = shard.table if names is None else shard.columns(names)
            if table.num_rows != rows[number]:
                what = "the table has not the rows that were committed"
                raise damage(what, "damaged-table", f"{shard.path}/{TABLE}")
            return table

        found = {
            "_shard": np.repeat(filled, rows[filled]).astype(np.int32),
            "_row": np.concatenate([np.arange(count) for count in rows]) if len(rows) else rows,
        }
        places = pa.table({name: pa.array(found[name], pa.int32()) for name in _PLACE})
        if names == []:
            return places
        with ThreadPoolExecutor(self.objects.profile.concurrency) as pool:
            tables = list(pool.map(look, filled))
        if not tables:
            return table_of([])
        table = joined(tables)
        for name in _PLACE:
            table = table.append_column(name, places[name])
        return table

    def place(self, index: int) -> tuple[int, int]:
        """Where a sample lies: the number of its shard, and its row there."""
        index = range(len(self))[index]
        number = int(np.searchsorted(self.units.ends, index, side="right"))
        before = int(self.units.ends[number - 1]) if number else 0
        return number, index - before

    def select(self, where: dict[str, Any], beside: Collection[str] = ()) -> list[int]:
        """Positions of the samples whose columns equal the values in `where` (lists: any of;
        None: there is no value).

        Args:
            where: column → value or values.
            beside: columns of datasets that are united with this one; they may be absent here,
                and then no sample has a value.

        Raises:
            SpecError: a column does not exist (code "no-such-column").
        """
        keep: list[int] = list(range(len(self)))
        absent = set(beside) - set(self.manifest.columns)
        table = self.columns([column for column in where if column not in absent])
        for column, value in where.items():
            wanted = value if isinstance(value, list) else [value]
            if column in absent:
                keep = keep if None in wanted else []
                continue
            values = table[column].to_pylist()
            keep = [i for i in keep if values[i] in wanted]
        return keep

    def array(self, index: int, name: str) -> SampleArray:
        """One array of one sample, to be sliced without reading the rest."""
        number, row = self.place(index)
        shard: Shard = self.shards[number]
        return shard.array(row, name)

    def sample(self, index: int) -> Sample:
        """One sample with its arrays in memory."""
        number, row = self.place(index)
        shard: Shard = self.shards[number]
        return shard.sample(row)

    def __iter__(self) -> Iterator[Sample]:
        return (self.sample(index) for index in range(len(self)))

    def to_dask(self, name: str = "") -> "list[dask.array.Array]":
        """One lazy dask array per sample, chunked as stored.

        Args:
            name: of the array; may be left out where samples have one alone.

        Raises:
            SpecError: they have several, and none is named, or none at all (code "which-array").
        """
        import dask.array

        if not name:
            if len(self.manifest.arrays) != 1:
                raise SpecError(
                    "name the array",
                    code="which-array",
                    about=self.reference,
                    hint=f"it has: {', '.join(self.manifest.arrays) or 'none'}",
                )
            (name,) = self.manifest.arrays
        arrays = [self.array(index, name) for index in range(len(self))]
        return [
            dask.array.from_array(  # type: ignore[no-untyped-call]
                array, chunks=array.chunk, asarray=False, name=False
            )
            for array in arrays
        ]

    def to_torch(self, *arrays: str, columns: Sequence[str] = ()) -> Items:
        """A map-style dataset, as `torch.utils.data.DataLoader` takes it; see `Items`.

        Args:
            arrays: of each sample; without any, all that the dataset has.
            columns: of the sample's row.

        Raises:
            SpecError: the samples have no such column (code "no-such-column").
        """
        return Items(self, arrays or tuple(self.manifest.arrays), tuple(columns))

    def quarantine(self) -> pa.Table:
        """What was not taken, and why: a row per `Refusal`, whose fields are the columns."""
        return read_quarantine(self.objects, self.name, self.manifest.refused)

    def check(self) -> None:
        """Raise DataError unless the counts add up (code "counts-do-not-add-up")."""
        if not self.inputs.add_up:
            raise DataError(
                "planned inputs are not committed plus quarantined plus passed over",
                code="counts-do-not-add-up",
                about=self.reference,
            )
