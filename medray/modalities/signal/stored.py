"""Signals as they lie in shards: how each is read stands in columns, and many are read at once."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from medray.errors import DataError
from medray.modalities.signal.inputs import (
    Signals,
    check_length,
    check_rate,
    leads_of,
    mismatch,
    numbers_of,
    standardised,
    steps_of,
)
from medray.modalities.signal.plan import SignalPlan
from medray.storage.shards.reader import Shard

FEW = 8  # rows that are looked at one by one
ABOUT = ("rate", "leads", "gain", "baseline", "missing")


class About:
    """How each sample is read: which of its leads, and what their values mean.

    Args:
        table: rows of samples, at least one.
        plan: of the training.

    Raises:
        DataError: a sample is not as the plan says ("model-mismatch"), or a gain is none
            ("bad-gain").
    """

    def __init__(self, table: pa.Table, plan: SignalPlan) -> None:
        names = [name for name in ABOUT if name in table.column_names]
        known: dict[str, int] = {}
        kinds: list[tuple[list[int], np.ndarray, np.ndarray, np.ndarray]] = []
        of, counts = [], []
        for row, count in _runs(table.select(names)) if names else [({}, len(table))]:
            key = repr(row)  # a few differ among many thousands
            if key not in known:
                check_rate(row, plan.rate)
                leads = leads_of(row, plan.leads)
                known[key] = len(kinds)
                kinds.append((leads, *steps_of(row, leads)))
            of.append(known[key])
            counts.append(count)
        self._of = np.repeat(np.asarray(of, np.int64), counts)
        leads_of_kinds, *told = zip(*kinds, strict=True)
        self._leads = np.asarray(leads_of_kinds, np.int64)
        self._gain, self._baseline, self._missing = map(np.stack, told)
        self._some = bool(np.isfinite(self._missing).any())

    def leads(self, at: Sequence[int] | np.ndarray) -> np.ndarray:
        """Where some samples have the plan's leads, int64 (samples, leads)."""
        found: np.ndarray = self._leads[self._of[at]]
        return found

    def physical(self, values: np.ndarray, at: np.ndarray) -> np.ndarray:
        """Stored values (B, leads, time) of samples, in physical units, float32; NaN: no sample."""
        made = values.astype(np.float32)
        made -= self._baseline[self._of[at]][:, :, None]
        made /= self._gain[self._of[at]][:, :, None]
        if self._some:
            made[values == self._missing[self._of[at]][:, :, None]] = np.nan
        return made


def _runs(table: pa.Table) -> Iterator[tuple[dict[str, Any], int]]:
    """Rows, and how many alike follow each other: those of a record are, and Arrow sees it at once
    where a row of Python's takes 10 microseconds."""
    count = len(table)
    if table.slice(0, count - 1).equals(table.slice(1)):
        yield table.slice(0, 1).to_pylist()[0], count
    elif count <= FEW:
        yield from ((row, 1) for row in table.to_pylist())
    else:
        yield from _runs(table.slice(0, count // 2))
        yield from _runs(table.slice(count // 2))


def numbers_in(column: pa.ChunkedArray) -> np.ndarray | None:
    """A column's numbers, float64 (samples,), NaN where one is missing; None: it holds others."""
    kind = column.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_null(kind)):
        return None
    values = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return np.asarray(values, np.float64)


def read(shard: Shard, numbers: np.ndarray, plan: SignalPlan) -> Signals:
    """Samples of a shard, whose arrays are stacked there.

    Args:
        shard: that holds them.
        numbers: their rows, int64.
        plan: of the model's training.

    Raises:
        DataError: one is not of the kind that the model takes ("model-mismatch"), holds NaN or
            infinite values ("nonfinite-signal"), or no sample at all ("no-signals").
    """
    table = shard.table.take(pa.array(numbers))
    about, all_of_them = About(table, plan), np.arange(len(numbers))
    leads = about.leads(all_of_them)
    made = {}
    for name in ("signal", "context") if plan.context else ("signal",):
        values = np.asarray(shard.several(name, numbers.tolist()))
        check_length(values.shape[1:], plan.length)
        if leads.max() >= values.shape[1]:
            raise mismatch(f"a signal of {values.shape[1]} leads")
        if not np.isfinite(values).all():
            raise DataError("a value is NaN or infinite", code="nonfinite-signal")
        made[name] = values[all_of_them[:, None], leads]
    signal = about.physical(made["signal"], all_of_them)
    if np.isnan(signal).all((1, 2)).any():
        raise DataError("every sample of the signal is missing", code="no-signals")
    context = made["context"].astype(np.float32) if plan.context else None
    return Signals(signal, context, _columns(table, plan))


def _columns(table: pa.Table, plan: SignalPlan) -> np.ndarray:
    """The plan's columns, float32 (samples, columns), standardised."""
    if not plan.columns:
        return np.zeros((len(table), 0), np.float32)
    given = {}
    for name in plan.sources:
        there = name in table.column_names
        values = numbers_in(table[name]) if there else np.full(len(table), np.nan)
        if values is None:
            raise mismatch("a column that the model takes holds no number")
        given[name] = values
    return standardised(numbers_of(given, plan.columns, len(table)), plan)
