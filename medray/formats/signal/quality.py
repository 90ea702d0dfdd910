"""How much of a stretch of signal can be believed, told by the values alone."""

from collections.abc import Sequence

import numpy as np

from medray.formats.signal.recording import Channel


def sound_share(
    values: np.ndarray,
    channels: Sequence[Channel],
    flat: int,
    limits: tuple[float, float],
    between: tuple[float, float] | None = None,
) -> float:
    """The share of values, over all leads, that are there, not at a limit and not on a flat line.

    Args:
        values: digital, float64 (lead, time); NaN: missing.
        channels: of the rows: their `low` and `high` are limits, where the file says them.
        flat: as many equal values (to half a digital step) are a flat line.
        limits: of a channel that says none.
        between: in the channels' units: what is not between these is not sound either.
    """
    good = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        for row, channel in enumerate(channels):
            low = limits[0] if channel.low is None else channel.low
            high = limits[1] if channel.high is None else channel.high
            good[row] &= (values[row] > low) & (values[row] < high)
            if between is not None:
                value = (values[row] - channel.baseline) / channel.gain
                good[row] &= (value > between[0]) & (value < between[1])
        steady = np.abs(np.diff(values, axis=1)) < 0.5
    for row, still in enumerate(steady):
        edges = np.flatnonzero(np.diff(np.concatenate([[False], still, [False]]).astype(np.int8)))
        for start, stop in edges.reshape(-1, 2).tolist():
            if stop - start + 1 >= flat:
                good[row, start : stop + 1] = False
    return float(good.mean())
