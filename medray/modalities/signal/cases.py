"""Signals of a split as a network sees them: held as they are stored, or read as they are drawn."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from medray.errors import DataError, SpecError
from medray.modalities.signal.inputs import (
    Signals,
    check_length,
    mismatch,
    numbers_of,
    standardised,
)
from medray.modalities.signal.plan import SignalPlan
from medray.modalities.signal.stored import ABOUT, About, numbers_in
from medray.storage.catalog.datasets import Dataset
from medray.tasks.base import Task

DRAWN_BYTES = 2**25  # of signals that are read together, as they are drawn
# Columns that say how to read a recording, or hold all of its annotations: no target is among them.
LONG = frozenset({*ABOUT[1:], "channels", "annotations", "segments"})


class SignalCases:
    """Signals, the numbers beside them, and of tasks that answer sample by sample the labels.

    Args:
        dataset: with arrays `signal`, and `context` where the plan has it; `label` (time,) of
            tasks that answer sample by sample.
        indices: which samples of it.
        plan: of the training.
        budget: bytes of signals that are held; more are read as they are asked for.

    Raises:
        SpecError: there are no samples ("no-samples"), or they hold no signals ("no-signals").
        DataError: a sample is not as the plan says (code "model-mismatch").
    """

    def __init__(
        self, dataset: Dataset, indices: Sequence[int], plan: SignalPlan, budget: int
    ) -> None:
        check_any(dataset, indices)
        self.plan = plan
        self.rows = rows_of(dataset, indices)
        table = numeric(dataset, plan, indices)
        self.columns = standardised(numbers_of(table, plan.columns, len(indices)), plan)
        store: _Store = _Far(dataset, indices, plan)
        if store.bytes <= budget:
            store = _Held(dataset, indices, store.about, plan)
        self._store = store
        self.labels: np.ndarray | None = None
        if plan.answers == "place":
            self.labels = labels_of(dataset, indices, plan.length)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def together(self) -> int:
        """How many are best taken at once: of those that are read as they are drawn, many, since
        some lie in one chunk of storage."""
        return self._store.together

    def take(self, at: Sequence[int] | np.ndarray) -> Signals:
        """Some of them, in physical units."""
        places = np.asarray(at, np.int64)
        signal, context = self._store.take(places)
        return Signals(signal, context, self.columns[places])


def labels_of(dataset: Dataset, indices: Sequence[int], length: int) -> np.ndarray:
    """A class for each sample of time of each signal, uint8 (samples, time).

    Raises:
        DataError: there are none ("no-such-array"), or not one each ("model-mismatch").
    """
    made = np.empty((len(indices), length), np.uint8)
    for at, one in enumerate(_arrays(dataset, indices, "label")):
        if one.shape != (length,):
            raise mismatch(f"labels of shape {one.shape} for signals of {length} samples of time")
        made[at] = one
    return made


def rows_of(dataset: Dataset, indices: Sequence[int]) -> list[dict[str, Any]]:
    """What tasks look for their targets in."""
    kept = [name for name in dataset.samples.column_names if name not in LONG]
    chosen = pa.array(list(indices), pa.int64())
    rows: list[dict[str, Any]] = dataset.samples.select(kept).take(chosen).to_pylist()
    return rows


def check_any(dataset: Dataset, indices: Sequence[int]) -> None:
    """Refuse a selection of nothing, and samples without signals.

    Raises:
        SpecError: code "no-samples" or "no-signals".
    """
    if not indices:
        raise SpecError(
            "no samples are selected",
            code="no-samples",
            about=dataset.reference,
            hint="check `select` and the dataset's splits",
        )
    if "signal" not in dataset.manifest.arrays:
        raise SpecError(
            "the samples hold no signals",
            code="no-signals",
            about=dataset.reference,
            hint="this network takes samples with an array `signal`, as `signal-npz` reads them",
        )


def numeric(dataset: Dataset, plan: SignalPlan, indices: Sequence[int]) -> dict[str, np.ndarray]:
    """Columns that the plan's numbers are made of, float64 (samples,), NaN where one is missing.

    Raises:
        SpecError: there is no such column ("no-such-column"), or it holds no numbers
            ("bad-column").
    """
    table = dataset.columns(list(plan.sources)).take(pa.array(list(indices), pa.int64()))
    made = {}
    for name in plan.sources:
        values = numbers_in(table[name])
        if values is None:
            raise SpecError(
                f"the column {name!r} holds no numbers",
                code="bad-column",
                about=dataset.reference,
                hint="name columns of numbers under the plan's `columns`",
            )
        made[name] = values
    return made


def targets_of(
    task: Task, rows: Sequence[dict[str, Any]], labels: np.ndarray | None = None
) -> Tensor:
    """What is to be learnt of each signal.

    Args:
        task: that is learnt.
        rows: of the signals.
        labels: of tasks that answer sample by sample.

    Raises:
        SpecError: there are no labels (code "task-mismatch").
    """
    targets = task.targets(rows)
    if targets is not None:
        return targets
    if labels is None:
        raise SpecError(
            "a window of a signal gets one answer",
            code="task-mismatch",
            about=task.name,
            hint="take classification or regression",
        )
    return torch.from_numpy(labels)


def _rows(dataset: Dataset, indices: Sequence[int]) -> pa.Table:
    """What of samples says how they are read."""
    names = ["sample_id", *(name for name in ABOUT if name in dataset.manifest.columns)]
    return dataset.columns(names).take(pa.array(list(indices), pa.int64()))


class _Store(Protocol):
    about: About

    together: int

    @property
    def bytes(self) -> int: ...
    def take(self, at: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]: ...


class _Far:
    """Signals that are read when they are asked for."""

    def __init__(self, dataset: Dataset, indices: Sequence[int], plan: SignalPlan) -> None:
        self._dataset, self._plan = dataset, plan
        self._places = np.array([dataset.place(one) for one in indices])
        self.about = About(_rows(dataset, indices), plan)
        first = dataset.array(indices[0], "signal")
        each = len(plan.leads) * plan.length
        self.bytes = len(indices) * each * first.dtype.itemsize
        self.together = max(1, DRAWN_BYTES // max(1, first[...].nbytes))

    def take(self, at: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Signals and contexts of some samples, in physical units."""
        signal = self.about.physical(self._read(at, "signal"), at)
        if not self._plan.context:
            return signal, None
        return signal, self._read(at, "context").astype(np.float32)

    def _read(self, at: np.ndarray, name: str) -> np.ndarray:
        """An array of some samples, (B, leads, time), read shard by shard."""
        made: np.ndarray | None = None
        places, plan, leads = self._places[at], self._plan, self.about.leads(at)
        for number in np.unique(places[:, 0]).tolist():
            own = np.flatnonzero(places[:, 0] == number)
            found = self._dataset.shards[number].several(name, places[own, 1].tolist())
            for one, values in zip(own.tolist(), found, strict=True):
                if made is None:
                    made = np.empty((len(at), len(plan.leads), plan.length), values.dtype)
                check_length(values.shape, plan.length)
                if values.dtype != made.dtype:
                    made = made.astype(np.result_type(made.dtype, values.dtype))
                made[one] = values[leads[one]]
        assert made is not None  # noqa: S101 - nobody draws a batch of nothing
        return made


