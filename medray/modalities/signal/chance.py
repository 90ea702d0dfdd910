"""Numbers drawn by the thousand for samples of a batch, each from its sample's own seed.

A number is a hash of a seed and a counter, so what is drawn for a sample is the same beside
whatever other samples and on whatever rank, and a batch is drawn at once.
"""

import numpy as np

from medray.data.order import mixed

_STRIDE = np.uint64(0xD1342543DE82EF95)  # odd: counters of one seed never meet
_TO_UNIT = 2.0**-53
_BITS = np.uint64(0xFFFF)
# Sums of four numbers of 16 bits: their mean, and what makes their deviation 1.
_MEAN, _SPREAD = 2 * 65535.0, (65536.0**2 - 1) / 12


def uniform(seeds: np.ndarray, stream: int, count: int) -> np.ndarray:
    """Numbers in [0, 1), float64 (samples, count).

    Args:
        seeds: uint64 (samples,).
        stream: what they are for: another gives other numbers.
        count: for each sample.
    """
    return (_drawn(seeds, stream, count) >> np.uint64(11)) * _TO_UNIT


def normal(seeds: np.ndarray, stream: int, count: int) -> np.ndarray:
    """Numbers of mean 0 and deviation 1 that are near enough to a normal: sums of four, no larger
    than 3.5; float32 (samples, count). See `uniform`."""
    drawn = _drawn(seeds, stream, count)
    total = np.zeros(drawn.shape, np.float32)
    for at in range(4):
        total += ((drawn >> np.uint64(16 * at)) & _BITS).astype(np.float32)
    total -= np.float32(_MEAN)
    total /= np.float32(2 * np.sqrt(_SPREAD))
    return total


def _drawn(seeds: np.ndarray, stream: int, count: int) -> np.ndarray:
    base = mixed(seeds + np.uint64(stream + 1))[:, None]
    return mixed(base + np.arange(count, dtype=np.uint64) * _STRIDE)
