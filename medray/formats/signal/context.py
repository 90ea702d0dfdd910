"""What a whole record says of each of its beats: how its beats look and how far apart they are.

Beats of one person are alike, and those of two people are not: a network that sees a beat beside
the median beat of its record need not learn people. Both figures know all of a record, what comes
after a beat too, so who answers while a record is still running has to do without them.
"""

import warnings
from collections.abc import Callable, Sequence

import numpy as np

PART_BYTES = 64 * 2**20  # of beats whose median is taken at once
MOST_BEATS, MOST_VALUES = 4096, 2**23  # of a long record, that its median is taken over


def chosen(count: int, values: int) -> np.ndarray:
    """Which beats of a record its median is of, where not all are held: as many as suffice, evenly.

    Args:
        count: of the beats.
        values: of one of them, over all leads.
    """
    most = max(1, min(MOST_BEATS, MOST_VALUES // max(1, values)))
    return np.arange(count) if count <= most else np.arange(most) * count // most


def physical(
    values: np.ndarray,
    gain: Sequence[float] | np.ndarray | None = None,
    baseline: Sequence[float] | np.ndarray | None = None,
    missing: Sequence[float] | np.ndarray | None = None,
) -> np.ndarray:
    """Digital values in physical units: (digital - baseline) / gain, float32; NaN: no sample.

    Args:
        values: (..., lead, time).
        gain: digital steps in one unit, of each lead; None: the values are physical already.
        baseline: the digital value of physical zero, of each lead; None: 0.
        missing: the digital value that stands for no sample, of each lead, NaN where there is no
            such value; None: of no lead there is.
    """
    made = values.astype(np.float32)
    if baseline is not None:
        made -= np.asarray(baseline, np.float32)[:, None]
    if gain is not None:
        made /= np.asarray(gain, np.float32)[:, None]
    if missing is not None:
        made[values == np.asarray(missing)[:, None]] = np.nan
    return made


def median_beat(beats: np.ndarray) -> np.ndarray:
    """The median of a record's beats at each place of each lead, float32 (lead, time).

    Args:
        beats: (beats, lead, time), at least one; in their own units, which the median keeps. NaN
            do not count; a place that has nothing else is NaN.
    """
    median: Callable[..., np.ndarray] = np.nanmedian if np.isnan(beats).any() else np.median
    made = np.empty(beats.shape[1:], np.float32)
    step = max(1, PART_BYTES // max(1, len(beats) * beats.shape[1] * 8))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of places that are NaN
        for start in range(0, beats.shape[2], step):
            made[:, start : start + step] = median(beats[:, :, start : start + step], axis=0)
    return made


def median_rr(rr_s: np.ndarray) -> float | None:
    """The median of a record's intervals between beats, in seconds.

    Args:
        rr_s: (beats,); what is not finite or not positive does not count.

    Returns:
        None where no interval counts.
    """
    with np.errstate(invalid="ignore"):
        known = rr_s[np.isfinite(rr_s) & (rr_s > 0)]
    return float(np.median(known)) if len(known) else None
