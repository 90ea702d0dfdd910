"""Gather: every shard's parts of some subjects to those subjects, whole and in order of time."""

from collections.abc import Iterator
from functools import cached_property
from typing import ClassVar

import numpy as np
import pyarrow as pa

from medray.engine.units.operation import Operation, Unit
from medray.formats.events.columns import EVENT_ARRAYS, Events, events_of, read_events
from medray.storage.catalog.datasets import Dataset, open_dataset
from medray.storage.shards.rows import Rows
from medray.storage.shards.schema import Arrays

KEPT = ("split", "fold")
HASHES = 2**63


class Gather(Operation):
    """Reads of every shard the rows of a share of all subjects, which lie together there.

    Parameters: `data` (reference), `of` (number of shares), `once` (numbers of the tables whose
    rows are known by ids: an event that comes twice is one).
    Payload of a unit: `share`, from 0.
    Output samples: a subject each, with `events`, their number, and what it had of KEPT. Its events
    are in order of time, those without one first; of one time those that were known first.
    """

    name: ClassVar[str] = "gather"
    arrays: ClassVar[Arrays] = EVENT_ARRAYS

    @cached_property
    def _data(self) -> Dataset:
        return open_dataset(self.objects, self.parameters["data"])

    def load(self, unit: Unit, key: str) -> Iterator[Rows]:
        """The subjects of a share; nothing where it has none."""
        low, high = (
            HASHES * (unit.payload["share"] + at) // self.parameters["of"] for at in (0, 1)
        )
        columns = ["subject", "order", *(n for n in KEPT if n in self._data.manifest.columns)]
        tables: list[pa.Table] = []
        parts: list[Events] = []
        lengths: list[np.ndarray] = []
        for number, rows in enumerate(self._data.units.column("rows")):
            if not rows:
                continue
            shard = self._data.shards.open(number)
            table = shard.columns(columns)
            # Inputs follow one another in a shard, each in order by itself.
            order = table["order"].to_numpy()
            wanted = (order >= low) & (order < high)
            for start, stop in _runs(wanted):
                held, counts = read_events(shard, start, stop)
                tables.append(table.slice(start, stop - start))
                parts.append(events_of(held))
                lengths.append(counts)
        if tables:
            table = pa.concat_tables(tables, promote_options="permissive")
            yield self._whole(table, Events.joined(parts), np.concatenate(lengths))

    def _whole(self, table: pa.Table, events: Events, lengths: np.ndarray) -> Rows:
        known = table["subject"].combine_chunks().dictionary_encode()
        of_part = known.indices.to_numpy(zero_copy_only=False)
        names = known.dictionary.to_pylist()
        first = np.full(len(names), len(of_part))
        np.minimum.at(first, of_part, np.arange(len(of_part)))
        hashes = table["order"].to_numpy()[first]
        by_order = np.lexsort((np.array(names, object), hashes))
        place = np.empty(len(names), np.int64)
        place[by_order] = np.arange(len(names))
        owners = np.repeat(place[of_part], lengths)
        keys = (events.row, events.origin, events.available_at, events.time, owners)
        if self.parameters["once"]:
            at = np.lexsort((events.numeric_value, _ranks(events.code), *keys))
            at = self._once(events, owners, at)
        else:
            at = np.lexsort(keys)
        counts = np.bincount(owners[at], minlength=len(names))
        made = {
            "sample_id": pa.array([names[one] for one in by_order.tolist()], pa.string()),
            "subject": pa.array([names[one] for one in by_order.tolist()], pa.string()),
            "events": pa.array(counts, pa.int64()),
        }
        for name in KEPT:
            if name in table.column_names:
                made[name] = table[name].combine_chunks().take(pa.array(first[by_order]))
        return Rows(pa.table(made), events.take(at).packed(counts))

    def _once(self, events: Events, owners: np.ndarray, at: np.ndarray) -> np.ndarray:
        """Without events that are of the same resource and say the same as the one before."""
        same = np.isin(events.origin[at], self.parameters["once"])
        for values in (events.row, events.origin, events.available_at, events.time, owners):
            same[1:] &= values[at][1:] == values[at][:-1]
        value = events.numeric_value[at]
        same[1:] &= (value[1:] == value[:-1]) | (np.isnan(value[1:]) & np.isnan(value[:-1]))
        for texts in (events.code, events.unit, events.number, events.words):
            codes = texts.dictionary_encode().indices.to_numpy(zero_copy_only=False)[at]
            same[1:] &= codes[1:] == codes[:-1]
        same[:1] = False
        return at[~same]


def _ranks(texts: pa.StringArray) -> np.ndarray:
    """Of each text its place among all, sorted."""
    known = texts.dictionary_encode()
    words = np.array(known.dictionary.to_pylist(), object)
    ranks = np.empty(len(words), np.int64)
    ranks[np.argsort(words, kind="stable")] = np.arange(len(words))
    found: np.ndarray = ranks[known.indices.to_numpy(zero_copy_only=False)]
    return found


def _runs(wanted: np.ndarray) -> list[tuple[int, int]]:
    """Where rows that are wanted begin and end."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], wanted.astype(np.int8), [0]])))
    return [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]
