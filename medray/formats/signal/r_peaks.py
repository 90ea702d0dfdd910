"""Where hearts beat: R peaks of one or more leads, page by page.

After Pan and Tompkins (1985): QRS complexes are what is steep, between 8 and 25 Hz; the energy of
that over 0.1 s has a bump for each beat; thresholds follow the heights of beats and of noise, and
where a beat seems to be left out, a lower bump counts. What differs: leads are added, each as far
as its beats stand out from what lies between them at that moment; heights are parts of those of the
last beats, so that all numbers here are free of units; and what follows a beat closely and is much
lower is its T wave.
"""

from collections import deque
from collections.abc import Iterator

import numpy as np

from medray.errors import DataError
from medray.formats.signal.filters import Ahead, Reader, sections, zero_phase

LOWEST_RATE = 100.0
BAND_HZ = (8.0, 25.0)
ENERGY_S = 0.1  # that energy is taken over
PART_S = 2.0  # that has a beat in it; heights and noise are told of parts
PAGE, BEFORE, BEHIND = 64, 11, 6  # parts: of a page, and those that are held beside it
BLIND_S, NEAR_S, LATE_S = 0.2, 0.36, 0.5  # no beat so close; T waves; late T waves
T_WAVE, LATE_T_WAVE = 0.6, 0.33  # of the beat's height; what is lower is one
THRESHOLD = 0.25  # from the height of noise to that of beats
LEFT_OUT = 1.66  # of the usual interval; in a longer one a beat is looked for
PLACE_S = 0.06  # from a bump's top to the peak at most
FLOOR = 0.1  # of a lead's usual height; lower ones are no beats
ROUNDING = 1e-9  # of its largest value


def r_peaks(read: Reader, size: int, rate: float) -> np.ndarray:
    """Places of R peaks, int64, ascending.

    Args:
        read: of the leads (lead, time) in any units; asked for each stretch once, in order.
        size: samples.
        rate: samples a second.

    Raises:
        DataError: the rate is below 100 (code "slow-rate").
    """
    if rate < LOWEST_RATE:
        raise DataError(
            f"beats are detected from {LOWEST_RATE:g} samples a second on", code="slow-rate"
        )
    beats = _Beats(rate)
    for place, height, peak in _bumps(read, size, rate):
        beats.add(place, height, peak)
    return np.unique(np.asarray(beats.peaks, np.int64))


