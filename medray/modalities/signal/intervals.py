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


@dataclass
class _Open:
    start: int
    stop: int
    kind: int
    total: float
    beyond: float = 0.0  # of the class, over the samples of the background since `stop`


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
        self._open: _Open | None = None
        self._at = 0
        self.found: list[Interval] = []

    def add(self, probability: np.ndarray) -> None:
        """The next block.

        Args:
            probability: (classes, samples); ties go to the first class.
        """
        if not probability.shape[1]:
            return
        labels = most_probable(probability)
        starts = np.concatenate([[0], np.flatnonzero(labels[1:] != labels[:-1]) + 1])
        sums = np.add.reduceat(probability, starts, axis=1, dtype=np.float64)
        stops = [*starts[1:].tolist(), len(labels)]
        for at, (start, stop) in enumerate(zip(starts.tolist(), stops, strict=True)):
            self._run(self._at + start, self._at + stop, int(labels[start]), sums[:, at])
        self._at += len(labels)

    def end(self) -> list[Interval]:
        """All intervals, in order; nothing may be added after."""
        self._close()
        return self.found

    def _run(self, start: int, stop: int, kind: int, sums: np.ndarray) -> None:
        now = self._open
        if kind == self._background:
            if now is not None:
                now.beyond += float(sums[now.kind])
            return
        if now is not None and now.kind == kind and self._joins(now, start):
            now.total += now.beyond + float(sums[kind])
            now.stop, now.beyond = stop, 0.0
            return
        self._close()
        self._open = _Open(start, stop, kind, float(sums[kind]))

    def _joins(self, now: _Open, start: int) -> bool:
        return start - now.stop <= self._gap  # 0 where a block's end has cut a stretch

    def _close(self) -> None:
        now, self._open = self._open, None
        if now is not None and now.stop - now.start >= self._least:
            mean = now.total / (now.stop - now.start)
            self.found.append(Interval(now.start, now.stop, now.kind, mean))
