"""Another rate by a polyphase filter, any part of a signal at a time and each part the same.

The filter is that of `scipy.signal.resample_poly`: a low pass at the limit of the lower rate, a
Kaiser window (beta 5) over ten samples of the slower rate on either side. But the taps of each
phase are made to sum to one, so that a constant stays what it is: as designed they are off by up to
7e-4, which of the offset of an electrode makes a tone. Before its first sample and behind its last
a signal goes on as these are (`padtype="edge"`). An output sample is one sum over one stretch of
the input, in one order, whatever is computed beside it, so blocks show nowhere.
"""

from collections.abc import Callable
from fractions import Fraction

import numpy as np

from medray.errors import DataError

MOST_STEPS = 100_000  # of either side of a ratio of rates: 2 million taps
LEAST_WEIGHT = 0.1  # of samples that are not missing; below it sums mean little
_HALF, _BETA = 10, 5.0


class Resampler:
    """From one rate to another.

    Args:
        source: samples a second that there are.
        target: samples a second that are wanted.

    Raises:
        DataError: the rates have no ratio of numbers up to 100,000 (code "odd-rates").
    """

    def __init__(self, source: float, target: float) -> None:
        ratio = Fraction(repr(target)) / Fraction(repr(source))
        self.up, self.down = ratio.numerator, ratio.denominator
        if max(self.up, self.down) > MOST_STEPS:
            raise DataError(
                f"from {source:g} to {target:g} samples a second there is no simple ratio",
                code="odd-rates",
                hint=f"choose a rate with a ratio of whole numbers up to {MOST_STEPS:,}",
            )
        self._half = _HALF * max(self.up, self.down)
        self.taps = np.ones(1) if ratio == 1 else self._filter()

    def _filter(self) -> np.ndarray:
        from scipy.signal import firwin

        limit = 1 / max(self.up, self.down)
        taps = firwin(2 * self._half + 1, limit, window=("kaiser", _BETA))
        taps = np.asarray(taps, np.float64)
        for phase in range(self.up):
            taps[phase :: self.up] /= taps[phase :: self.up].sum()
        return taps

    def size(self, source: int) -> int:
        """How many samples come of so many."""
        return -(-source * self.up // self.down)

    def place(self, sample: int) -> int:
        """The sample that is nearest to one of the source; of two the even one."""
        return round(Fraction(sample * self.up, self.down))

    def part(
        self, read: Callable[[int, int], np.ndarray], source: int, start: int, stop: int
    ) -> np.ndarray:
        """Samples [start, stop) of what comes of a signal, float64 (channel, time).

        NaN are missing: they are left out of the sums beside them, whose weights are made up to
        one. Where the nearest sample is missing, or weights sum to less than a tenth, so is the
        new one.

        Args:
            read: gives samples of the source from one place to another, (channel, time).
            source: how many samples it has.
            start: from 0 on.
            stop: `size(source)` at most.
        """
        if self.up == self.down:
            return np.asarray(read(start, stop), np.float64)
        from scipy.signal import upfirdn

        first = -((self._half - start * self.down) // self.up)
        last = ((stop - 1) * self.down + self._half) // self.up + 1
        low, high = max(first, 0), min(last, source)
        values = np.asarray(read(low, high), np.float64)
        values = np.pad(values, ((0, 0), (low - first, last - high)), mode="edge")
        # The first output that begins no earlier than `first` does; those before `start` go.
        begin = (first * self.up - self._half) // self.down
        lead = first * self.up - self._half - begin * self.down
        taps = np.concatenate([np.zeros(lead), self.taps])
        wanted = slice(start - begin, stop - begin)
        holes = np.isnan(values)
        if not holes.any():
            return np.asarray(upfirdn(taps, values, self.up, self.down, axis=1)[:, wanted])
        known = upfirdn(taps, np.where(holes, 0.0, values), self.up, self.down, axis=1)[:, wanted]
        weight = upfirdn(taps, (~holes).astype(float), self.up, self.down, axis=1)[:, wanted]
        reach = np.concatenate([np.zeros(lead), np.ones(len(self.taps))])
        near = upfirdn(reach, holes.astype(float), self.up, self.down, axis=1)[:, wanted] > 0
        places = (2 * np.arange(start, stop) * self.down + self.up) // (2 * self.up)
        lost = holes[:, np.minimum(places, source - 1) - first] | (weight < LEAST_WEIGHT)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.where(lost, np.nan, np.where(near, known / weight, known)))