def _bumps(read: Reader, size: int, rate: float) -> Iterator[tuple[int, float, int]]:
    """What may be a beat: the place of a bump, its height (1: as beats have it) and its peak."""
    from scipy.signal import find_peaks

    usual = _Usual()
    band = zero_phase(usual.seen(read), size, sections(rate, low=BAND_HZ[0], high=BAND_HZ[1]))
    ahead = Ahead((np.nan_to_num(one), np.isnan(one)) for one in band)
    part, blind, near = round(PART_S * rate), round(BLIND_S * rate), round(PLACE_S * rate)
    parts = -(-size // part)
    last = -blind
    for first in range(0, parts, PAGE):
        start, stop = first * part, min((first + PAGE) * part, size)
        low = max(0, first - BEFORE) * part
        values, _ = ahead.span(low, min(stop + BEHIND * part, size))
        fused, steep = _fused(values, rate, part, usual, (start - low) // part)
        for place in (low + find_peaks(fused, distance=blind)[0]).tolist():
            if start <= place < stop and place - last >= blind:
                last = place
                from_ = max(place - near - low, 0)
                peak = from_ + int(np.argmax(steep[from_ : place + near + 1 - low]))
                yield place, float(fused[place - low]), low + peak


class _Usual:
    """Heights of each lead, of all parts so far, and its largest value."""

    def __init__(self) -> None:
        self._heights: list[np.ndarray] = []
        self._largest: np.ndarray | None = None

    def seen(self, read: Reader) -> Reader:
        """The same reader, whose values are looked at."""

        def look(start: int, stop: int) -> np.ndarray:
            values = read(start, stop)
            largest = np.abs(np.nan_to_num(values)).max(axis=1, keepdims=True)
            known = largest if self._largest is None else self._largest
            self._largest = np.maximum(largest, known)
            return values

        return look

    def floor(self, heights: np.ndarray) -> np.ndarray:
        """Below which a lead shows no beats, (lead, 1)."""
        self._heights += list(heights.T)
        usual = np.median(np.stack(self._heights, axis=1), axis=1, keepdims=True)
        least = np.finfo(float).tiny if self._largest is None else self._largest * ROUNDING
        return np.asarray(np.maximum(FLOOR * usual, np.maximum(least, np.finfo(float).tiny)))


def _fused(
    values: np.ndarray, rate: float, part: int, usual: _Usual, page: int
) -> tuple[np.ndarray, np.ndarray]:
    """Energy of all leads, and steepness of the steepest, each as part of what beats have."""
    from scipy.ndimage import uniform_filter1d

    energy = uniform_filter1d(values * values, round(ENERGY_S * rate) | 1, axis=1)
    energy = np.sqrt(np.maximum(energy, 0))
    count = -(-values.shape[1] // part)
    cut = [energy[:, at * part : (at + 1) * part] for at in range(count)]
    tops = np.stack([one.max(axis=1) for one in cut], axis=1)
    middles = np.stack([np.median(one, axis=1) for one in cut], axis=1)
    heights, noise = np.empty_like(tops), np.empty_like(tops)
    for at in range(count):
        heights[:, at] = np.median(tops[:, max(0, at - 10) : at + 5], axis=1)
        noise[:, at] = middles[:, max(0, at - 1) : at + 2].max(axis=1)
    heights = np.maximum(heights, usual.floor(heights[:, page : page + PAGE]))
    apart = np.clip(heights / np.maximum(noise, np.finfo(float).tiny) - 1, 0.1, 20) ** 2
    weights = apart / apart.sum(axis=0)
    which = np.arange(values.shape[1]) // part
    fused = (weights / heights)[:, which] * energy
    steep = (np.sqrt(weights) / heights)[:, which] * np.abs(values)
    return fused.sum(axis=0), steep.max(axis=0)


class _Beats:
    """Which bumps are beats, one after the other."""

    def __init__(self, rate: float) -> None:
        self.peaks: list[int] = []
        self._rate = rate
        self._place, self._height = -1, 0.0
        self._beats = deque([1.0] * 8, 8)
        self._noise = deque([0.1] * 8, 8)
        self._steps = deque([0.8] * 8, 8)
        self._passed: list[tuple[float, int, int]] = []

    def add(self, place: int, height: float, peak: int) -> None:
        """The next bump."""
        usual, noise = float(np.median(self._beats)), float(np.median(self._noise))
        threshold = noise + THRESHOLD * (usual - noise)
        since = (place - self._place) / self._rate if self.peaks else np.inf
        wave = (since < NEAR_S and height < T_WAVE * self._height) or (
            since < LATE_S and height < LATE_T_WAVE * self._height
        )
        if height <= threshold or wave:
            self._passed.append((height, place, peak))
            self._noise.append(height)
            return
        if self.peaks and since > LEFT_OUT * float(np.median(self._steps)):
            self._look_back(place, threshold / 2)
        if self.peaks and 0.3 < since < 2:
            self._steps.append(since)
        self.peaks.append(peak)
        self._place, self._height, self._passed = place, height, []
        self._beats.append(min(height, 2 * usual))

    def _look_back(self, place: int, threshold: float) -> None:
        """The highest bump that was passed, well apart from the beats about it."""
        apart = 0.3 * self._rate
        there = [
            one
            for one in self._passed
            if one[0] > threshold and one[1] - self._place > apart and place - one[1] > apart
        ]
        if there:
            self.peaks.append(max(there)[2])


def matched(truth: np.ndarray, found: np.ndarray, tolerance: int) -> int:
    """How many places of two ascending lists are the same, each paired once.

    Args:
        truth: where beats are.
        found: where beats were found.
        tolerance: samples that two of a pair are apart at most.
    """
    at = count = 0
    for place in truth.tolist():
        while at < len(found) and found[at] < place - tolerance:
            at += 1
        if at < len(found) and found[at] <= place + tolerance:
            at += 1
            count += 1
    return count
