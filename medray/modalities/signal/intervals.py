"""From what a network says of each sample to intervals: onset, offset, class, how probable."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Interval:
    """A stretch of one class.

    Args:
        start: its first sample.
        stop: the one behind its last.
        kind: number of the class.
        probability: mean of the class over the stretch.
    """

    start: int
    stop: int
    kind: int
    probability: float


@dataclass(frozen=True)
class _Runs:
    """Stretches of one class each, on end.

    Args:
        starts: their first samples, int64 (runs,).
        stops: the ones behind their last.
        kinds: numbers of their classes.
        sums: of each class's probability, float64 (classes, runs).
    """

    starts: np.ndarray
    stops: np.ndarray
    kinds: np.ndarray
    sums: np.ndarray


def most_probable(probability: np.ndarray) -> np.ndarray:
    """Labels (samples,) of (classes, samples), ties to the first; class by class, which over an
    outer axis of few is several times as fast as an arg max."""
    best = probability[0].copy()
    labels = np.zeros(len(best), np.min_scalar_type(len(probability)))
    for kind in range(1, len(probability)):
        better = probability[kind] > best
        labels[better] = kind
        np.maximum(best, probability[kind], out=best)
    return labels


def column_of(answers: str) -> str:
    """The column of what is said of each interval in the mean, by what its task answers."""
    return "interval_surprise" if answers == "surprise" else "interval_probability"


class Intervals:
    """Collects intervals of a record that passes in blocks; holds no more than these.

    First stretches of a class with nothing but background between them are joined where that is
    short, then short ones are dropped.

    Args:
        background: number of the class that makes no intervals; None: all do.
        least: samples of the shortest interval that is kept.
        gap: samples of background at most, over which two stretches of a class are one.
    """

    def __init__(self, background: int | None, least: int = 1, gap: int = 0) -> None:
        self._background, self._least, self._gap = background, least, gap
        self._open: _Runs | None = None  # the last interval, and what came after it
        self._at = 0
        self.found: list[Interval] = []

    def add(self, probability: np.ndarray, labels: np.ndarray | None = None) -> None:
        """The next block.

        Args:
            probability: (classes, samples).
            labels: numbers of the classes (samples,); None: the most probable, ties to the first.
        """
        if not probability.shape[1]:
            return
        labels = most_probable(probability) if labels is None else labels
        runs = _runs_of(probability, labels, self._at)
        self._at += probability.shape[1]
        if self._open is not None:
            runs = _on_end(self._open, runs)
        shown = np.flatnonzero(runs.kinds != self._background)
        if not len(shown):
            return
        kinds, beyond = runs.kinds[shown], runs.starts[shown[1:]] - runs.stops[shown[:-1]]
        # Where a block's end has cut a stretch, nothing lies between its parts.
        apart = np.flatnonzero((kinds[1:] != kinds[:-1]) | (beyond > self._gap))
        heads, ends = shown[[0, *(apart + 1)]], shown[[*apart, -1]] + 1
        joined = _joined(runs, heads, ends)
        self._keep(joined, slice(0, -1))
        rest = _Runs(*(one[..., ends[-1] :] for one in vars(runs).values()))
        self._open = _on_end(_Runs(*(one[..., -1:] for one in vars(joined).values())), rest)

    def end(self) -> list[Interval]:
        """All intervals, in order; nothing may be added after."""
        if self._open is not None:
            self._keep(self._open, slice(0, 1))
        return self.found

    def _keep(self, runs: _Runs, which: slice) -> None:
        starts, stops, kinds = runs.starts[which], runs.stops[which], runs.kinds[which]
        for at in np.flatnonzero(stops - starts >= self._least).tolist():
            start, stop, kind = int(starts[at]), int(stops[at]), int(kinds[at])
            mean = float(runs.sums[kind, at]) / (stop - start)
            self.found.append(Interval(start, stop, kind, mean))


def _runs_of(probability: np.ndarray, labels: np.ndarray, first: int) -> _Runs:
    """Of a block whose first sample has this number."""
    cuts = np.concatenate([[0], np.flatnonzero(labels[1:] != labels[:-1]) + 1])
    sums = np.add.reduceat(probability, cuts, axis=1, dtype=np.float64)
    return _Runs(first + cuts, first + np.append(cuts[1:], len(labels)), labels[cuts], sums)


def _on_end(some: _Runs, more: _Runs) -> _Runs:
    pairs = zip(vars(some).values(), vars(more).values(), strict=True)
    return _Runs(*(np.concatenate(pair, axis=-1) for pair in pairs))


def _joined(runs: _Runs, heads: np.ndarray, ends: np.ndarray) -> _Runs:
    """One for each stretch of runs [head, end)."""
    padded = np.pad(runs.sums, ((0, 0), (0, 1)))  # so that the last may end behind the last run
    sums = np.add.reduceat(padded, np.stack([heads, ends], 1).ravel(), axis=1)[:, ::2]
    return _Runs(runs.starts[heads], runs.stops[ends - 1], runs.kinds[heads], sums)
