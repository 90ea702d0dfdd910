"""Filters over a signal of any length, block by block: with delay, without, and of baselines.

Whoever calls gives `read(start, stop)` and a size; what comes is yielded in blocks, in order, and
no more than a block and its margins are held. Blocks lie where they lie whatever is asked for, so
the same signal always gives the same bytes. NaN are missing: a filter goes on over them with the
last value that there was, and they are NaN again in what it gives.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from medray.errors import DataError

Reader = Callable[[int, int], np.ndarray]
"""From one place of a signal to another, (channel, time); NaN: missing."""

BLOCK = 2**16  # samples of a channel
LEFT = 1e-9  # of a filter's response to one sample, when it counts as over
MOST_MARGIN = 2**22  # samples until it has to be over
MEDIANS_S = (0.2, 0.6)  # windows that take QRS complexes, then P and T waves, out of a baseline


def sections(
    rate: float,
    *,
    low: float | None = None,
    high: float | None = None,
    order: int = 2,
    notch: Sequence[float] = (),
    notch_q: float = 30.0,
) -> np.ndarray:
    """Second-order sections (sections, 6): Butterworth, then a notch for each frequency.

    Args:
        rate: samples a second.
        low: what is slower goes, in Hz; None: nothing.
        high: what is faster goes, in Hz; None: nothing.
        order: of the Butterworth filter; of a band twice as much.
        notch: frequencies that go, in Hz.
        notch_q: of a notch: its frequency over its width.

    Raises:
        DataError: there is nothing to filter, or a frequency is not between 0 and half the rate
            (code "bad-band").
    """
    from scipy.signal import butter, iirnotch, tf2sos

    edges = [one for one in (low, high) if one is not None]
    fits = all(0 < one < rate / 2 for one in (*edges, *notch)) and sorted(set(edges)) == edges
    if not fits or not (edges or notch):
        raise DataError(
            f"a filter has frequencies between 0 and {rate / 2:g} Hz, the low one below the high",
            code="bad-band",
            hint="look at `low`, `high` and `notch`, and at the rate of the channels",
        )
    kind = "bandpass" if len(edges) == 2 else "highpass" if high is None else "lowpass"
    made = [butter(order, np.squeeze(edges), kind, fs=rate, output="sos")] if edges else []
    made += [tf2sos(*iirnotch(one, notch_q, fs=rate)) for one in notch]
    return np.asarray(np.concatenate(made))


def causal(read: Reader, size: int, sos: np.ndarray) -> Iterator[np.ndarray]:
    """As `scipy.signal.sosfilt` of the whole, from rest at the first value: the same bytes."""
    from scipy.signal import sosfilt

    state: np.ndarray | None = None
    for filled, holes in _filled(read, size):
        if state is None:
            state = _rest(sos, filled[:, 0])
        values, state = sosfilt(sos, filled, axis=1, zi=state)
        values[holes] = np.nan
        yield values


def zero_phase(read: Reader, size: int, sos: np.ndarray) -> Iterator[np.ndarray]:
    """As `scipy.signal.sosfiltfilt` of the whole, to about 1e-9 of the largest value.

    Forward with state; backward each block, from as far behind it as the filter remembers.

    Raises:
        DataError: it remembers more than 4 million samples (code "slow-filter").
    """
    from scipy.signal import sosfilt

    margin, pad = _memory(sos), _padding(sos, size)
    ahead = Ahead(_forward(read, size, sos, pad))
    for start in range(0, size, BLOCK):
        stop = min(start + BLOCK, size)
        values, holes = ahead.span(start, min(stop + margin, size + pad))
        back = values[:, ::-1]
        done, _ = sosfilt(sos, back, axis=1, zi=_rest(sos, back[:, 0]))
        made = done[:, ::-1][:, : stop - start].copy()
        made[holes[:, : stop - start]] = np.nan
        yield made


def without_baseline(
    read: Reader, size: int, rate: float, windows_s: Sequence[float] = MEDIANS_S
) -> Iterator[np.ndarray]:
    """The signal without its baseline: medians over windows, one of the other.

    As `scipy.ndimage.median_filter` (mode "nearest") of the whole, to the byte.
    """
    from scipy.ndimage import median_filter

    widths = [2 * round(one * rate / 2) + 1 for one in windows_s]
    margin = sum(width // 2 for width in widths)
    ahead = Ahead(_filled(read, size))
    for start in range(0, size, BLOCK):
        stop = min(start + BLOCK, size)
        low, high = max(0, start - margin), min(size, stop + margin)
        values, holes = ahead.span(low, high)
        base = values
        for width in widths:
            base = np.stack([median_filter(one, width, mode="nearest") for one in base])
        made = (values - base)[:, start - low : stop - low]
        made[holes[:, start - low : stop - low]] = np.nan
        yield made


def in_turn(blocks: Iterator[np.ndarray]) -> Reader:
    """A reader of what a filter gives, for another that reads block by block, each once."""

    def read(_start: int, _stop: int) -> np.ndarray:
        return next(blocks)

    return read


class Ahead:
    """Values and holes of blocks that follow each other, held from where they are still needed."""

    def __init__(self, blocks: Iterator[tuple[np.ndarray, np.ndarray]]) -> None:
        self._blocks, self._first = blocks, 0
        self._held: tuple[np.ndarray, np.ndarray] | None = None

    def span(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """From one place to another; what lies before `start` is forgotten."""
        parts = [] if self._held is None else [self._held]
        end = self._first + sum(one.shape[1] for one, _ in parts)
        while end < stop:
            parts.append(next(self._blocks))
            end += parts[-1][0].shape[1]
        kept = slice(start - self._first, None)
        values, holes = (np.concatenate(each, axis=1)[:, kept] for each in zip(*parts, strict=True))
        self._first, self._held = start, (values, holes)
        return values[:, : stop - start], holes[:, : stop - start]


def _filled(read: Reader, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Blocks whose holes have the value before them, and where holes are.

    Holes at the very beginning have the first value of the first block, or 0.
    """
    last: np.ndarray | None = None
    for start in range(0, size, BLOCK):
        values = np.array(read(start, min(start + BLOCK, size)), np.float64)
        holes = np.isnan(values)
        if last is None:
            first = np.argmin(holes, axis=1)[:, None]
            last = np.nan_to_num(np.take_along_axis(values, first, axis=1)[:, 0])
        if holes.any():
            places = np.where(holes, -1, np.arange(values.shape[1]))
            places = np.maximum.accumulate(places, axis=1)
            known = np.take_along_axis(values, np.maximum(places, 0), axis=1)
            values = np.where(places < 0, last[:, None], known)
        last = values[:, -1]
        yield values, holes