class _Held:
    """Signals in memory as they are stored; of contexts, which are one for a record, each once."""

    def __init__(
        self, dataset: Dataset, indices: Sequence[int], about: About, plan: SignalPlan
    ) -> None:
        self.about = about
        self.together = 1
        leads = about.leads(range(len(indices)))
        self._values = _stacked(dataset, indices, leads, plan.length)
        self.bytes = self._values.nbytes
        self._contexts: np.ndarray | None = None
        if plan.context:
            known: dict[bytes, int] = {}
            kinds: list[np.ndarray] = []
            of: list[int] = []
            for one, own in zip(_arrays(dataset, indices, "context"), leads, strict=True):
                check_length(one.shape, plan.length)
                values = np.ascontiguousarray(one[own], np.float32)
                number = known.setdefault(values.tobytes(), len(kinds))
                kinds += [values] if number == len(kinds) else []
                of.append(number)
            self._contexts, self._of = np.stack(kinds), np.asarray(of, np.int64)

    def take(self, at: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Signals and contexts of some samples, in physical units."""
        signal = self.about.physical(self._values[at], at)
        return signal, None if self._contexts is None else self._contexts[self._of[at]]


def _stacked(
    dataset: Dataset, indices: Sequence[int], leads: np.ndarray, length: int
) -> np.ndarray:
    """Signals (samples, leads, time) as they are stored."""
    made: np.ndarray | None = None
    for at, (one, own) in enumerate(zip(_arrays(dataset, indices, "signal"), leads, strict=True)):
        check_length(one.shape, length)
        if made is None:
            made = np.empty((len(indices), len(own), length), one.dtype)
        if one.dtype != made.dtype:
            made = made.astype(np.result_type(made.dtype, one.dtype))
        made[at] = one[own]
    assert made is not None  # noqa: S101 - a selection of nothing is refused before
    return made


def _arrays(dataset: Dataset, indices: Sequence[int], name: str) -> Iterator[np.ndarray]:
    """An array of each sample; those that are stacked are read shard by shard."""
    stacks: dict[int, list[np.ndarray | None] | None] = {}
    for index in indices:
        number, row = dataset.place(index)
        if number not in stacks:
            stacks.clear()  # samples come in the order of their shards
            stacks[number] = dataset.shards[number].stack(name)
        stack = stacks[number]
        if stack is None:
            yield dataset.array(index, name)[...]
            continue
        held = stack[row]
        if held is None:
            raise DataError(
                f"a sample has no array {name!r}", code="no-such-array", about=dataset.reference
            )
        yield held
