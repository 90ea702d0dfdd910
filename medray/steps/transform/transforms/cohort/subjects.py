"""Subjects with their events by column, and where in time something lies, for many at once."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from re import DOTALL, escape, split
from re import compile as compiled
from typing import Literal

import numpy as np

from medray.formats.events.columns import read_events
from medray.storage.shards.reader import Shard


@dataclass(frozen=True)
class Subjects:
    """Events of subjects that follow one another, each's in order of time.

    Args:
        starts: where the events of each begin, and the end, int64 (subjects + 1,).
        time: int64 microseconds, NEVER of what is always so (events,).
        available: when it could be known, as `time` (events,).
        code: number in `names` (events,).
        value: float64, NaN where there is none (events,).
        names: of codes.
    """

    starts: np.ndarray
    time: np.ndarray
    available: np.ndarray
    code: np.ndarray
    value: np.ndarray
    names: Sequence[str]

    @classmethod
    def of_shard(cls, shard: Shard, start: int, stop: int) -> "Subjects":
        """Rows [start, stop) of a shard."""
        wanted = ("available_at", "code", "numeric_value")
        columns, lengths = read_events(shard, start, stop, wanted)
        known = columns["code"].dictionary_encode()
        return cls(
            np.concatenate([[0], np.cumsum(lengths)]),
            columns["time"],
            columns["available_at"],
            known.indices.to_numpy(zero_copy_only=False).astype(np.int64),
            columns["numeric_value"],
            known.dictionary.to_pylist(),
        )

    def __len__(self) -> int:
        return len(self.starts) - 1

    def matching(self, patterns: Iterable[str]) -> np.ndarray:
        """Which events have one of some codes, bool (events,)."""
        fits = matcher(patterns)
        wanted = np.array([fits(name) for name in self.names], bool)
        return wanted[self.code] if len(self.names) else np.zeros(0, bool)

    def before(
        self, who: np.ndarray, when: np.ndarray, side: Literal["left", "right"] = "left"
    ) -> np.ndarray:
        """Where events before a time end.

        Args:
            who: number of a subject, int64 (n,).
            when: time, int64 (n,).
            side: "right": with those at that very time.

        Returns:
            int64 (n,), from the subject's start to its end.
        """
        low: np.ndarray = self.starts[who]
        high: np.ndarray = self.starts[who + 1]
        while True:  # as often as the most events of a subject can be halved
            open_ = np.flatnonzero(low < high)
            if not len(open_):
                return low
            middle = (low[open_] + high[open_]) // 2
            there, asked = self.time[middle], when[open_]
            behind = there < asked if side == "left" else there <= asked
            low[open_[behind]] = middle[behind] + 1
            high[open_[~behind]] = middle[~behind]

    def cut(self, who: int, when: int, *, inclusive: bool) -> "Subjects":
        """One subject as it was known at a time: whatever came later, or was known later, is
        gone."""
        kept = []
        for at in range(self.starts[who], self.starts[who + 1]):
            moments = (int(self.time[at]), int(self.available[at]))
            if all(one < when or (inclusive and one == when) for one in moments):
                kept.append(at)
        rows = np.array(kept, np.int64)
        return Subjects(
            np.array([0, len(rows)], np.int64),
            self.time[rows],
            self.available[rows],
            self.code[rows],
            self.value[rows],
            self.names,
        )


def matcher(patterns: Iterable[str]) -> Callable[[str], bool]:
    """Whether a code is like one of some, in which * stands for anything and nothing else does."""
    parts = ["".join(".*" if one == "*" else escape(one) for one in split(r"(\*)", pattern))
             for pattern in patterns]  # fmt: skip
    fits = [compiled(part, DOTALL).fullmatch for part in parts]
    return lambda code: any(fit(code) for fit in fits)


def counted(wanted: np.ndarray, start: np.ndarray, stop: np.ndarray) -> np.ndarray:
    """How many of some events lie in ranges [start, stop), int64 (ranges,)."""
    sums = np.concatenate([[0], np.cumsum(wanted)])
    found: np.ndarray = sums[np.maximum(start, stop)] - sums[start]
    return found


def following(wanted: np.ndarray, start: np.ndarray, stop: np.ndarray) -> np.ndarray:
    """The first of some events in ranges [start, stop), int64 (ranges,); -1 where there is none."""
    places = np.flatnonzero(wanted)
    at = np.searchsorted(places, start)
    found = np.append(places, len(wanted))[at]
    return np.where(found < stop, found, -1)
