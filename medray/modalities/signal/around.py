"""A beat among its neighbours: samples that were cut from a record, put together again.

One beat by itself is hard to read. Its record is not at hand, but the samples beside it are, as far
as their rows say where in the record they lie.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medray.errors import DataError
from medray.formats.signal.context import physical
from medray.modalities.signal.inputs import steps_of
from medray.storage.catalog.datasets import Dataset
from medray.storage.shards.stored import InShard, Stored

SECONDS = 4.0  # to either side of a sample's middle
APART_S = 0.02  # of intervals that two beats say lie between them, before one is taken to be gone
MOST = 4  # leads in a picture


@dataclass(frozen=True)
class Cut:
    """A sample in a strip.

    Args:
        index: in its dataset.
        stored: it.
        start_s: where it begins, and `stop_s` where it ends, on the strip's axis.
        mark_s: its beat, as far as that is known; else its middle.
    """

    index: int
    stored: Stored
    start_s: float
    stop_s: float
    mark_s: float


@dataclass(frozen=True)
class Strip:
    """Samples of a record beside each other.

    Args:
        values: physical, float32 (lead, time), NaN where no sample lies.
        rate: samples a second.
        start_s: of the strip: in the record, or before the case where that is not known.
        leads: their names, and `units`, "" where not known.
        cuts: the samples, in order of time.
        case: which of these it is about.
    """

    values: np.ndarray
    rate: float
    start_s: float
    leads: Sequence[str]
    units: Sequence[str]
    cuts: Sequence[Cut]
    case: int


class Around:
    """Where the samples of a dataset lie in their records.

    Args:
        dataset: of beats or windows.
    """

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        there = [
            name
            for name in ("record", "rate", "start_sample", "onset_s", "rr_prev_s", "rr_next_s")
            if name in dataset.manifest.columns
        ]
        table = dataset.columns(there)
        numbers = {
            name: np.asarray(table[name].to_pylist(), np.float64)
            for name in there
            if name != "record"
        }
        count = len(dataset)
        named = [str(one) for one in table["record"].to_pylist()] if "record" in there else []
        self._record = np.unique(named or np.arange(count), return_inverse=True)[1]
        self.absolute, self._mark = False, np.full(count, np.nan)
        if {"start_sample", "rate"} <= numbers.keys():
            self._start = numbers["start_sample"] / numbers["rate"]
            self.absolute = True
            if "onset_s" in numbers:
                self._moments(numbers["onset_s"])
        elif {"rr_prev_s", "rr_next_s"} <= numbers.keys():
            self._chain(numbers["rr_prev_s"], numbers["rr_next_s"])
        else:
            self._record, self._start = np.arange(count), np.zeros(count)
        lost = ~np.isfinite(self._start)  # each is a record of its own
        self._record[lost] = self._record.max(initial=0) + 1 + np.flatnonzero(lost)
        self._start[lost] = 0

    def _moments(self, onset: np.ndarray) -> None:
        """A record's samples follow each other over gaps; onsets do not, and are at the beats."""
        late = onset - self._start
        before = np.full(self._record.max(initial=0) + 1, np.inf)
        np.fmin.at(before, self._record, late)
        self._start = onset - before[self._record]
        self._mark = onset - self._start

    def _chain(self, previous: np.ndarray, following: np.ndarray) -> None:
        """From beat to beat, as long as both say that the same time lies between them."""
        apart = np.abs(following[:-1] - previous[1:])
        linked = (self._record[1:] == self._record[:-1]) & (apart <= APART_S)
        self._record = np.concatenate([[0], np.cumsum(~linked)])[: len(previous)]
        steps = np.where(np.concatenate([[False], linked]), previous, 0.0)[: len(previous)]
        self._start = np.cumsum(steps)

    def strip(self, at: int) -> Strip:
        """What lies around a sample.

        Raises:
            DataError: its row does not fit its arrays. Of neighbours such ones are left out.
        """
        case = self._stored(at)
        rate = float(case.row.get("rate") or 1.0)
        size = case.array("signal").shape[1]
        reach = max(0.0, SECONDS - size / rate / 2)
        near = np.abs(self._start - self._start[at]) <= reach
        chosen = np.flatnonzero(near & (self._record == self._record[at]))
        order = chosen[np.argsort(self._start[chosen], kind="stable")].tolist()
        base = self._start[order[0]]
        zero = float(base if self.absolute else base - self._start[at])
        leads = list(case.row.get("leads") or map(str, range(1, case.array("signal").shape[0] + 1)))
        units = list(case.row.get("units") or [""] * len(leads))
        length = round((self._start[order[-1]] - base) * rate) + size
        values = np.full((min(MOST, len(leads)), length), np.nan, np.float32)
        nearest = np.full(length, np.inf)
        cuts, beat = [], _beat(case, size)
        for index in order:
            stored = case if index == at else self._stored(index)
            try:
                signal = _physical(stored, len(values))
            except DataError:
                if index == at:
                    raise
                continue
            first = round((self._start[index] - base) * rate)
            if signal.shape[1] != size or first + size > length:
                continue
            where = slice(first, first + size)
            far = np.abs(np.arange(size) - size / 2)
            takes = far < nearest[where]
            values[:, where][:, takes] = signal[:, takes]
            nearest[where][takes] = far[takes]
            start = zero + first / rate
            late = float(self._mark[index])
            mark = start + (beat / rate if np.isnan(late) else late)
            cuts.append(Cut(index, stored, start, start + size / rate, mark))
        own = [cut.index for cut in cuts].index(at)
        return Strip(values, rate, zero, leads[:MOST], units[:MOST], cuts, own)

    def _stored(self, index: int) -> Stored:
        shard, row = self._dataset.place(index)
        return InShard(self._dataset.shards[shard], row)


def _physical(stored: Stored, leads: int) -> np.ndarray:
    signal = np.asarray(stored.array("signal")[...])[:leads]
    made: np.ndarray = physical(signal, *steps_of(stored.row, range(len(signal))))
    return made


def _beat(stored: Stored, size: int) -> float:
    """Where in a sample its beat is: where the record's median is furthest from its own middle
    value; in the middle where there is no median."""
    if "context" not in stored.names:
        return size / 2
    context = np.asarray(stored.array("context")[...], np.float64)
    far = np.abs(context - np.median(context, axis=1, keepdims=True)).sum(0)
    return float(np.argmax(far))