def _forward(
    read: Reader, size: int, sos: np.ndarray, pad: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The first pass, over the signal and `pad` samples behind it, turned about its last value."""
    from scipy.signal import sosfilt

    state: np.ndarray | None = None
    tail = np.empty((0, 0))
    for values, holes in _filled(read, size):
        if state is None:
            tail, before = values[:, :0], 2 * values[:, :1] - values[:, pad:0:-1]
            state = _rest(sos, before[:, 0] if pad else values[:, 0])
            if pad:
                _, state = sosfilt(sos, before, axis=1, zi=state)
        tail = np.concatenate([tail, values], axis=1)[:, -pad - 1 :]
        made, state = sosfilt(sos, values, axis=1, zi=state)
        yield made, holes
    if pad:
        behind = 2 * tail[:, -1:] - tail[:, -2 : -pad - 2 : -1]
        made, _ = sosfilt(sos, behind, axis=1, zi=state)
        yield made, np.zeros(made.shape, bool)


def _rest(sos: np.ndarray, first: np.ndarray) -> np.ndarray:
    """The state of a filter that has always seen these values, one a channel."""
    from scipy.signal import sosfilt_zi

    return np.asarray(sosfilt_zi(sos)[:, None, :] * first[None, :, None])


def _padding(sos: np.ndarray, size: int) -> int:
    """As many samples as scipy turns about the ends."""
    taps = 2 * len(sos) + 1 - min((sos[:, 2] == 0).sum(), (sos[:, 5] == 0).sum())
    return int(min(3 * taps, size - 1))


def _memory(sos: np.ndarray) -> int:
    """Samples until the answer to one is below `LEFT`, with a third more for poles side by side."""
    radius = max(abs(np.roots(one[3:])).max(initial=0.0) for one in sos)
    slow = radius >= 1
    margin = 0 if slow or radius == 0 else int(4 / 3 * np.log(LEFT) / np.log(radius)) + 64
    if slow or margin > MOST_MARGIN:
        raise DataError(
            "the filter is too slow to be used without phase",
            code="slow-filter",
            hint="raise `low`, lower `notch_q`, or take `phase: causal`",
        )
    return margin
