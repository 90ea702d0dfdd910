"""What is said of each sample of a recording, by annotations or by an array of classes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medray.formats.signal.leads import Leads, Stretch
from medray.storage.shards.stored import Sliceable

NOT_JUDGED = 255


@dataclass(frozen=True)
class Span:
    """A stretch of time that has a class.

    Args:
        start_s: in seconds since the start of the recording.
        stop_s: its end; where that is its start, it is one sample long.
        kind: number of the class.
    """

    start_s: float
    stop_s: float
    kind: int


class Track:
    """Classes along a stretch, in runs: as long as there are annotations, not samples.

    Args:
        leads: of the recording.
        stretch: of it.
        spans: of the whole recording. Where they overlap, later ones of the list count.
        otherwise: the class of what none covers.
    """

    def __init__(
        self, leads: Leads, stretch: Stretch, spans: Sequence[Span], otherwise: int
    ) -> None:
        rate = leads.rate
        starts = [round((one.start_s - stretch.onset_s) * rate) for one in spans]
        stops = [round((one.stop_s - stretch.onset_s) * rate) for one in spans]
        places = np.array([starts, np.maximum(stops, np.add(starts, 1))], np.int64)
        places = places.reshape(2, -1).clip(0, stretch.size)
        self._ends = np.unique(np.concatenate([[0, stretch.size], *places]))[1:]
        self._kinds = np.full(max(1, len(self._ends)), otherwise, np.uint8)
        for one, start, stop in zip(spans, *places.tolist(), strict=True):
            first, last = np.searchsorted(self._ends, [start, stop], side="right").tolist()
            self._kinds[first:last] = one.kind

    def read(self, start: int, stop: int) -> np.ndarray:
        """Classes from one sample to another, uint8 (time,)."""
        first = int(np.searchsorted(self._ends, start, side="right"))
        last = int(np.searchsorted(self._ends, stop, side="left"))
        ends = np.minimum(self._ends[first : last + 1], stop)
        runs = np.diff(ends, prepend=start)
        return np.asarray(np.repeat(self._kinds[first : last + 1], runs))


def of_array(
    values: Sliceable, leads: Leads, stretch: Stretch, start: int, stop: int
) -> np.ndarray:
    """Classes from an array (time,) at the recorded rate, each sample the nearest one's, uint8."""
    if leads.rate == leads.recorded_rate:
        return np.array(values[stretch.first + start : stretch.first + stop], np.uint8)
    ratio = leads.recorded_rate / leads.rate
    places = np.rint(np.arange(start, stop) * ratio).astype(np.int64).clip(0, stretch.source - 1)
    low, high = int(places[0]), int(places[-1]) + 1
    taken = np.asarray(values[stretch.first + low : stretch.first + high], np.uint8)
    return np.array(taken[places - low])


def majority(kinds: np.ndarray, count: int) -> int | None:
    """The class that most samples have, of equals the first; None: most are not judged."""
    counts = np.bincount(kinds, minlength=NOT_JUDGED + 1)
    if counts[NOT_JUDGED] * 2 > len(kinds):
        return None
    return int(np.argmax(counts[:count]))


def foremost(kinds: np.ndarray, otherwise: int) -> int | None:
    """The first class, but for what is there otherwise, that any sample has; None: none judged."""
    there = [one for one in np.unique(kinds).tolist() if one != NOT_JUDGED]
    return next((one for one in there if one != otherwise), there[0] if there else None)
